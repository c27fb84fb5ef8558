"""The command's entry point: it begins again from a mount of its own, then does what was asked.

A container can name the program that launches it (`#!/proc/self/exe`, CVE-2019-5736); what it
gets hold of then is on a read-only mount. Run with -I and -S besides, so that neither the caller's
variables nor its folder decide what is imported.
"""

import os
import sys

MARK = "IPYCONTAINER_OCI_SEALED"
RUNTIME = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ENTERING = {"create", "exec", "run"}
CODE = f"import sys; sys.path.append({RUNTIME!r}); from {__package__}.entry import main; main()"


def main() -> None:
    """Do what the command line asks; never returns."""
    if os.environ.pop(MARK, "") != str(os.getpid()) and ENTERING & set(sys.argv):
        _again()
    from .cli import main as command

    sys.exit(command(sys.argv[1:]))


def _again() -> None:
    """Execute the interpreter through a sealed mount; one who may not mount has no need of it.

    Whoever may not is no more than the user whose files these are.
    """
    from ..launch import sealed

    program = os.path.realpath(sys.executable)
    command = [sys.executable, "-I", "-S", "-c", CODE, *sys.argv[1:]]
    environment = {**os.environ, MARK: str(os.getpid())}
    try:
        fd = sealed(program)
    except PermissionError:
        os.execve(program, command, environment)  # noqa: S606 - no shell is wanted
    os.execve(fd, command, environment)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
