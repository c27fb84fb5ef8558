"""Watch one file for new content, without polling: `logs -f` waits on this."""

from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType


class Watch:
    """An asynchronous iterator of changes to one file.

    ::

        with Watch(path) as watch:
            read what is there
            async for change in watch:    # MODIFIED, CLOSED or GONE
                read what is new

    The watch stands before the first read, so nothing is missed in between.
    """

    def __init__(self, path: Path) -> None:
        raise NotImplementedError

    def __enter__(self) -> "Watch":
        raise NotImplementedError

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        raise NotImplementedError

    def __aiter__(self) -> AsyncIterator[str]:
        raise NotImplementedError
