"""What a RUN executes: its shell or exec form, and its heredocs.

Source: https://docs.docker.com/reference/dockerfile/#here-documents
"""

from collections.abc import Sequence

import msgspec

from ipycontainer_runtime.build.instructions import Run
from ipycontainer_runtime.build.source import DockerfileError
from ipycontainer_runtime.build.statements import heredoc

SCRIPTS = "/dev/pipes"
"""Where a heredoc with an interpreter line is while it runs; nothing of it is in the image."""


class Invocation(msgspec.Struct, frozen=True):
    """The words to execute, and with a script the file `path` that must be there, mode 0755."""

    words: tuple[str, ...]
    path: str = ""
    script: str = ""


def invocation(run: Run, shell: Sequence[str]) -> Invocation:
    """Return what is executed. `shell` is the SHELL in force."""
    command = run.command
    if not command.shell:
        return Invocation(command.words)
    text = "".join(command.words)
    if not run.heredocs:
        return Invocation((*shell, text))
    first = run.heredocs[0]
    if heredoc(text) is None:
        # The shell reads documents itself, so it gets them as they stand in the file.
        bodies = "".join(f"\n{found.content}{found.name}" for found in run.heredocs)
        return Invocation((*shell, text + bodies))
    if not first.text.startswith("#!"):
        return Invocation((*shell, first.text))
    if "/" in first.name or first.name in (".", ".."):
        raise DockerfileError(
            f"a script's heredoc cannot be named {first.name!r}: use a word like EOF", run.span
        )
    path = f"{SCRIPTS}/{first.name}"
    return Invocation((*shell, path), path, first.text)
