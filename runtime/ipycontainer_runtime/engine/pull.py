"""Pulling images: several layers at once, each in one pass, told as Docker tells it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

Progress = dict[str, Any]
Capture = Callable[[], AsyncIterator[Progress]]
"""Makes the image `host` from the running environment, telling its progress."""


class Pulls:
    """The pulls of one engine."""

    def __init__(
        self,
        *,
        blobs: object,
        image_store: object,
        layers: object,
        events: object,
        capture: Capture | None = None,
    ) -> None: ...

    def pull(
        self, reference: str, platform: str | None = None, auth: str | None = None
    ) -> AsyncIterator[Progress]:
        """Pull `NAME[:TAG|@DIGEST]`, yielding Docker's progress messages.

        `auth` is the X-Registry-Auth header as sent. Raises a ContainerError before the first
        message or later; leaves nothing behind then, nor when the iteration is abandoned.
        """
        raise NotImplementedError
