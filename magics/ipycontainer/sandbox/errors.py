"""What goes wrong in a sandbox, one line each; an error of the code in it with its lines."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..failures import ContainerExit, Failure, one_line

_LONGEST_LINE = 500
_LONGEST_MESSAGE = 10_000


class SandboxClosed(Failure):
    """The sandbox was closed, or its container has ended by itself."""


class InterpreterLost(Failure):
    """The Python in the sandbox has ended, and its variables with it; the next code gets another.

    `oom` is true when the kernel killed it for passing the memory limit.
    """

    def __init__(self, message: str, *, oom: bool = False) -> None:
        super().__init__(message)
        self.oom = oom


class TimedOut(Failure):
    """Code or a command ran longer than its timeout; `stdout` and `stderr` are what it said."""

    def __init__(self, message: str, stdout: str | bytes = "", stderr: str | bytes = "") -> None:
        super().__init__(message)
        self.stdout = stdout
        self.stderr = stderr


class CommandFailed(ContainerExit):
    """A command ended with a status that is not 0; `completed` has it and what it said."""

    def __init__(self, sandbox: str, completed: Any) -> None:
        super().__init__(sandbox, completed.code)
        self.completed = completed
        said = completed.stderr if isinstance(completed.stderr, str) else ""
        lines = said.strip().splitlines()
        last = f": {lines[-1]}" if lines else ""
        self.args = (one_line(f"{completed.args[0]!r} exited with code {completed.code}{last}"),)


class Step(NamedTuple):
    """One line of a traceback: where, in which function, and the line itself."""

    file: str
    line: int
    function: str
    text: str


class Cause(NamedTuple):
    """One error of a traceback; `link` is how it led to the next: cause, context or nothing."""

    name: str
    message: str
    steps: tuple[Step, ...]
    link: str


class PythonError(Failure):
    """The code in a sandbox has raised; `name` and `message` are its error's.

    `causes` are the error and what led to it, the first cause first, with the lines of the cell.
    """

    def __init__(self, causes: tuple[Cause, ...]) -> None:
        last = causes[-1]
        super().__init__(
            f"{last.name}: {last.message[:_LONGEST_LINE]}" if last.message else last.name
        )
        self.causes = causes
        self.name = last.name
        self.message = last.message

    def traceback(self) -> str:
        """Return the traceback as text, as Python prints one."""
        return "\n".join(self._lines())

    def _lines(self) -> list[str]:
        links = {
            "cause": "The above exception was the direct cause of the following exception:",
            "context": "During handling of the above exception, another exception occurred:",
        }
        lines = []
        for cause in self.causes:
            if cause.steps:
                lines.append("Traceback in the sandbox (most recent call last):")
            for step in cause.steps:
                place = f", in {step.function}" if step.function else ""
                lines.append(f"  {step.file}, line {step.line}{place}")
                if step.text:
                    lines.append(f"    {step.text}")
            told = f"{cause.name}: {cause.message}" if cause.message else cause.name
            lines += [*told.splitlines(), *(("", links[cause.link], "") if cause.link else ())]
        return lines

    def _render_traceback_(self) -> list[str]:
        """IPython calls this instead of formatting the traceback of our own calls."""
        return self._lines()


def plain(text: Any, length: int) -> str:
    """Return a container's text without what a terminal or a page would obey."""
    if not isinstance(text, str):
        return ""
    kept = text[:length] + ("…" if len(text) > length else "")
    return "".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in kept)


def error_of(described: Any, sources: dict[str, tuple[str, list[str]]]) -> PythonError:
    """Return the error that the agent has described.

    `sources` are the code that was sent, by its file's name: how to call it, and its lines. Those
    lines are shown, and not what the container says that they are.
    """
    causes = []
    for one in described if isinstance(described, list) else []:
        if not isinstance(one, dict):
            continue
        found = one.get("steps")
        steps = [_step(entry, sources) for entry in found] if isinstance(found, list) else []
        link = one.get("leads_to_next_as")
        causes.append(
            Cause(
                one_line(plain(one.get("name"), _LONGEST_LINE)) or "an error without a name",
                plain(one.get("message"), _LONGEST_MESSAGE),
                tuple(step for step in steps if step is not None),
                link if link in ("cause", "context") else "",
            )
        )
    return PythonError(tuple(causes) or (Cause("an error that was not told", "", (), ""),))


def _step(entry: Any, sources: dict[str, tuple[str, list[str]]]) -> Step | None:
    if not (isinstance(entry, list) and len(entry) == 4):
        return None
    file, line, function, text = entry
    number = line if type(line) is int and 0 < line < 1 << 31 else 0
    name = one_line(plain(function, _LONGEST_LINE))
    shown = "" if name == "<module>" else name
    if isinstance(file, str) and file in sources:
        called, lines = sources[file]
        known = lines[number - 1].strip() if 0 < number <= len(lines) else ""
        return Step(called, number, shown, known)
    where = f'File "{one_line(plain(file, _LONGEST_LINE))}"'
    return Step(where, number, shown, one_line(plain(text, _LONGEST_LINE)))
