"""What one verb works with: the surface it writes to and the engine it speaks to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .failures import ENGINE_FAILED, Failure

if TYPE_CHECKING:
    from docker import DockerClient

    from .preferences import Preferences
    from .sandbox.workspace import Workspace
    from .surface import Surface


def _stored() -> Preferences:
    from .preferences import stored

    return stored()


@dataclass
class Session:
    """One verb's surface, and its client, which is made when the verb first needs it."""

    surface: Surface
    connect: Callable[[], DockerClient]
    told: set[str] = field(default_factory=set)
    """The warnings that were given already; a notebook's cells share it."""
    prefer: Callable[[], Preferences] = _stored
    """What tells the person's preferences: the files, or a notebook's `%config`."""
    shared: Callable[[], Workspace] | None = None
    """What returns the notebook's variables and sandboxes, where there is a notebook."""

    @cached_property
    def client(self) -> DockerClient:
        """The engine's client."""
        return self.connect()

    @cached_property
    def preferences(self) -> Preferences:
        """What the person prefers; raises `Failure` where it cannot be read."""
        return self.prefer()

    @property
    def api(self) -> Any:
        """docker-py's low-level client, one method per operation of the Engine API.

        Any: its published types lack the methods that hijack a connection or wait with a condition.
        """
        return self.client.api

    @property
    def program(self) -> str:
        """How a person calls a verb here."""
        return self.surface.program

    @property
    def address(self) -> str:
        """Where the engine is, as DOCKER_HOST would say it."""
        import os

        from ipycontainer_runtime.client import own_paths

        return os.environ.get("DOCKER_HOST") or f"unix://{own_paths().socket}"

    def each(
        self, names: tuple[str, ...], do: Callable[[str], object], *, silent: bool = False
    ) -> None:
        """Do something to each name and, if not `silent`, say it; the rest goes on when one fails.

        Raises the one failure there was, or one that joins them.
        """
        failed = []
        for name in names:
            try:
                do(name)
            except Exception as error:
                failed.append(self.explained(error))
            else:
                if not silent:
                    self.surface.say(name)
        if len(failed) == 1:
            raise failed[0]
        if failed:
            raise Failure("; ".join(str(failure) for failure in failed))

    def explained(self, error: Exception) -> Failure:
        """Return `error` in a person's words; a defect of our own is raised as it is."""
        from .failures import explain

        failure = explain(error, self.program)
        if failure is None:
            raise error
        return failure

    def warn(self, warning: str) -> None:
        """Give a warning of the engine's, once."""
        if warning not in self.told:
            self.told.add(warning)
            self.surface.note(f"WARNING: {warning}")

    @contextmanager
    def naming(self, image: str) -> Iterator[None]:
        """Name the image as it was written where the engine says that a name is malformed."""
        from docker.errors import APIError

        from .cures import malformed

        try:
            yield
        except APIError as error:
            if (why := malformed(image, str(error.explanation))) is None:
                raise
            raise Failure(f"{image!r} is no name of an image: {why}", ENGINE_FAILED) from error

    def extensions(self) -> set[str]:
        """Return what this engine serves under /ipycontainer; nothing on Docker or Podman."""
        response = self.api._get(self.api._url("/ipycontainer"))
        if response.status_code != 200:
            return set()
        return set(response.json().get("Extensions", ()))


def json_lines(session: Session, response: Any) -> Iterator[dict[str, Any]]:
    """Yield the objects of a streamed reply; raises `Failure` at the one that tells an error."""
    try:
        for entry in session.api._stream_helper(response, decode=True):
            if "error" in entry:
                detail = entry.get("errorDetail") or {}
                raise Failure(detail.get("message") or entry["error"])
            yield entry
    finally:
        response.close()
