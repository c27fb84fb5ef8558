"""The use cases of images: list, inspect, history, tag, remove."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Use(NamedTuple):
    """A container that was made from an image."""

    container: str
    running: bool


InUse = Callable[[str], list[Use]]
"""Answers which containers were made from the image with this id."""


class Images:
    """The images of one engine."""

    def __init__(
        self, *, image_store: object, blobs: object, layers: object, events: object, in_use: InUse
    ) -> None: ...

    def list(
        self,
        filters: Mapping[str, list[str]] | None = None,
        *,
        all: bool = False,
        shared_size: bool = False,
    ) -> list[dict[str, Any]]:
        """Return the summaries of GET /images/json, newest first."""
        raise NotImplementedError

    def inspect(self, name: str, version: tuple[int, int] = (1, 50)) -> dict[str, Any]:
        """Return GET /images/{name}/json as that version of the API has it."""
        raise NotImplementedError

    def history(self, name: str) -> "list[dict[str, Any]]":
        """Return GET /images/{name}/history, newest layer first."""
        raise NotImplementedError

    def tag(self, name: str, repository: str, tag: str = "") -> None:
        """Give an image another name."""
        raise NotImplementedError

    async def remove(
        self, name: str, *, force: bool = False, prune: bool = True
    ) -> "list[dict[str, str]]":
        """Untag an image, and delete it when that was its last name: [{"Untagged": …}, {"Deleted": …}].

        Raises Conflict, in Docker's words, where containers or other names need it.
        """
        raise NotImplementedError
