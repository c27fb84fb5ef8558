"""Pushing images, told as Docker tells it."""

from collections.abc import AsyncIterator

from ipycontainer_runtime.engine.pull import Progress


class Pushes:
    """The pushes of one engine."""

    def __init__(self, *, blobs: object, image_store: object, events: object) -> None: ...

    def push(
        self, name: str, tag: str | None = None, auth: str | None = None
    ) -> AsyncIterator[Progress]:
        """Push one tag of a repository, or all of its tags, yielding Docker's progress messages."""
        raise NotImplementedError
