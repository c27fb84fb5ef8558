"""What a person is told when something fails: one line that names the value and the cure.

Foreign exceptions (docker-py's, requests', click's, the runtime's) stop here. A `Failure` fails the
cell without a traceback; the command line prints it and leaves with its exit code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# Exit codes of the `docker` command: https://docs.docker.com/reference/cli/docker/container/run/
ENGINE_FAILED = 125
CANNOT_EXECUTE = 126
NOT_FOUND = 127
KILLED = 137
UNKNOWN_VERB = 1


def one_line(text: str) -> str:
    """Return `text` without line breaks or control characters: messages quote hostile input."""
    folded = " ".join(text.split())
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in folded)


class Failure(Exception):  # noqa: N818 - a cell shows the class name: "Failure: no such image"
    """Something was asked for that could not be done."""

    exit_code = 1

    def __init__(self, message: str, exit_code: int | None = None) -> None:
        super().__init__(one_line(message))
        if exit_code is not None:
            self.exit_code = exit_code

    def _render_traceback_(self) -> list[str]:
        """IPython calls this instead of formatting a traceback."""
        return [f"{type(self).__name__}: {self}"]


class Usage(Failure):
    """The line itself is wrong: an unknown verb or flag, a missing argument, an open quote."""

    exit_code = ENGINE_FAILED


class Interrupted(Failure):
    """The person interrupted the cell; the message says what became of the container."""

    exit_code = 130


class ContainerExit(Failure):
    """A process in a container ended with a status that is not 0, or was ended.

    `container` is its name, `exit_code` its status, `memory` the limit in bytes when the kernel
    killed it for passing that limit, else None. `fault` is "oom", "timeout", "killed" or None,
    `signal` the number of the signal that ended it, 0 where none did. With `exec_` it was a command
    that ran in the container beside its own.
    """

    def __init__(
        self,
        container: str,
        exit_code: int,
        memory: int | None = None,
        *,
        fault: str | None = None,
        signal: int = 0,
        timeout: object = None,
        exec_: bool = False,
    ) -> None:
        who = f"the command in container {container}" if exec_ else f"container {container}"
        if memory is not None:
            told = _memory_message(who, exit_code, memory)
        elif fault == "timeout":
            limit = f" of {timeout} s" if timeout else ""
            told = (
                f"{who} was stopped (exit code {exit_code}): it ran longer than"
                f" its timeout{limit}; give it more with --timeout"
            )
        elif fault == "killed":
            name = _signal_name(signal)
            told = f"{who} was killed by signal {signal}"
            told += f" ({name})" if name else ""
        else:
            told = _exit_message(who, exit_code)
        super().__init__(told, exit_code)
        self.container = container
        self.memory = memory
        self.fault = fault
        self.signal = signal


class StartFailure(Failure):
    """A container or an exec could not be started.

    `fault` is "command-not-found", "command-not-executable" or "start-failed", `step` what the
    start came to; None and "" where another engine tells neither.
    """

    def __init__(
        self, message: str, exit_code: int, *, fault: str | None = None, step: str = ""
    ) -> None:
        super().__init__(message, exit_code)
        self.fault = fault
        self.step = step


def _memory_message(who: str, code: int, memory: int) -> str:
    from .units import binary_size

    limit = f" of {binary_size(memory)}" if memory else ""
    # A parent may outlive the child that the kernel killed.
    killed = code == KILLED
    ended = f"was killed (exit code {code})" if killed else f"exited with code {code}"
    return f"{who} {ended}: it passed its memory limit{limit}; give it more with -m"


def _exit_message(who: str, code: int) -> str:
    meaning = {CANNOT_EXECUTE: "cannot be executed", NOT_FOUND: "command not found"}.get(code)
    if meaning is None and code > 128:
        meaning = _signal_name(code - 128)
    return f"{who} exited with code {code}" + (f" ({meaning})" if meaning else "")


def _signal_name(number: int) -> str | None:
    import signal

    try:
        return signal.Signals(number).name
    except ValueError:
        return None


def explain(error: BaseException, program: str) -> Failure | None:
    """Return what to tell of `error`, or None when it is none of ours: a defect, to be seen whole.

    `program` is `%container` or `ipycontainer`, for the commands that a cure names.
    """
    if isinstance(error, Failure):
        # Engines name Docker's command, for those who have that.
        error.args = (str(error).replace("docker login", f"{program} login"),)
        return error
    if isinstance(error, BrokenPipeError):
        return None  # whoever read our output has left: nothing to tell, and nobody to tell it
    kind = {cls.__name__ for cls in type(error).__mro__}
    module = {cls.__module__.partition(".")[0] for cls in type(error).__mro__}
    if "click" in module:
        return _explain_click(error, program)
    if "ipycontainer_runtime" in module:
        return Failure(str(error), getattr(error, "exit_code", None))
    if "docker" in module and "APIError" in kind:
        return Failure(_api_message(error, program))
    if "requests" in module or "urllib3" in module or "docker" in module:
        return Failure(_connection_message(error))
    return _of_system(error) if isinstance(error, OSError) else None


def _of_system(error: OSError) -> Failure:
    if error.filename is None or error.strerror is None:
        return Failure(str(error))
    return Failure(f"{error.filename}: {error.strerror}")


# click ends its sentence before it guesses.
_GUESS = re.compile(r"\.? \(?Did you mean (?:one of: )?(.*?)\?\)?$")


def _explain_click(error: BaseException, program: str) -> Failure:
    message = getattr(error, "format_message", lambda: str(error))()
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else program
    code = UNKNOWN_VERB if message.startswith("No such command") else None
    told = _GUESS.sub(r" (did you mean \1?)", message).rstrip(".")
    return Usage(f"{told}; see `{command} --help`", code)


def _api_message(error: BaseException, program: str) -> str:
    from .cures import cured

    explanation = getattr(error, "explanation", None) or str(error)
    text = explanation.decode(errors="replace") if isinstance(explanation, bytes) else explanation
    return cured(str(text), program)


def _connection_message(error: BaseException) -> str:
    import os

    host = os.environ.get("DOCKER_HOST")
    reason = next((cause.strerror for cause in _causes(error) if _is_system_error(cause)), None)
    if reason is None and _is_cut(error):
        cure = "start it there again" if host else "`ipycontainer engine logs` may say why"
        where = f" at DOCKER_HOST={host}" if host else ""
        return f"the engine{where} ended in the middle of its answer; {cure}"
    if reason is None:
        return f"{error}" + (f" (DOCKER_HOST is {host})" if host else "")
    if host:
        return (
            f"no engine answers at DOCKER_HOST={host}: {reason}; start it there, or unset"
            " DOCKER_HOST to use ipycontainer's own"
        )
    return f"the engine does not answer: {reason}; `ipycontainer engine logs` may say why"


def _is_cut(error: BaseException) -> bool:
    kinds = {cls.__name__ for cls in type(error).__mro__}
    return bool(kinds & {"ChunkedEncodingError", "ProtocolError", "IncompleteRead"})


def _is_system_error(error: BaseException) -> bool:
    # requests' exceptions are OSErrors too, with whatever they wrap as `errno` and `strerror`.
    return isinstance(error, OSError) and isinstance(error.strerror, str)


def _causes(error: BaseException) -> Iterator[OSError]:
    """Yield every OSError that `error` wraps: requests and urllib3 hide them in `args`."""
    seen: set[int] = set()
    queue: list[BaseException] = [error]
    while queue:
        current = queue.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        if isinstance(current, OSError):
            yield current
        linked = (current.__cause__, current.__context__, getattr(current, "reason", None))
        queue += [e for e in (*linked, *current.args) if isinstance(e, BaseException)]
