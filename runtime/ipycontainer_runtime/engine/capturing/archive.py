"""A tree as a tar: owned by root, in a stable order, with one time for all.

An installer gives files the time at which it ran; without it, the same distribution gives the same
layer on every machine and after every installation.
"""

import os
import stat
import struct
from collections.abc import Callable

from ipycontainer_runtime.capture.tree import Entry, Tree
from ipycontainer_runtime.layers.tarread import FOLDER, REGULAR, SYMLINK
from ipycontainer_runtime.layers.tarread import Entry as Member
from ipycontainer_runtime.layers.tarwrite import TarWriter

TIME = 315_532_800
"""1980-01-01, in seconds: the first that zip archives can hold, and those may be made of it."""
_CHUNK = 1 << 20
_NANOSECONDS = 1_000_000_000
# Bytecode begins with a magic number, flags, and of its source the time and size (PEP 552).
_HEADER = struct.Struct("<4sIII")
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def write(tree: Tree, tar: TarWriter, read: Callable[[int], None]) -> None:
    """Write every entry; `read` is called with the bytes of each file and may raise to stop.

    A file that cannot be read is left out; one that changes meanwhile is cut or filled to the size
    that its header says, so that the archive is always well formed.
    """
    for entry in tree:
        if entry.origin:
            _file(tree, entry, tar)
        else:
            content = entry.content or b""
            tar.entry(_member(entry, len(content)))
            tar.content(content)
            tar.end_content(len(content))
        read(entry.size)


def _file(tree: Tree, entry: Entry, tar: TarWriter) -> None:
    try:
        file = os.open(entry.origin, _OPEN)
    except OSError:
        return
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            return
        size = found.st_size
        first = os.read(file, min(size, _CHUNK))
        if entry.source and (first := _dated(first, tree.get(entry.source))) == b"":
            return
        tar.entry(_member(entry, size))
        left = size
        while first:
            first = first[:left]
            tar.content(first)
            left -= len(first)
            first = os.read(file, min(left, _CHUNK)) if left else b""
        if left:
            tar.content(bytes(left))
        tar.end_content(size)
    finally:
        os.close(file)


def _dated(bytecode: bytes, source: Entry | None) -> bytes:
    """Return bytecode made to fit its source's time in the image; nothing for what is outdated."""
    if len(bytecode) < _HEADER.size or source is None or not source.stamp:
        return b""
    magic, flags, time, size = _HEADER.unpack_from(bytecode)
    if flags:  # it goes by its source's hash
        return bytecode
    if (time, size) != (source.changed // _NANOSECONDS & 0xFFFFFFFF, source.size & 0xFFFFFFFF):
        return b""
    return _HEADER.pack(magic, flags, TIME, size) + bytecode[_HEADER.size :]


_TYPES = {stat.S_IFDIR: FOLDER, stat.S_IFLNK: SYMLINK, stat.S_IFREG: REGULAR}


def _member(entry: Entry, size: int) -> Member:
    name = os.fsencode(entry.path.lstrip("/")) + b"/" * (entry.kind == stat.S_IFDIR)
    link = os.fsencode(entry.link)
    return Member(name, _TYPES[entry.kind], entry.mode, 0, 0, TIME * _NANOSECONDS, link, size, size)
