"""A run that is watched from the client's side, so that its own steps stand beside the engine's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .timeline import Step, Timeline
from .unwatched import Unwatched

if TYPE_CHECKING:
    from ..session import Session
    from ..surface import Surface


class Watch(Unwatched):
    """Notes the client's steps by the clock that a local engine shares."""

    def __init__(self, session: Session) -> None:
        self._steps: list[Step] = []
        self._spoken = 0
        self.engine_explains = "timeline" in session.extensions()
        listening: Any = _Listening(session.surface, self._hear)
        session.surface = listening

    def _hear(self) -> None:
        self._spoken = self._spoken or time.monotonic_ns()

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Note a step: a request, which is the engine's time too."""
        begin = time.monotonic_ns()
        try:
            yield
        finally:
            self._steps.append(Step("client", what, begin, time.monotonic_ns() - begin))

    @contextmanager
    def explaining(self, session: Session, container: str) -> Iterator[None]:
        """Show what happened to the container once the block has ended, well or badly.

        What an engine without timelines tells is asked before too: the container may go.
        """
        inspected = None if self.engine_explains else session.api.inspect_container(container)
        try:
            yield
        finally:
            self._show(session, container, inspected)

    def _show(self, session: Session, container: str, inspected: Mapping[str, Any] | None) -> None:
        try:
            timeline = told(session, container, self._own, inspected)
        except Exception as error:
            # How the run itself ended matters more, and is still to be said.
            session.surface.note(f"it cannot be explained: {session.explained(error)}")
        else:
            session.surface.show_aside(timeline)

    def _own(self, boot: str, first: int) -> list[Step]:
        """Return the client's steps from the engine's `first` moment on.

        There are none when the engine's clock is another machine's.
        """
        if not boot or boot != _boot_id():
            return []
        steps = [step._replace(begin=step.begin - first) for step in self._steps]
        if self._spoken:
            steps.append(Step("client", "have the first byte of output", self._spoken - first, 0))
        return steps


class _Listening:
    """A surface that tells when the first output reaches it."""

    def __init__(self, surface: Surface, hear: Callable[[], None]) -> None:
        self._surface = surface
        self._hear = hear

    def write(self, stream: int, data: memoryview) -> None:
        if data:
            self._hear()
        self._surface.write(stream, data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._surface, name)


def told(
    session: Session,
    container: str,
    own: Callable[[str, int], list[Step]] | None = None,
    inspected: Mapping[str, Any] | None = None,
) -> Timeline:
    """Return a container's timeline, as far as its engine knows it.

    `own` returns the client's steps; `inspected` is what the engine said while it was there.
    """
    if "timeline" in session.extensions():
        api = session.api
        url = api._url("/ipycontainer/containers/{0}/timeline", container)
        found = api._result(api._get(url), json=True)
        steps = own(found["Boot"], found["Monotonic"]) if own else []
        return Timeline(found, steps, _unseen(session, found))
    return _elsewhere(session, container, inspected)


def _elsewhere(session: Session, container: str, inspected: Mapping[str, Any] | None) -> Timeline:
    from docker.errors import NotFound

    from .elsewhere import UNSEEN, document

    try:
        inspected = session.api.inspect_container(container)
    except NotFound:
        if inspected is None:
            raise
    assert inspected is not None
    return Timeline(document(inspected, session.api.history(inspected["Image"])), (), [UNSEEN])


def _unseen(session: Session, found: Mapping[str, Any]) -> list[str]:
    again = f"`{session.program} run --explain` has the launcher time each of its operations"
    if found["Explained"]:
        return []
    if found["Runtime"]:
        return [f"It is run by {found['Runtime']}, which does not tell what it does."]
    if found["Seen"] == "now":
        return [f"Facts are as they are now, and the launcher's steps are not known: {again}."]
    if found["Status"] == "created":
        return ["It was not started yet."]
    return [f"Of a run that has ended neither facts nor the launcher's steps are known: {again}."]


def _boot_id() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""
