"""From the runtime spec to the list of operations: pure, so that it can be shown and tested."""

from typing import Any

from ipycontainer_runtime.launch.root import (
    DEVICE_LINKS,
    DEVICES,
    Bind,
    Console,
    Device,
    Filesystem,
    Hostname,
    Link,
    Loopback,
    Mask,
    Operation,
    Overlay,
    Pivot,
    ReadOnly,
    ReadOnlyRoot,
    RootFolder,
    SharedMemory,
    Sysctl,
)
from ipycontainer_runtime.launch.syscalls import (
    MOUNT_ATTR_NOATIME,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NODIRATIME,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_NOSYMFOLLOW,
    MOUNT_ATTR_RDONLY,
    MOUNT_ATTR_STRICTATIME,
    MS_PRIVATE,
    MS_SHARED,
    MS_SLAVE,
)

MOUNT_ATTRIBUTES = {
    "ro": MOUNT_ATTR_RDONLY,
    "rro": MOUNT_ATTR_RDONLY,
    "nosuid": MOUNT_ATTR_NOSUID,
    "nodev": MOUNT_ATTR_NODEV,
    "noexec": MOUNT_ATTR_NOEXEC,
    "noatime": MOUNT_ATTR_NOATIME,
    "nodiratime": MOUNT_ATTR_NODIRATIME,
    "nosymfollow": MOUNT_ATTR_NOSYMFOLLOW,
    "strictatime": MOUNT_ATTR_STRICTATIME,
}
# Read-only, but for what is mounted below: of a bind. Others' "ro" is this; ours closes all.
TOP_READ_ONLY = "ro-top"
IDMAP = "idmap"
BENEATH = "beneath="
PROPAGATION = {
    "rprivate": MS_PRIVATE,
    "private": MS_PRIVATE,
    "rslave": MS_SLAVE,
    "slave": MS_SLAVE,
    "rshared": MS_SHARED,
    "shared": MS_SHARED,
}
# What `mount` accepts and the kernel does by default.
WORDLESS = {
    *("rw", "suid", "dev", "exec", "bind", "rbind", "async", "loud"),
    *("atime", "diratime", "relatime", "norelatime", "nostrictatime", "symfollow"),
    *("nodirsync", "nolazytime", "nomand"),
}


def plan(spec: dict[str, Any]) -> list[Operation]:
    """Return what will be done to make the container's root, in order; pure, so it can be shown."""
    ours, linux = spec["ipycontainer"], spec.get("linux", {})
    operations: list[Operation] = [rootfs(ours["rootfs"])]
    for mount in spec.get("mounts", []):
        operations.append(mount_operation(mount))
        # A folder of the host that is mounted at /dev is shown as it is: nothing is made in it.
        own = mount["destination"] == "/dev" and mount.get("type") == "tmpfs"
        if own and ours.get("devices", True):
            operations += [Device(path, path, *number) for path, number in DEVICES.items()]
            operations += [_device(device) for device in ours.get("host_devices", ())]
            operations += [Link(target, name) for name, target in DEVICE_LINKS.items()]
    if namespace := ours.get("shm"):
        operations.append(SharedMemory(namespace))
    if spec["process"].get("terminal"):
        operations.append(Console())
    if spec.get("hostname"):
        operations.append(Hostname(spec["hostname"], spec.get("domainname", "")))
    if ours.get("loopback"):
        operations.append(Loopback())
    operations += [Sysctl(name, value) for name, value in linux.get("sysctl", {}).items()]
    operations += [ReadOnly(path) for path in linux.get("readonlyPaths", [])]
    operations += [Mask(path) for path in linux.get("maskedPaths", [])]
    if spec.get("root", {}).get("readonly"):
        operations.append(ReadOnlyRoot())
    operations.append(Pivot())
    return operations


def rootfs(mounts: list[dict[str, Any]]) -> Overlay | RootFolder:
    """Return the operation that makes the root of a bundle's `rootfs`."""
    (mount,) = mounts
    if mount["type"] == "bind":
        return RootFolder(mount["source"])
    return _overlay(mount["options"])


def _overlay(options: dict[str, Any], target: str = "") -> Overlay:
    flags = tuple(flag for flag in ("userxattr", "volatile") if options.get(flag))
    lower, upper, work = options["lowerdir"], options["upperdir"], options["workdir"]
    own = int(options.get("own", False))
    return Overlay(tuple(lower), upper, work, flags, target, own)


def _device(device: dict[str, Any]) -> Device:
    number = device["major"], device["minor"]
    return Device(device["source"], device["path"], *number, device["type"] == "b")


def mount_operation(mount: dict[str, Any], bound: int = MOUNT_ATTR_NODEV) -> Operation:
    """Return the operation of an OCI mount; `bound` are attributes that every bind mount gets.

    A bind shows a file system that others can write; by nodev device nodes in it stay closed too.
    """
    attributes = propagation = 0
    data: list[str] = []
    options = mount.get("options", [])
    if isinstance(options, dict):
        return _overlay(options, mount["destination"])
    for option in options:
        attributes |= MOUNT_ATTRIBUTES.get(option, 0)
        propagation = PROPAGATION.get(option, propagation)
        if option not in MOUNT_ATTRIBUTES and option not in PROPAGATION and option not in WORDLESS:
            data.append(option)
    if mount.get("type", "bind") == "bind" or "bind" in options or "rbind" in options:
        recursive = "rbind" in options
        attributes |= bound
        return Bind(
            mount["source"],
            mount["destination"],
            recursive,
            attributes,
            propagation,
            MOUNT_ATTR_RDONLY if TOP_READ_ONLY in options else 0,
            next((o.removeprefix(BENEATH) for o in options if o.startswith(BENEATH)), ""),
            IDMAP in options,
        )
    source = mount.get("source", "")
    return Filesystem(mount["type"], mount["destination"], tuple(data), attributes, source)
