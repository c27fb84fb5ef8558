"""The folder of one kernel's sockets on this machine, which its owner's lock keeps alive.

```
BASE/                 this user's, 0700
  ab12cd34/           one kernel's
    lock              flock of the process that owns the kernel
    connection.json   what the kernel reads, mounted read-only
    control           the control socket, mounted read-only
    s                 -> /proc/OWNER/fd/N: the container's own small tmpfs, with the five sockets
```
What the container writes is in that tmpfs, whose size and number of files are bounded, and never in
a file system of this machine's. Its owner holds it by a descriptor, found below the container's
root, and nothing on this side writes into it. Nobody else on the machine gets past BASE. When a
lock is free its owner is dead, however it died, and what it left may be removed by anybody.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import secrets
import shutil
import stat
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from ipycontainer.failures import Failure

INSIDE: Final = "/run/ipycontainer-kernel"
"""Where `s` is in the container."""
TMPFS: Final = "size=64k,nr_inodes=64,mode=777,nosymfollow"
"""What it may hold: sockets take no room, but one inode each. A link that the container puts in a
socket's place would lead who connects from this side to any socket of this machine."""
CONTROL: Final = f"{INSIDE}/control"
"""Where the control socket is in the container."""
CONNECTION: Final = "/run/ipycontainer-kernel.json"
"""Where the connection file is in the container."""
STEM: Final = "k"
PORTS: Final = ("shell_port", "iopub_port", "stdin_port", "hb_port", "control_port")
"""In the order in which the sockets are numbered, from 1."""
_LONGEST = 107  # sockaddr_un's, less the NUL that ends it
_IN_MOVED_TO, _IN_CREATE = 0x80, 0x100
_OPENAT2 = 437  # on all machines: the calls that came after Linux 5.1 have one number each
_RESOLVE_NO_MAGICLINKS, _RESOLVE_IN_ROOT = 0x02, 0x10


def base() -> Path:
    """Return the folder of this user's kernels; nothing is made."""
    runtime = os.environ.get("XDG_RUNTIME_DIR") or ("/run" if os.getuid() == 0 else "")
    if runtime and len(os.fsencode(runtime)) < _LONGEST - 40:
        return Path(runtime) / "ipycontainer-kernels"
    return Path(f"/tmp/ipycontainer-kernels-{os.getuid()}")  # noqa: S108 - its owner is checked


class KernelFolder:
    """One kernel's folder, made and locked; `close` removes it."""

    def __init__(self) -> None:
        parent = base()
        _make_private(parent)
        self.path = parent / secrets.token_hex(4)
        self.path.mkdir(0o700)
        # It has its name only once it is held: who sweeps meanwhile would take the owner for dead.
        unnamed = self.path / ".lock"
        self._lock = os.open(unnamed, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        unnamed.rename(self.path / "lock")
        self._inside = -1

    @property
    def sockets(self) -> Path:
        """The folder that the container has at INSIDE."""
        return self.path / "s"

    @property
    def stem(self) -> str:
        """What the sockets' paths begin with here; jupyter_client adds `-1` to `-5`."""
        return str(self.sockets / STEM)

    @property
    def connection(self) -> Path:
        """The file that the kernel reads."""
        return self.path / "connection.json"

    def write_connection(self, connection: dict[str, Any]) -> None:
        """Write the file that the kernel reads."""
        file = self.connection
        file.unlink(missing_ok=True)
        file.write_text(json.dumps(connection, indent=1), encoding="utf-8")
        file.chmod(0o644)  # any user of the container may read it; here nobody gets to it

    @property
    def control(self) -> Path:
        """Where the control socket is bound."""
        return self.path / "control"

    def enter(self, pid: int) -> bool:
        """Have `sockets` be what the container of this process has at INSIDE.

        False when the process has ended. What the container's root holds is the container's word,
        so no link leads out of it.
        """
        self.leave()
        try:
            root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, ProcessLookupError):
            return False
        try:
            self._inside = _open_below(root, INSIDE)
        finally:
            os.close(root)
        self.sockets.symlink_to(f"/proc/{os.getpid()}/fd/{self._inside}")
        return True

    def leave(self) -> None:
        """Let the sockets of a container that has ended go."""
        self.sockets.unlink(missing_ok=True)
        if self._inside >= 0:
            os.close(self._inside)
            self._inside = -1

    def close(self) -> None:
        """Remove the folder and let the lock go."""
        self.leave()
        _remove(self.path)
        os.close(self._lock)


def _open_below(root: int, path: str) -> int:
    """Open a folder by its path in a container, as the container's own processes would."""
    how = struct.pack(
        "QQQ",
        os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC,
        0,
        _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS,
    )
    libc = ctypes.CDLL(None, use_errno=True)
    found = int(libc.syscall(_OPENAT2, root, os.fsencode(path), how, len(how)))
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)
    return found


def is_owned(path: Path) -> bool:
    """Tell whether the folder's owner lives; one of another user counts as alive."""
    try:
        lock = os.open(path / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except PermissionError:  # on an engine that users share: theirs to sweep
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def abandoned() -> Iterator[Path]:
    """Yield the folders whose owners are dead."""
    if not (parent := base()).is_dir():
        return
    for path in parent.iterdir():
        # One that is just being made has no lock yet, and is younger than its owner's next line.
        if (path / "lock").exists() and not is_owned(path):
            yield path


def remove_abandoned() -> None:
    """Remove the folders of dead owners."""
    for path in abandoned():
        _remove(path)


def owner() -> str:
    """Return what tells this place from all others where the same path is another folder."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}:{os.stat('/proc/self/ns/mnt').st_ino}"


class Arrivals:
    """Tells when files have come into a folder: `descriptor` is readable when some have."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self.descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        mask = _IN_CREATE | _IN_MOVED_TO
        if libc.inotify_add_watch(self.descriptor, os.fsencode(folder), mask) < 0:
            os.close(self.descriptor)
            raise OSError(ctypes.get_errno(), "inotify_add_watch", str(folder))
        self._missing = {name for name in names if not os.path.lexists(folder / name)}

    @property
    def complete(self) -> bool:
        """Whether all of them are there."""
        return not self._missing

    def read(self) -> None:
        """Take what came."""
        try:
            data = os.read(self.descriptor, 65536)
        except BlockingIOError:
            return
        while data:
            _watch, _mask, _cookie, length = struct.unpack_from("iIII", data)
            self._missing.discard(os.fsdecode(data[16 : 16 + length].rstrip(b"\0")))
            data = data[16 + length :]

    def close(self) -> None:
        """Stop watching."""
        os.close(self.descriptor)


def socket_names() -> list[str]:
    """Return the names of a kernel's five sockets in its folder."""
    return [f"{STEM}-{number}" for number in range(1, len(PORTS) + 1)]


def _make_private(parent: Path) -> None:
    parent.mkdir(0o700, exist_ok=True)
    found = os.lstat(parent)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise Failure(
            f"{parent} must be a folder of this user's that nobody else gets into: remove it, or"
            " set XDG_RUNTIME_DIR"
        )


def _remove(path: Path) -> None:
    # One of another release may hold what the container's user left, and this user may not empty.
    shutil.rmtree(path, ignore_errors=True)
