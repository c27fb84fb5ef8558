"""A tree as a stream of tar, owned by root, in a stable order."""

import os
import stat
import tarfile
from collections.abc import Callable, Iterator

from ipycontainer_runtime.capture.tree import Entry, Tree

BLOCK = 512
CHUNK = 1 << 20
TYPES = {
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFREG: tarfile.REGTYPE,
}


def stream(tree: Tree, progress: Callable[[int], None]) -> Iterator[bytes]:
    """Yield the tar's bytes; `progress` is called with the bytes of each file read.

    A file that cannot be read is left out; one that changes meanwhile is cut or filled to the size
    that its header says, so that the archive is always well formed.
    """
    for entry in tree:
        if entry.kind == stat.S_IFREG and entry.content is None:
            yield from _file(entry, progress)
            continue
        content = entry.content or b""
        yield _header(entry, len(content), 0)
        yield content + bytes(-len(content) % BLOCK)
    yield bytes(2 * BLOCK)


def _file(entry: Entry, progress: Callable[[int], None]) -> Iterator[bytes]:
    try:
        file = open(entry.path, "rb", buffering=0)  # noqa: SIM115 - closed below
    except OSError:
        return
    with file:
        found = os.fstat(file.fileno())
        yield _header(entry, found.st_size, int(found.st_mtime))
        left = found.st_size
        while left:
            chunk = file.read(min(left, CHUNK))
            if not chunk:
                break
            left -= len(chunk)
            yield chunk
        progress(found.st_size)
        yield bytes(left + -found.st_size % BLOCK)


def _header(entry: Entry, size: int, mtime: int) -> bytes:
    info = tarfile.TarInfo(entry.path.lstrip("/"))
    info.type = TYPES[entry.kind]
    info.mode = entry.mode
    info.size = size
    info.mtime = mtime
    info.linkname = entry.link
    return info.tobuf(tarfile.PAX_FORMAT)
