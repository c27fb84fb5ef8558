"""The driver `local`: a folder of the data root, or with options a file system mounted there.

The options are those of mount(8): `type`, `device` and `o`. It is mounted in the engine's own mount
namespace, so that all containers have one and the same, and for as long as one of them runs.
"""

import contextlib
import os
import socket
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ipycontainer_runtime.engine.mounts import refuse_own
from ipycontainer_runtime.engine.volumes.driver import Known
from ipycontainer_runtime.errors import InvalidParameter, Unavailable
from ipycontainer_runtime.linux.calls import MNT_DETACH, UMOUNT_NOFOLLOW, mount, umount
from ipycontainer_runtime.linux.mounted import spreads
from ipycontainer_runtime.paths import Paths
from ipycontainer_runtime.store.volumes import LOCAL, Volume, VolumeStore

# include/uapi/linux/mount.h; what mount(8) calls them.
_FLAGS = {
    "ro": 1,
    "nosuid": 2,
    "nodev": 4,
    "noexec": 8,
    "sync": 16,
    "dirsync": 128,
    "nosymfollow": 256,
    "noatime": 1024,
    "nodiratime": 2048,
    "bind": 4096,
    "rbind": 4096 | 16384,
    "relatime": 1 << 21,
    "strictatime": 1 << 24,
    "lazytime": 1 << 25,
}
_WORDLESS = frozenset(("rw", "suid", "dev", "exec", "async", "atime", "diratime", "defaults", ""))
_BIND = 4096
_PAGE = 4096
"""What mount(2) has for the options of a file system."""
_ADDRESSES = {"nfs": "addr", "nfs4": "addr", "cifs": "addr"}
"""The option with which the kernel wants a server's address, not its name."""
_OF_USERS = ("tmpfs", "ramfs", "overlay")
"""What a user namespace may mount."""


class Options(NamedTuple):
    """How a volume's file system is mounted."""

    type: str
    device: str
    flags: int
    data: str

    @property
    def is_bind(self) -> bool:
        """Whether it shows a folder of the host."""
        return bool(self.flags & _BIND)


class Local:
    """Volumes in the engine's own folders."""

    name = LOCAL

    def __init__(self, store: VolumeStore, paths: Paths, *, rootless: bool) -> None:
        self._store = store
        self._own = [os.path.realpath(folder) for folder in paths]
        self._rootless = rootless

    def check(self, volume: Volume) -> None:
        """Refuse options that Docker's driver refuses, and what only root may mount."""
        given = volume.options or {}
        if "size" in given:
            raise InvalidParameter("quota size requested but no quota support")
        for name in given:
            if name not in ("type", "device", "o"):
                raise InvalidParameter(f'invalid option: "{name}": use type, device and o')
        for name in ("device", "type") if given else ():
            if not given.get(name):
                raise InvalidParameter(f'missing required option: "{name}"')
        if options := parse(given):
            self._check_mount(options)

    def _check_mount(self, options: Options) -> None:
        if len(options.data) >= _PAGE:
            raise InvalidParameter(f"invalid option: o has more than {_PAGE - 1} characters")
        if options.is_bind:
            self._checked_device(options.device)
        elif self._rootless and options.type not in _OF_USERS:
            raise InvalidParameter(
                f"volumes of type {options.type} are for root's engine, since only root may mount "
                "one: have root mount it and use o=bind with its folder, or type=tmpfs"
            )

    def _checked_device(self, device: str) -> str:
        real = os.path.realpath(device)
        refuse_own(f"device {device}", real, self._own)
        for folder in self._own:
            if folder.startswith(real.rstrip("/") + "/"):
                raise InvalidParameter(
                    f"device {device} holds the engine's own folder {folder}: name a folder "
                    "that does not, or mount it with -v"
                )
        return real

    def create(self, volume: Volume) -> None:
        """Do nothing: the folder comes with the record."""

    def remove(self, volume: Volume) -> None:
        """Unmount what an engine that was killed may have left."""
        self.unmount(volume, "", last=True)

    def path(self, volume: Volume) -> str:
        """Return the folder."""
        return self._store.data(volume.name)

    def mount(self, volume: Volume, word: str) -> str:
        """Mount what the options say, unless it is."""
        at = self.path(volume)
        options = parse(volume.options or {})
        if options and spreads(at).point != at:
            try:
                self._mount(options, at)
            except OSError as error:
                why = (error.strerror or "").lower()
                raise InvalidParameter(
                    f"error while mounting volume '{at}': failed to mount local volume: mount "
                    f"{options.device}:{at}, type {options.type}, data: {options.data}: {why}"
                ) from error
        return at

    def _mount(self, options: Options, at: str) -> None:
        if not options.is_bind:
            mount(options.device, at, options.type, options.flags, _resolved(options))
            return
        # Held open, so that nobody puts a link in its way after it was looked at.
        device = os.open(self._checked_device(options.device), os.O_PATH | os.O_CLOEXEC)
        try:
            at_last = os.readlink(f"/proc/self/fd/{device}")
            refuse_own(f"device {options.device}", at_last, self._own)
            mount(f"/proc/self/fd/{device}", at, "none", options.flags, options.data)
        finally:
            os.close(device)
        closed = options.flags & ~(_BIND | 16384)
        if closed:  # a bind takes no other flags: mount(2)
            with contextlib.ExitStack() as undo:
                undo.callback(umount, at, MNT_DETACH | UMOUNT_NOFOLLOW)
                mount(None, at, None, closed | _BIND | 32, None)
                undo.pop_all()

    def unmount(self, volume: Volume, word: str, *, last: bool) -> None:
        """Unmount it after the last."""
        at = self.path(volume)
        while last and volume.options and spreads(at).point == at:
            umount(at, MNT_DETACH | UMOUNT_NOFOLLOW)

    def find(self, name: str) -> Known | None:
        """Return what is in the store."""
        volume = self._store.get(name)
        return _known(self, volume) if volume and volume.driver == LOCAL else None

    def known(self) -> Iterable[Known]:
        """Return all that are in the store."""
        return [_known(self, volume) for volume in self._store.list() if volume.driver == LOCAL]

    def scope(self) -> str:
        """Return `local`."""
        return "local"


def _known(driver: Local, volume: Volume) -> Known:
    return Known(volume.name, driver.path(volume), volume.created)


def parse(given: dict[str, str]) -> Options | None:
    """Return what `type`, `device` and `o` say; None where nothing is to be mounted."""
    if not given.get("type"):
        return None
    flags, data = 0, []
    for word in (given.get("o") or "").split(","):
        if word in _FLAGS:
            flags |= _FLAGS[word]
        elif word not in _WORDLESS:
            data.append(word)
    return Options(given["type"], given["device"], flags, ",".join(data))


def _resolved(options: Options) -> str:
    """Return the data with the server's name as an address, which the kernel cannot look up."""
    key = _ADDRESSES.get(options.type)
    words: Sequence[str] = options.data.split(",")
    server = next((word.partition("=")[2] for word in words if word.startswith(f"{key}=")), "")
    if key is None or (not server and options.type != "cifs"):
        return options.data
    server = server or options.device.lstrip("/").partition("/")[0]
    try:
        found = socket.getaddrinfo(server, None, type=socket.SOCK_STREAM)[0][4][0]
    except OSError as error:
        raise Unavailable(
            f"cannot find the server {server} of the volume: {error.strerror or error}: "
            "check its name, or give its address"
        ) from error
    kept = [word for word in words if word and not word.startswith(f"{key}=")]
    return ",".join((*kept, f"{key}={found}"))
