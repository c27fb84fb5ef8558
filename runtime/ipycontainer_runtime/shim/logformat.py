"""The `local` log format, ours: what was read from the container at once is one frame.

    time    8 bytes   nanoseconds since 1970, big-endian
    stream  1 byte    1 stdout, 2 stderr; 0x80 is added when the frame goes on with a line
    length  3 bytes
    data    length bytes
    length  4 bytes   again, so that the end of a log is found from behind

A frame costs one system call whatever it holds, so a megabyte of short lines is logged at the
speed of the page cache; the reader finds the lines. Docker's format of the same name has one
record per line.
"""

import os
import struct
from typing import BinaryIO, NamedTuple

HEADER = struct.Struct(">QBBH")
TRAILER = struct.Struct(">I")
OVERHEAD = HEADER.size + TRAILER.size
CONTINUES = 0x80


class Header(NamedTuple):
    """What a frame says of its data before it."""

    time_ns: int
    stream: int
    continues: bool
    length: int


def header(time_ns: int, stream: int, continues: bool, length: int) -> bytes:
    """Return the twelve bytes before the data of a frame."""
    first = stream | CONTINUES if continues else stream
    return HEADER.pack(time_ns, first, length >> 16, length & 0xFFFF)


def parse(data: bytes) -> Header:
    """Return what twelve bytes before the data of a frame say."""
    time_ns, first, high, low = HEADER.unpack(data)
    return Header(time_ns, first & 0x7F, bool(first & CONTINUES), high << 16 | low)


def end_of_frames(file: BinaryIO) -> int:
    """Return where the last whole frame ends, which a crash may have followed by a torn one."""
    size = file.seek(0, os.SEEK_END)
    if size >= OVERHEAD:
        file.seek(size - TRAILER.size)
        (length,) = TRAILER.unpack(file.read(TRAILER.size))
        start = size - length - OVERHEAD
        if start >= 0:
            file.seek(start)
            if parse(file.read(HEADER.size)).length == length:
                return size
    position = 0
    while True:
        file.seek(position)
        head = file.read(HEADER.size)
        if len(head) < HEADER.size:
            return position
        end = position + parse(head).length + OVERHEAD
        if end > size:
            return position
        position = end
