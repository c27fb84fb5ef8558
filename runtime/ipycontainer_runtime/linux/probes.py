"""What this machine allows, asked by trying it once."""

import errno
import functools
import os
import stat
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from . import calls, cgroup, idmaps, seccomp, subids, userns


class Probe(NamedTuple):
    """One thing tried: `detail` says what was seen, `cure` how to get it when it is not ok."""

    name: str
    ok: bool
    detail: str
    cure: str = ""


@functools.cache
def probe(name: str) -> Probe:
    """Return the outcome of one probe: userns, namespaces, newuidmap, overlay, cgroup or seccomp.

    The first call tries, in a child where a trial would change this process; later calls in this
    process answer from memory. Raises KeyError for another name.
    """
    return _PROBES[name]()


def probes() -> list[Probe]:
    """Return the outcome of every probe."""
    return [probe(name) for name in _PROBES]


def overlay(folder: Path) -> Probe:
    """Tell whether an overlay can be mounted with its upper folder on this file system.

    Tried as launching does it: the lower folder by descriptor (`lowerdir+`, Linux 6.13), else by
    the descriptor's name; `userxattr` unless this is the machine's root. An ordinary user's trial
    is made in a user namespace.
    """
    error = overlay_refusal(folder)
    if error is None:
        return Probe("overlay", True, f"overlays can be mounted in {folder}")
    return Probe(
        "overlay",
        False,
        f"{error.filename}: {error.strerror} on {folder}",
        "use Linux 5.12 or later, and a data root (IPYCONTAINER_ROOT) on ext4, xfs, btrfs or tmpfs",
    )


def overlay_refusal(folder: Path) -> OSError | None:
    """Return why no overlay can have its upper folder on this file system; None when one can.

    Only an ordinary user's process forks for it.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix=".overlay-") as base:
        if os.geteuid() != 0:
            return in_child(lambda: _mount_overlay(base))
        try:
            _mount_overlay(base)
        except OSError as error:
            return error
    return None


def _userns() -> Probe:
    error = in_child(lambda: calls.unshare(calls.CLONE_NEWUSER))
    if error is None:
        return Probe("userns", True, "user namespaces can be created")
    number = error.errno or 0
    return Probe("userns", False, userns.refusal(number, "unshare"), userns.cure(number))


def _namespaces() -> Probe:
    """Try every kind that a container is in, each by itself."""
    refused = {
        kind: error
        for kind, flag in _KINDS.items()
        if (error := in_child(functools.partial(_new_namespace, flag))) is not None
    }
    if not refused:
        *most, last = _KINDS
        return Probe("namespaces", True, f"{', '.join(most)} and {last}: each can be created")
    if userns.must_enter() and not probe("userns").ok:
        cure = probe("userns").cure
        return Probe("namespaces", False, "without a user namespace there is none", cure)
    told = ", ".join(f"{kind} ({error.strerror})" for kind, error in refused.items())
    return Probe("namespaces", False, f"refused: {told}", _namespace_cure(refused))


def _new_namespace(flag: int) -> None:
    if userns.must_enter():
        _own_namespace()
    calls.unshare(flag)


def _namespace_cure(refused: Mapping[str, OSError]) -> str:
    kind, error = next(iter(refused.items()))
    if error.errno == errno.ENOSPC:
        # Each kind is counted for each user: Documentation/admin-guide/sysctl/user.rst.
        setting = f"user.max_{_SHORT.get(kind, kind)}_namespaces"
        return f"This machine allows no more: as root run `sysctl {setting}=15000`"
    if error.errno == errno.EINVAL:
        return f"Use a kernel with {kind} namespaces (CONFIG_NAMESPACES and what is below it)"
    return userns.cure(error.errno or 0)


def masks() -> list[str]:
    """Return which of /proc and /sys the kernel refuses anew in this user namespace.

    It does where something is mounted over a part of those that are here, as container engines do:
    a new one would show what they hide (mount_too_revealing, fs/namespace.c).
    """
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    if not any(line.split()[4].startswith(("/proc/", "/sys/")) for line in lines):
        return []
    kinds = {"proc": "/proc", "sysfs": "/sys"}
    return [p for kind, p in kinds.items() if in_child(functools.partial(_mount_new, kind))]


def _mount_new(kind: str) -> None:
    """Make a file system of this kind for new namespaces, and mount it nowhere."""
    if userns.must_enter():
        _own_namespace()
    calls.unshare(calls.CLONE_NEWNS | calls.CLONE_NEWPID | calls.CLONE_NEWNET)
    # Only a child is in the new pid namespace, whose /proc it is.
    if (error := in_child(lambda: _make_new(kind))) is not None:
        raise error


def _make_new(kind: str) -> None:
    fs = calls.fsopen(kind, calls.FSOPEN_CLOEXEC)
    calls.fsconfig(fs, calls.FSCONFIG_CMD_CREATE, None, None, 0)
    os.close(calls.fsmount(fs, calls.FSMOUNT_CLOEXEC, calls.MOUNT_ATTR_RDONLY))


def _newuidmap() -> Probe:
    if not userns.must_enter():
        return Probe("newuidmap", True, "not needed by root")
    if lack := idmaps.lack():
        what, _, cure = lack.partition(": ")
        return Probe("newuidmap", False, what, cure)
    return Probe("newuidmap", True, "newuidmap and a range of ids are there")


def _overlay() -> Probe:
    return overlay(Path(tempfile.gettempdir()))


def _cgroup() -> Probe:
    found = cgroup.detect()
    if found.mode == "none":
        return Probe("cgroup", False, found.reason.removesuffix(cgroup.CURE), cgroup.CURE)
    bound = " ".join(sorted(found.controllers))
    return Probe("cgroup", True, f"{found.mode}, bound by {bound}, in {found.place}")


def _seccomp() -> Probe:
    machine = os.uname().machine
    if machine not in seccomp.ARCHITECTURES:
        known = " and ".join(seccomp.ARCHITECTURES)
        return Probe("seccomp", False, f"no table of calls for {machine}", f"use {known}")
    try:
        calls.get_seccomp()
    except OSError as error:
        cure = "use a kernel with CONFIG_SECCOMP_FILTER, or --security-opt seccomp=unconfined"
        return Probe("seccomp", False, str(error), cure)
    return Probe("seccomp", True, f"filters for {' and '.join(seccomp.ARCHITECTURES[machine])}")


_KINDS = {
    "mount": calls.CLONE_NEWNS,
    "pid": calls.CLONE_NEWPID,
    "network": calls.CLONE_NEWNET,
    "ipc": calls.CLONE_NEWIPC,
    "uts": calls.CLONE_NEWUTS,
    "cgroup": calls.CLONE_NEWCGROUP,
}
_SHORT = {"mount": "mnt", "network": "net"}
"""The kernel's own names where they differ."""

