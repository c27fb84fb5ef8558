"""What a compressed archive may give: bounded by its compressed size, so a bomb ends early."""

from collections.abc import Iterable, Iterator

from ipycontainer_runtime.errors import Corrupt
from ipycontainer_runtime.layers.compression import inflate
from ipycontainer_runtime.layers.tarread import Limits


class TooLarge(Corrupt):
    """An archive has more than it may have, whatever its compressed size."""


def inflated(chunks: Iterable[bytes], limits: Limits, what: str) -> Iterator[bytes]:
    """Yield the uncompressed bytes of `what`; Corrupt beyond what so many compressed may give."""
    counted = _Counted(chunks)
    size = 0
    for chunk in inflate(counted):
        size += len(chunk)
        if size > limits.unpacked:
            raise TooLarge(f"the {what} has more than {limits.unpacked} bytes")
        allowed = limits.free + limits.ratio * counted.size
        if size > allowed:
            raise Corrupt(
                f"the {what} inflates to more than the {allowed} bytes that its"
                f" {counted.size} compressed bytes may give"
            )
        yield chunk


class _Counted:
    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.size += len(chunk)
            yield chunk
