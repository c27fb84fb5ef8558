"""The watch of a run that nobody wants explained; apart from the other, which costs an import."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..session import Session


class Unwatched:
    """Lets everything pass."""

    engine_explains = False
    """Whether the engine has timelines."""

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Do nothing around a request of the client's."""
        yield

    def start(self, start: Callable[[], None]) -> None:
        """Start the container."""
        with self.step("have it started (POST /containers/{id}/start)"):
            start()

    @contextmanager
    def explaining(self, session: Session, container: str) -> Iterator[None]:
        """Do nothing around the container's life."""
        yield
