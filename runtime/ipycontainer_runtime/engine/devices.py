"""Which devices of the host a container shows besides the six that every one has.

A device is bound from the host, never made: every other mount of a container is `nodev`, so what
is not bound cannot be opened, whatever nodes are made inside. Therefore no device controller is
needed, and none could tell reading from writing: a device is had whole or not at all.
"""

import os
import posixpath
import stat
from collections.abc import Iterator

from ipycontainer_runtime.errors import InvalidParameter, NotImplementedHere
from ipycontainer_runtime.oci.runtime import Device
from ipycontainer_runtime.store.records import HostConfig

OWN = frozenset(
    f"/dev/{name}"
    for name in ("null", "zero", "full", "random", "urandom", "tty", "console", "ptmx")
)
"""Devices that every container has, or that are its own."""

_OWN_FOLDERS = ("/dev/pts", "/dev/shm", "/dev/mqueue")  # noqa: S108 - places, not files of ours


def check_devices(host: HostConfig) -> None:
    """Refuse devices that are not there, and permissions that cannot be kept apart."""
    for asked in host.devices or ():
        permissions = asked.get("CgroupPermissions") or "rwm"
        if set(permissions) - set("rwm"):
            source = asked.get("PathOnHost")
            raise InvalidParameter(f"bad mode specified: {permissions} for {source}: use rwm")
        if not {"r", "w"} <= set(permissions):
            raise NotImplementedHere(
                f'HostConfig.Devices: "{permissions}" for {asked.get("PathOnHost")} is not '
                "supported: a device is given whole, as rwm"
            )
    host_devices(host)


def host_devices(host: HostConfig) -> list[Device]:
    """Return the devices that a container is given of the host, as they are now."""
    found = {device["path"]: device for device in _all()} if host.privileged else {}
    for asked in host.devices or ():
        source = asked.get("PathOnHost") or ""
        target = posixpath.normpath(asked.get("PathInContainer") or source)
        found.update({device["path"]: device for device in _asked(source, target)})
    return [found[path] for path in sorted(found)]


def _all() -> Iterator[Device]:
    for device in _below("/dev", "/dev"):
        if device["path"] not in OWN and not device["path"].startswith(_OWN_FOLDERS):
            yield device


def _asked(source: str, target: str) -> Iterator[Device]:
    real = os.path.realpath(source)
    if not source.startswith("/") or not target.startswith("/"):
        raise InvalidParameter(f"the device {source}:{target} is not named by absolute paths")
    if target in OWN and (real != target or os.path.isdir(real)):
        raise InvalidParameter(f"the device {target} is every container's own: choose another path")
    if os.path.isdir(real):
        yield from _below(real, target)
        return
    if target in OWN:
        return  # the container has it anyway
    device = _device(real, target)
    if device is None:
        raise InvalidParameter(
            f'error gathering device information while adding custom device "{source}": '
            "no such device of the host"
        )
    yield device


def _below(folder: str, target: str) -> Iterator[Device]:
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            if device := _device(path, target + path.removeprefix(folder)):
                yield device


def _device(path: str, target: str) -> Device | None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    if stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
        return {
            "source": path,
            "path": target,
            "type": "b" if stat.S_ISBLK(found.st_mode) else "c",
            "major": os.major(found.st_rdev),
            "minor": os.minor(found.st_rdev),
        }
    return None
