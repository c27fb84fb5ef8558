"""A step that failed: what is said of it, and what is kept for who looks into it."""

from typing import TYPE_CHECKING, Any

from ipycontainer_runtime.build.source import Span, excerpt
from ipycontainer_runtime.errors import ContainerError

if TYPE_CHECKING:
    from ipycontainer_runtime.engine.building.output import Step
    from ipycontainer_runtime.engine.building.state import State


class CommandFailed(ContainerError):  # noqa: N818 - as the other kinds of error
    """A RUN whose command ended with another exit code than 0."""

    def __init__(self, words: str, code: int, oom: bool) -> None:
        why = ": its memory limit ended it" if oom else ""
        super().__init__(f"The command '{words}' returned a non-zero code: {code}{why}")
        self.code = code


class StepFailed(ContainerError):  # noqa: N818 - as the other kinds of error
    """The end of a build: the step that failed, and the state before it."""

    def __init__(self, error: ContainerError, step: "Step", before: "State") -> None:
        super().__init__(str(error))
        self.status = error.status
        self.error = error
        self.step = step
        self.before = before
        self.image = ""
        """The id of the state before the step, once it was kept."""


class Refused(ContainerError):  # noqa: N818 - as the other kinds of error
    """The end of a build of which nothing was told yet: the answer, with the line it is about."""

    def __init__(self, error: ContainerError, text: str) -> None:
        super().__init__(detail(error, text, steps=False)["error"])
        self.status, self.fault = error.status, error.fault


def detail(error: ContainerError, text: str, *, steps: bool) -> dict[str, Any]:
    """Return the last message of a build that failed; `text` is the Dockerfile."""
    said = str(error)
    found: dict[str, Any] = {"message": said}
    cause = error.error if isinstance(error, StepFailed) else error
    if isinstance(cause, CommandFailed):
        found["code"] = cause.code
    span: Span | None = getattr(cause, "span", None)
    if isinstance(error, StepFailed):
        span = error.step.span
        found |= {"step": error.step.identity, "log": error.step.tail, "image": error.image}
    if not steps:
        found = {key: found[key] for key in ("code", "message") if key in found}
        if span is not None and not isinstance(cause, CommandFailed):
            said = f"{said}\n{excerpt(text, span)}"
            found["message"] = said
        elif span is not None:
            said = found["message"] = f"{said} ({span})\n{excerpt(text, span)}"
    elif span is not None:
        found |= {"first": span.first, "last": span.last, "text": _lines(text, span)}
    return {"errorDetail": found, "error": said}


def _lines(text: str, span: Span) -> str:
    return "\n".join(text.split("\n")[span.first - 1 : span.last])