_PROBES: dict[str, Callable[[], Probe]] = {
    "userns": _userns,
    "namespaces": _namespaces,
    "newuidmap": _newuidmap,
    "overlay": _overlay,
    "cgroup": _cgroup,
    "seccomp": _seccomp,
}


def in_child(trial: Callable[[], None]) -> OSError | None:
    """Run `trial` in a forked child; return the OSError it ended with, if it did."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            trial()
        except OSError as error:
            os.write(writer, f"{error.errno} {error.filename}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        said = file.read().decode()
    os.waitpid(pid, 0)
    if not said:
        return None
    number, _, what = said.partition(" ")
    return OSError(int(number), os.strerror(int(number)), what)


def _mount_overlay(base: str) -> None:
    """Make an overlay of folders in `base` and mount it nowhere: it ends with this process."""
    for name in ("lower", "upper", "work"):
        os.mkdir(f"{base}/{name}")
    # Here an overlay's file system refuses already: one cannot stand on another.
    os.mknod(f"{base}/lower/whiteout", stat.S_IFCHR, 0)
    if os.geteuid() != 0:
        _own_namespace()
    fs = calls.fsopen("overlay", calls.FSOPEN_CLOEXEC)
    lower = os.open(f"{base}/lower", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _make_overlay(fs, lower, base)
    finally:
        os.close(lower)
        os.close(fs)


def _make_overlay(fs: int, lower: int, base: str) -> None:
    try:
        calls.fsconfig(fs, calls.FSCONFIG_SET_FD, "lowerdir+", None, lower)
    except OSError:
        calls.fsconfig(fs, calls.FSCONFIG_SET_STRING, "lowerdir", f"/proc/self/fd/{lower}", 0)
    calls.fsconfig(fs, calls.FSCONFIG_SET_STRING, "upperdir", f"{base}/upper", 0)
    calls.fsconfig(fs, calls.FSCONFIG_SET_STRING, "workdir", f"{base}/work", 0)
    if subids.read_map("/proc/self/uid_map") != userns.WHOLE:
        calls.fsconfig(fs, calls.FSCONFIG_SET_FLAG, "userxattr", None, 0)
    calls.fsconfig(fs, calls.FSCONFIG_CMD_CREATE, None, None, 0)
    os.close(calls.fsmount(fs, calls.FSMOUNT_CLOEXEC, 0))


def _own_namespace() -> None:
    """Become root of a namespace with one id: an overlay needs its folders' owner to be mapped."""
    maps = {"uid_map": f"0 {os.geteuid()} 1", "gid_map": f"0 {os.getegid()} 1"}
    calls.unshare(calls.CLONE_NEWUSER | calls.CLONE_NEWNS)
    for name, text in {"setgroups": "deny", **maps}.items():
        Path("/proc/self", name).write_text(text)
