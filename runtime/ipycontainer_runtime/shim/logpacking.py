"""Rotated log files, compressed: written by a child of the shim, unpacked by whoever reads.

A child and not a thread, since a copy of the shim that is made while another thread works may wait
for ever for a lock that this one held.
"""

import os
import signal
import zlib
from typing import BinaryIO, NoReturn

from ..launch.syscalls import PR_SET_PDEATHSIG, close_range, prctl

PACKED = ".gz"
_PART = ".part"
_CHUNK = 1 << 20
_LAST = 0x7FFFFFFF
# RFC 1952: magic number, deflate, "a name follows", no time, fastest, Unix.
_HEAD = b"\x1f\x8b\x08\x08\0\0\0\0\x04\x03"


def pack(path: str) -> int:
    """Begin to replace a rotated file by a compressed one.

    Returns a descriptor whose end-of-file says that this is over; what cannot be compressed, for
    want of disk above all, stays as it is.
    """
    over, held = os.pipe2(os.O_CLOEXEC)
    if os.fork() == 0:
        _pack(path, held)
    os.close(held)
    return over


def _pack(path: str, held: int) -> NoReturn:
    status = 1
    try:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        # Clients that the shim lets go of must not be held by this.
        os.dup2(held, 3)
        close_range(4, _LAST)
        _write(path, f"{path}{_PART}")
        os.rename(f"{path}{_PART}", f"{path}{PACKED}")
        os.unlink(path)
        status = 0
    finally:
        os._exit(status)


def _write(path: str, part: str) -> None:
    checksum = size = 0
    packer = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
    with open(path, "rb") as plain, open(part, "wb") as packed:
        # The inode, by which a reader that has the plain file open finds where to go on.
        packed.write(_HEAD + b"%d\0" % os.fstat(plain.fileno()).st_ino)
        while data := plain.read(_CHUNK):
            checksum, size = zlib.crc32(data, checksum), size + len(data)
            packed.write(packer.compress(data))
        packed.write(packer.flush() + checksum.to_bytes(4, "little"))
        packed.write((size & 0xFFFFFFFF).to_bytes(4, "little"))


class Part:
    """One file of a log, open to be read; a compressed one as a temporary copy.

    A copy, since a log is read from its end. Raises FileNotFoundError.
    """

    def __init__(self, path: str) -> None:
        # Held, so that no other file gets its inode.
        self._held: BinaryIO = open(path, "rb")  # noqa: SIM115 - kept until `close`
        self.file: BinaryIO = self._held
        self._packed = path.endswith(PACKED)
        if self._packed:
            self.file = self._unpacked(os.path.dirname(path))

    def _unpacked(self, folder: str) -> BinaryIO:
        import gzip
        import shutil
        import tempfile

        copy = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - kept until `close`
        with gzip.open(self._held) as content:
            shutil.copyfileobj(content, copy, _CHUNK)
        copy.seek(0)
        return copy

    def is_at(self, path: str) -> bool:
        """Tell whether this is the file of that path now, perhaps compressed in between."""
        number = os.fstat(self._held.fileno()).st_ino
        with open(path, "rb") as other:
            if os.fstat(other.fileno()).st_ino == number:
                return True
            if self._packed or not path.endswith(PACKED):
                return False
            return other.read(64)[len(_HEAD) :].partition(b"\0")[0] == b"%d" % number

    def close(self) -> None:
        """Close the file."""
        self._held.close()
        self.file.close()
