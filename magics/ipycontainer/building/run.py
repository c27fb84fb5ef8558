"""One build from the request to its end: what is sent, what is shown, what is left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ..failures import Failure, Interrupted
from ..logins import for_build
from .conditions import conditions
from .failed import Report, Stopped, failure, of_message, remember, report, tagged
from .messages import Classic
from .steps import Build, Step
from .stream import Answer

if TYPE_CHECKING:
    from ..session import Session
    from .origin import Origin

EXTENSION = "build"
_SHORT = 12


class View(Protocol):
    """How a build is shown; the model that it shows was given to it."""

    def sending(self, told: str) -> None:
        """Show how much of the context was sent."""

    def update(self, step: Step | None) -> None:
        """Show what is new, of a step or of the build."""

    def tick(self) -> None:
        """Show that time goes by; called twice a second while nothing is new."""

    def done(self, summary: str) -> None:
        """Leave the steps and what was made as the true, final text."""

    def failed(self, report: Report) -> None:
        """Leave the steps and what went wrong."""


class _Reader(Protocol):
    def read(self, entry: Mapping[str, Any]) -> Iterable[dict[str, Any]]: ...

    def end(self) -> Iterable[dict[str, Any]]: ...


class _Steps:
    """The stream of an engine that tells of steps is what the model takes."""

    def read(self, entry: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
        return (dict(entry),)

    def end(self) -> Iterable[dict[str, Any]]:
        return ()


@dataclass(frozen=True)
class Request:
    """One POST /build."""

    origin: Origin
    parameters: Mapping[str, Any]
    headers: Mapping[str, str]
    tells_steps: bool
    """Whether the engine knows `progress=steps`."""


def run(session: Session, request: Request, build: Build, view: View) -> str:
    """Build, and return the image's id; raises `BuildFailure` once the view has shown why."""
    source, names = request.origin.source, tuple(request.parameters.get("t", ()))
    try:
        response = _sent(session, request)
        _follow(session, request, response, build, view)
    except KeyboardInterrupt:
        view.failed(Report("interrupted; the steps that are done are kept"))
        raise Interrupted("interrupted; the steps that are done are kept") from None
    except Exception as error:
        found = session.explained(error)
        build.failed = build.failed or of_message(str(found))
    if build.failed is not None:
        _remember(session, request, build, names)
        shown = report(build, source, session.program, names)
        view.failed(shown)
        raise failure(build, shown)
    if not build.image:
        raise Failure("the engine ended the build without an image and does not say why")
    view.done(_summary(build, names))
    return build.image


def _remember(session: Session, request: Request, build: Build, names: tuple[str, ...]) -> None:
    """Keep what `debug` enters, where there is a state before the step that failed."""
    detail = build.failed or {}
    step = build.steps.get(str(detail.get("step") or ""))
    if step is None or not detail.get("image"):
        return
    flags, missing = conditions(request.origin.source, step, request.parameters)
    stopped = Stopped(
        session.address, str(detail["image"]), step.name, tagged(names), flags, missing
    )
    remember(stopped)


def _sent(session: Session, request: Request) -> Any:
    """Send the context and return the reply, whose body is still to come."""
    api = session.api
    parameters = {**request.parameters, **request.origin.parameters}
    if request.tells_steps:
        parameters["progress"] = "steps"
    headers = {"Content-Type": "application/x-tar", **request.headers}
    headers |= for_build(session)
    body = request.origin.body
    response = api._post(
        api._url("/build"),
        params=parameters,
        data=None if body is None else iter(body),
        headers=headers,
        stream=True,
        timeout=None,
    )
    api._raise_for_status(response)
    return response


def _follow(session: Session, request: Request, response: Any, build: Build, view: View) -> None:
    reader: _Reader = _Steps() if request.tells_steps else Classic(request.origin.source.lines())
    with closing(Answer(session, response)) as answer:
        for entry in answer:
            if entry is None:
                view.tick()
                continue
            for message in reader.read(entry):
                view.update(build.update(message))
    if build.failed is None:
        for message in reader.end():
            view.update(build.update(message))


def _summary(build: Build, names: tuple[str, ...]) -> str:
    short = build.image.removeprefix("sha256:")[:_SHORT]
    if names:
        return f"Built {', '.join(names)} ({short}): {build.summary()}"
    return f"Built {short}, which has no name (-t gives one): {build.summary()}"
