"""How an archive is compressed: gzip by isal's igzip, zstd, not at all, or as others have it.

igzip inflates three times as fast as zlib; pulls are bound by this.
"""

import bz2
import lzma
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from isal import isal_zlib

from ipycontainer_runtime.errors import Corrupt
from ipycontainer_runtime.oci.model import OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

GZIP, ZSTD, PLAIN = "gzip", "zstd", "none"
# Only read: what a person copies in or imports may have them, no layer that is written has.
BZIP2, XZ = "bzip2", "xz"
MEDIA_TYPES = {GZIP: OCI_LAYER_GZIP, ZSTD: OCI_LAYER_ZSTD, PLAIN: OCI_LAYER}

# What one step may give: a compressed byte can stand for a thousand, and for far more in zstd.
STEP = 1 << 20
# RFC 8878 asks decoders for 8 MiB at least; 128 MiB is what `zstd --ultra --long` makes at most.
MAX_WINDOW_LOG = 27
# `xz -9` asks for 65 MiB to decompress.
_XZ_MEMORY = 256 << 20
# A frame's first bytes are fed in small pieces, since what is left of a piece at a frame's end is
# copied: with pieces of a chunk's size, many tiny frames would take time by the square.
_FIRST = 4096
# eStargz and zstd:chunked have a frame for each file, or for each 4 MiB of it.
_MOST_FRAMES = 1 << 20
# Bytes by which the kinds are told apart.
_HEAD = 6
_IGZIP_ERROR: Any = isal_zlib.error  # a class, though isal declares an instance
# 16 + 15: a gzip header and trailer around a window of 32 KiB (zlib.h, inflateInit2).
_GZIP_BITS = 31


class Compressor(Protocol):
    """Takes bytes, gives compressed bytes."""

    def compress(self, data: bytes | memoryview, /) -> bytes:
        """Return what is ready so far."""
        ...

    def flush(self) -> bytes:
        """Return the rest."""
        ...


class _Plain:
    def compress(self, data: bytes | memoryview, /) -> bytes:
        return bytes(data)

    def flush(self) -> bytes:
        return b""


def compressor(kind: str = GZIP) -> Compressor:
    """Return a compressor whose output depends on its input alone: no name, no time in it."""
    made: Any
    if kind == GZIP:
        made = isal_zlib.compressobj(1, isal_zlib.DEFLATED, _GZIP_BITS)
    elif kind == ZSTD:
        made = zstd.ZstdCompressor(level=3)
    else:
        made = _Plain()
    compressor: Compressor = made
    return compressor


def sniff(head: bytes) -> str:
    """Tell by its first bytes how a layer is compressed; media types lie too often to be asked."""
    if head.startswith(b"\x1f\x8b"):
        return GZIP
    # A zstd frame, or a skippable one before it (RFC 8878, 3.1).
    if head.startswith(b"\x28\xb5\x2f\xfd") or (head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5):
        return ZSTD
    if head.startswith(b"BZh"):
        return BZIP2
    return XZ if head.startswith(b"\xfd7zXZ") else PLAIN


def inflate(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the uncompressed bytes, at most `STEP` at a time; Corrupt when cut or malformed."""
    iterator = iter(chunks)
    head = b""
    for chunk in iterator:
        head += chunk
        if len(head) >= _HEAD:
            break
    kind = sniff(head)
    if kind == PLAIN:
        if head:
            yield head
        yield from iterator
        return
    try:
        if kind == GZIP:
            yield from _gunzip(_Input(head, iterator))
        else:
            yield from _decompressed(_DECOMPRESSORS[kind], kind, _Input(head, iterator))
    except (_IGZIP_ERROR, zstd.ZstdError, lzma.LZMAError, EOFError) as error:
        raise Corrupt(f"the archive's {kind} stream is malformed: {error}") from error


class _Input:
    """Compressed bytes, taken in pieces; what a frame did not use is given back."""

    def __init__(self, head: bytes, iterator: Iterator[bytes]) -> None:
        self._chunk = memoryview(head)
        self._iterator = iterator
        self._at = 0

    def take(self, most: int) -> memoryview:
        """Return the next bytes; none at the end."""
        while self._at == len(self._chunk):
            following = next(self._iterator, None)
            if following is None:
                return memoryview(b"")
            self._chunk, self._at = memoryview(following), 0
        piece = self._chunk[self._at : self._at + most]
        self._at += len(piece)
        return piece

    def give_back(self, count: int) -> None:
        """Have the last `count` bytes of the last piece taken again."""
        self._at -= count


def _gunzip(source: _Input) -> Iterator[bytes]:
    """Inflate gzip members one after the other; pigz and eStargz layers have many."""
    member, ended, size, count = isal_zlib.decompressobj(wbits=_GZIP_BITS), False, _FIRST, 1
    while data := source.take(size):
        if ended:
            # Zeros after the last member are padding, as gzip(1) takes them.
            following = bytes(data).lstrip(b"\0")
            source.give_back(len(following))
            if following:
                member, ended = isal_zlib.decompressobj(wbits=_GZIP_BITS), False
                count = _one_more(count)
            continue
        output = member.decompress(data, STEP)
        ended = member.eof
        source.give_back(len(member.unused_data if ended else member.unconsumed_tail))
        size = _FIRST if ended else min(2 * size, STEP)
        if output:
            yield output
    if not ended:
        raise Corrupt("the archive's gzip stream ends in the middle: fetch it again")


def _decompressed(make: Callable[[], Any], kind: str, source: _Input) -> Iterator[bytes]:
    """Decompress frames one after the other; zstd:chunked layers have many."""
    frame, started, size, count = make(), False, _FIRST, 1
    while True:
        data = memoryview(b"")
        if frame.needs_input or frame.eof:
            data = source.take(size)
            if not data:
                break
            if frame.eof:
                frame, started, count = make(), False, _one_more(count)
        try:
            output = frame.decompress(data, STEP)
        except OSError as error:  # bz2's; what the chunks' source raises is no news of the archive
            raise Corrupt(f"the archive's {kind} stream is malformed: {error}") from error
        started, size = True, min(2 * size, STEP)
        if frame.eof:
            source.give_back(len(frame.unused_data))
            size = _FIRST
        if output:
            yield output
    if started and not frame.eof:
        raise Corrupt(f"the archive's {kind} stream ends in the middle: fetch it again")


def _one_more(count: int) -> int:
    """Return the number of the next frame, each of which takes time though it holds nothing."""
    if count >= _MOST_FRAMES:
        raise Corrupt(f"the archive is compressed in more than the {_MOST_FRAMES} pieces allowed")
    return count + 1


def _zstd_frame() -> Any:
    return zstd.ZstdDecompressor(
        options={int(zstd.DecompressionParameter.window_log_max): MAX_WINDOW_LOG}
    )


def _xz_frame() -> Any:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)


_DECOMPRESSORS: dict[str, Callable[[], Any]] = {
    ZSTD: _zstd_frame,
    BZIP2: bz2.BZ2Decompressor,
    XZ: _xz_frame,
}
