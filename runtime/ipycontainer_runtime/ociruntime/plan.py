"""From a bundle's spec to the list of operations, as `launch.plan` does for our own containers.

Mounts of type cgroup become the container's own folders, devices become nodes of its /dev (or,
where no cgroup watches over devices, binds of the host's on mounts that are otherwise nodev).
"""

import os
from typing import Any

from ..launch.plan import MOUNT_ATTRIBUTES, PROPAGATION, mount_operation
from ..launch.root import (
    DEVICES,
    Bind,
    Console,
    Device,
    Filesystem,
    Hostname,
    Loopback,
    Mask,
    Pivot,
    ReadOnly,
    ReadOnlyRoot,
    Sysctl,
)
from ..launch.syscalls import MOUNT_ATTR_NODEV, MS_PRIVATE, MS_REC, MS_SHARED
from .bundle import is_bind, new_kinds
from .groups import Groups
from .operations import (
    BundleRoot,
    Close,
    CopyUp,
    Links,
    MoveRoot,
    Node,
    Operation,
    Propagation,
    Subtree,
)

OWN_DEVICES = [
    {"path": path, "type": "c", "major": major, "minor": minor, "fileMode": 0o666}
    for path, (major, minor) in DEVICES.items()
]


def before_pivot(spec: dict[str, Any], groups: Groups) -> list[Operation]:
    """Return what makes the root: hooks that may add to it are run between this and the rest."""
    linux = spec.get("linux") or {}
    nodev = 0 if groups.filters_devices or _all_devices(linux) else MOUNT_ATTR_NODEV
    shared = propagation(spec) & MS_SHARED
    operations: list[Operation] = [
        BundleRoot(spec["root"]["path"], 0 if shared else MS_PRIVATE, nodev)
    ]
    for mount in spec.get("mounts") or ():
        operations += _mounted(mount, groups, nodev)
    if not any(is_bind(m) and m["destination"] == "/dev" for m in spec.get("mounts") or ()):
        devices = {
            device["path"]: device for device in [*OWN_DEVICES, *(linux.get("devices") or ())]
        }
        operations += [_device(device, bool(nodev)) for device in devices.values()]
        operations.append(Links())
    if spec["process"].get("terminal"):
        operations.append(Console())
    if spec.get("hostname"):
        operations.append(Hostname(spec["hostname"], spec.get("domainname") or ""))
    if "network" in new_kinds(spec):
        operations.append(Loopback())
    return operations


def pivot(spec: dict[str, Any], *, move: bool) -> list[Operation]:
    """Return what closes the root and makes it `/`; `move` is for hosts that run from initramfs."""
    linux = spec.get("linux") or {}
    operations: list[Operation] = [
        Sysctl(name, value) for name, value in (linux.get("sysctl") or {}).items()
    ]
    operations += [ReadOnly(path) for path in linux.get("readonlyPaths") or ()]
    operations += [Mask(path) for path in linux.get("maskedPaths") or ()]
    if spec["root"].get("readonly"):
        operations.append(ReadOnlyRoot())
    operations.append(MoveRoot() if move else Pivot())
    if flags := propagation(spec):
        operations.append(Propagation(flags))
    return operations


def propagation(spec: dict[str, Any]) -> int:
    """Return the MS_… flags of `linux.rootfsPropagation`; 0 when there is none."""
    word = (spec.get("linux") or {}).get("rootfsPropagation") or ""
    return PROPAGATION.get(word, 0) | (MS_REC if word.startswith("r") else 0)


def _all_devices(linux: dict[str, Any]) -> bool:
    rules = (linux.get("resources") or {}).get("devices") or ()
    return any(
        rule["allow"] and (rule.get("type") or "a") == "a" and rule.get("major") in (None, -1)
        for rule in rules
    )


def _mounted(mount: dict[str, Any], groups: Groups, nodev: int) -> list[Operation]:
    mount = {**mount, "options": list(mount.get("options") or ())}
    options = mount["options"]
    if mount.get("type") == "cgroup":
        return _cgroups(mount, groups)
    copies = "tmpcopyup" in options
    mount["options"] = [o for o in options if o not in ("tmpcopyup", "notmpcopyup")]
    operation = mount_operation(mount, nodev)
    if isinstance(operation, Filesystem) and copies:
        return [CopyUp(operation.target, operation.options, operation.attributes | nodev)]
    if isinstance(operation, Filesystem) and operation.kind != "devpts":
        return [operation._replace(attributes=operation.attributes | nodev)]
    assert isinstance(operation, Filesystem | Bind), "a mount is one of the two"
    return [operation]


def _cgroups(mount: dict[str, Any], groups: Groups) -> list[Operation]:
    """Return a mount of type cgroup: each hierarchy's own folder, on v1 side by side in a tmpfs."""
    target = mount["destination"]
    attributes = sum(MOUNT_ATTRIBUTES.get(option, 0) for option in mount["options"])
    if groups.mode == "v2":
        return [Subtree(groups.folders[""], target, attributes)]
    operations: list[Operation] = [Filesystem("tmpfs", target, ("mode=755",), 0, "cgroup")]
    names: dict[str, list[str]] = {}
    for controller, folder in groups.folders.items():
        names.setdefault(folder, []).append(controller.removeprefix("name="))
    for folder, controllers in names.items():
        operations.append(Subtree(folder, f"{target}/{','.join(controllers)}", attributes))
    if attributes & MOUNT_ATTRIBUTES["ro"]:
        operations.append(Close(target))
    return operations


def _device(device: dict[str, Any], bound: bool) -> Operation:
    path, kind = device["path"], device.get("type") or "c"
    numbers = device.get("major") or 0, device.get("minor") or 0
    if bound and kind != "p" and os.path.exists(path):
        return Device(path, path, *numbers, kind == "b")
    mode = device.get("fileMode")
    owner = device.get("uid") or 0, device.get("gid") or 0
    return Node(path, kind, *numbers, 0o666 if mode is None else mode & 0o7777, *owner)
