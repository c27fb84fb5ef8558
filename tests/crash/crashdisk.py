"""A small disk for a data root: a tmpfs, which can be filled to its last byte and freed again."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ipycontainer_runtime.linux import userns
from support.engines import Engine

MEGABYTES = 96
# An ordinary user may mount in the engine's own namespace alone, which later engines join.
MOUNT = """
import ctypes, os, sys
from pathlib import Path
from ipycontainer_runtime.linux import userns
userns.enter(Path(sys.argv[2]))
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(b"tmpfs", os.fsencode(sys.argv[1]), b"tmpfs", 0, sys.argv[3].encode()):
    sys.exit(os.strerror(ctypes.get_errno()))
"""


class Disk:
    """The file system of an engine's data root; `root` is where this process sees it."""

    def __init__(self, engine: Engine) -> None:
        self._paths = engine.paths
        self.root = self._paths.root
        self._paths.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._paths.run.mkdir(mode=0o700, parents=True, exist_ok=True)

    def insert(self) -> None:
        """Mount it unless it is there; an engine of an ordinary user takes it along at its end."""
        if self._is_there():
            return
        options = f"size={MEGABYTES}m,mode=700"
        places = [str(self._paths.root), str(self._paths.run), options]
        subprocess.run([sys.executable, "-c", MOUNT, *places], check=True)
        assert self._is_there()

    def _is_there(self) -> bool:
        if os.getuid() != 0:
            pin = self._pin()
            if pin is None:
                return False
            self.root = Path(f"/proc/{pin}/root{self._paths.root}")
        return self.root.is_dir() and os.statvfs(self.root).f_blocks == MEGABYTES << 8

    def _pin(self) -> int | None:
        try:
            recorded = json.loads((self._paths.run / userns.RECORD).read_text())["pid"]
        except FileNotFoundError:
            return None
        return recorded if Path(f"/proc/{recorded}").exists() else None

    @contextmanager
    def full(self, leaving: int) -> Iterator[None]:
        """Leave so many bytes free for the length of the block."""
        filler = self.root / "filler"
        try:
            with filler.open("wb", buffering=0) as file:
                _fill(file.fileno(), leaving)
            yield
        finally:
            filler.unlink(missing_ok=True)

    def remove(self) -> None:
        """Unmount it; what an ordinary user mounted went with its namespace."""
        if os.getuid() == 0 and self._is_there():
            subprocess.run(["umount", "--lazy", str(self._paths.root)], check=True)


def _fill(fd: int, leaving: int) -> None:
    while True:
        free = os.fstatvfs(fd)
        length = free.f_bavail * free.f_bsize - leaving
        if length <= 0:
            return
        try:
            os.posix_fallocate(fd, os.fstat(fd).st_size, length)
        except OSError as error:
            # The engine was writing as well, and took what we had counted on.
            if error.errno != errno.ENOSPC:
                raise
