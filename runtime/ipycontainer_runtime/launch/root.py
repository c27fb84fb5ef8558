"""The container's root, and the small frozen operations that make it.

Each operation says what it does (`repr`) and does it (`do`). Every target inside the root is
reached through a descriptor resolved with RESOLVE_IN_ROOT, so a hostile image cannot point a mount
outside; every source that must be what it says is opened first and checked.
"""

import errno
import fcntl
import os
import socket
import stat
import struct
from typing import NamedTuple

from ipycontainer_runtime.launch.syscalls import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_RECURSIVE,
    CLONE_NEWNS,
    FSCONFIG_CMD_CREATE,
    FSCONFIG_SET_FD,
    FSCONFIG_SET_FLAG,
    FSCONFIG_SET_STRING,
    IFF_UP,
    MNT_DETACH,
    MOUNT_ATTR_IDMAP,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_NODEV,
    MS_RDONLY,
    RESOLVE_BENEATH,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    SIOCGIFFLAGS,
    SIOCSIFFLAGS,
    TIOCGPTPEER,
    TIOCSPTLCK,
    fsconfig,
    fsmount,
    fsopen,
    mount,
    mount_setattr,
    move_mount,
    open_tree,
    openat2,
    pivot_root,
    setdomainname,
    setns,
    umount2,
)

DEVICES = {
    "/dev/null": (1, 3),
    "/dev/zero": (1, 5),
    "/dev/full": (1, 7),
    "/dev/random": (1, 8),
    "/dev/urandom": (1, 9),
    "/dev/tty": (5, 0),
}
DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
if os.path.exists("/proc/kcore"):  # not every kernel has it
    DEVICE_LINKS["core"] = "/proc/kcore"

_OVER_PROC = (
    "cpuinfo diskstats loadavg meminfo net/dev slabinfo stat swaps uptime sys/kernel/ns_last_pid "
    "sys/crypto/fips_enabled"
)
OVER_PROC = frozenset(f"/proc/{name}" for name in _OVER_PROC.split())
"""Where files may be mounted in /proc, as LXCFS does: those that runc allows."""


MAXSYMLINKS = 40  # include/linux/namei.h


class LaunchError(Exception):
    """A launch stopped; `exit_code` is Docker's: 125, 126 (cannot execute), 127 (not found)."""

    def __init__(self, message: str, exit_code: int = 125) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Root:
    """The root being made: `fd` is its top, `null` the host's /dev/null, `console` a pty pair.

    `users` is the container's own user namespace, -1 where it has none.
    """

    def __init__(self, at: str, terminal: bool, users: int = -1) -> None:
        self.early: dict[Bind, int] = {}
        """Clones that were made while mounts still spread to the host and from it."""
        self.proc: set[int] = set()
        """The device numbers of what is mounted at /proc."""
        self.at = at
        self.users = users
        self.terminal = terminal
        self.fd = -1
        self.null = -1
        self.empty = -1
        self.console: tuple[int, int] | None = None

    def open(self, path: str, flags: int = os.O_PATH) -> int:
        """Open a path of the container, symlinks resolved inside its root."""
        return openat2(self.fd, path, flags)

    def target(self, path: str, folder: bool, links: int = MAXSYMLINKS) -> int:
        """Open the mount point `path`, made where it is missing; never made outside the root."""
        try:
            return self.open(path)
        except FileNotFoundError:
            parent, _, name = path.rstrip("/").rpartition("/")
        above = self.target(parent or "/", True, links)
        try:
            if folder:
                os.mkdir(name, 0o755, dir_fd=above)
            else:
                flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
                os.close(os.open(name, flags, 0o644, dir_fd=above))
        except FileExistsError:
            # A link to what is not there yet: it is made where that leads, as Docker has it.
            if not links:
                raise
            path = os.path.join(parent or "/", os.readlink(name, dir_fd=above))
            return self.target(path, folder, links - 1)
        finally:
            os.close(above)
        return self.open(path)

    def attach(self, tree: int, target: int) -> None:
        """Attach a detached mount at an open target, and let go of both descriptors."""
        move_mount(tree, target)
        os.close(tree)
        os.close(target)


class Overlay(NamedTuple):
    """Mount an image's layers (`lower`, top first) under the container's read-write `upper`.

    Without an `upper` it is read-only, of two layers at least. With a `target` it is no root. The
    `own` uppermost layers have the container's own ids on disk already.
    """

    lower: tuple[str, ...]
    upper: str
    work: str
    flags: tuple[str, ...] = ()
    target: str = ""
    own: int = 0

    def do(self, root: Root) -> None:
        """Make the overlay and attach it; where it is to be the root, keep its top open."""
        lower = self._opened(self.lower)
        if root.users >= 0:
            lower[self.own :] = [_mapped(fd, root.users) for fd in lower[self.own :]]
        above = self._opened((self.upper, self.work)) if self.upper else []
        at = root.target(self.target, True) if self.target else self._opened((root.at,))[0]
        self._attach(root, lower, above, at)
        if not self.target:
            root.fd = os.open(root.at, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        for fd in (*lower, *above):
            os.close(fd)

    @staticmethod
    def _opened(paths: tuple[str, ...]) -> list[int]:
        return [os.open(path, os.O_PATH | os.O_CLOEXEC) for path in paths]

    def _attach(self, root: Root, lower: list[int], above: list[int], at: int) -> None:
        try:
            tree = self._new_api(lower, above)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EBADF):
                raise
            if root.users >= 0:
                raise LaunchError(
                    "a user namespace of its own needs Linux 6.13, whose overlay takes mapped "
                    "layers: leave --userns out"
                ) from error
            self._classic(lower, above, f"/proc/self/fd/{at}")
            os.close(at)
        else:
            root.attach(tree, at)

    def _new_api(self, lower: list[int], above: list[int]) -> int:
        fs = fsopen("overlay")
        try:
            fsconfig(fs, FSCONFIG_SET_STRING, "source", "overlay")
            # The last run's mount may be on its way out still: with an index that is EBUSY.
            fsconfig(fs, FSCONFIG_SET_STRING, "index", "off")
            for fd in lower:
                fsconfig(fs, FSCONFIG_SET_FD, "lowerdir+", None, fd)
            for name, fd in zip(("upperdir", "workdir"), above):  # noqa: B905 - both, or neither
                fsconfig(fs, FSCONFIG_SET_FD, name, None, fd)
            for flag in self.flags:
                fsconfig(fs, FSCONFIG_SET_FLAG, flag, None)
            fsconfig(fs, FSCONFIG_CMD_CREATE, None, None)
            return fsmount(fs, MOUNT_ATTR_NODEV | (0 if above else MOUNT_ATTR_RDONLY))
        finally:
            os.close(fs)

    def _classic(self, lower: list[int], above: list[int], at: str) -> None:
        # Before Linux 6.13 overlay takes no descriptors (EBADF; before 6.5 EINVAL); their names in
        # /proc are short enough for some 200 layers in the one page that mount(2) has for options.
        options = ["index=off", f"lowerdir={':'.join(f'/proc/self/fd/{fd}' for fd in lower)}"]
        for name, fd in zip(("upperdir", "workdir"), above):  # noqa: B905 - both, or neither
            options.append(f"{name}=/proc/self/fd/{fd}")
        flags = MS_NODEV | (0 if above else MS_RDONLY)
        mount("overlay", at, "overlay", flags, ",".join((*options, *self.flags)))


class RootFolder(NamedTuple):
    """Take a folder that holds the whole root, where no overlay can be mounted."""

    source: str

    def do(self, root: Root) -> None:
        """Bind it where the root is to be, and keep its top open."""
        source = openat2(AT_FDCWD, self.source, os.O_PATH, RESOLVE_NO_SYMLINKS)
        tree = open_tree(source, "", AT_EMPTY_PATH)
        os.close(source)
        mount_setattr(tree, MOUNT_ATTR_NODEV)
        root.attach(tree, os.open(root.at, os.O_PATH | os.O_CLOEXEC))
        root.fd = os.open(root.at, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _mapped(folder: int, users: int) -> int:
    """Exchange a layer's folder for a mount of it that shows its ids as `users` maps them.

    So every container can have ids of its own on the machine, and none of them copies a layer.
    """
    tree = open_tree(folder, "", AT_EMPTY_PATH)
    os.close(folder)
    mount_setattr(tree, MOUNT_ATTR_IDMAP, users=users)
    return tree


class Filesystem(NamedTuple):
    """Mount a file system of its own, such as proc or tmpfs, at `target`."""

    kind: str
    target: str
    options: tuple[str, ...]
    attributes: int
    source: str = ""

    def do(self, root: Root) -> None:
        """Make, configure and attach it; open a terminal in a devpts that the process will use."""
        if self.kind in ("proc", "sysfs"):
            self._refuse_link(root)
        target = root.target(self.target, True)
        fs = fsopen(self.kind)
        fsconfig(fs, FSCONFIG_SET_STRING, "source", self.source or self.kind)
        for option in self.options:
            key, equals, value = option.partition("=")
            command = FSCONFIG_SET_STRING if equals else FSCONFIG_SET_FLAG
            fsconfig(fs, command, key, value if equals else None)
        fsconfig(fs, FSCONFIG_CMD_CREATE, None, None)
        tree = fsmount(fs, self.attributes)
        os.close(fs)
        if self.target == "/proc":
            root.proc.add(os.fstat(tree).st_dev)
        root.attach(tree, target)
        if self.kind == "devpts" and root.terminal:
            root.console = open_terminal(root.open(f"{self.target}/ptmx", os.O_RDWR | os.O_NOCTTY))

    def _refuse_link(self, root: Root) -> None:
        # Its masks are found by name: were /proc a link into a mount that others write to, they
        # could be put on something else meanwhile (CVE-2019-19921, CVE-2023-27561).
        try:
            os.close(
                openat2(root.fd, self.target, os.O_PATH, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS)
            )
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise LaunchError(
                    f"{self.target} of the image is a symbolic link: it must be a folder"
                ) from error
            if error.errno != errno.ENOENT:
                raise


class Bind(NamedTuple):
    """Show a file or folder of the host at `target`; `source` is a path without symlinks."""

    source: str
    target: str
    recursive: bool
    attributes: int
    propagation: int
    top: int = 0
    """Attributes of the uppermost mount alone."""
    beneath: str = ""
    """The part of the source that is shown; whoever writes there may have made links of it."""
    mapped: bool = False
    """Whether its ids are shown as the container's own user namespace maps them."""

    def do(self, root: Root) -> None:
        """Clone the mount that `source` is on, set its attributes, attach it."""
        tree = root.early.pop(self) if self in root.early else self.clone()
        if self.attributes or self.propagation:
            mount_setattr(tree, self.attributes, self.propagation, self.recursive)
        if self.top:
            mount_setattr(tree, self.top)
        if self.mapped and root.users >= 0:
            self._map(tree, root.users)
        folder = stat.S_ISDIR(os.fstat(tree).st_mode)
        if self.target.startswith("/proc/") and self.target not in OVER_PROC:
            raise self._inside_proc()
        target = root.target(self.target, folder)
        self._refuse_proc(root, target)
        if folder != stat.S_ISDIR(os.fstat(target).st_mode):
            raise self._of_two_kinds(folder)
        if self.target == "/proc":
            root.proc.add(os.fstat(tree).st_dev)
        root.attach(tree, target)

    def clone(self) -> int:
        """Return a detached clone of the mount that `source` is on."""
        source = self._open()
        if self.beneath:
            whole, source = source, self._part(source)
            os.close(whole)
        tree = open_tree(source, "", AT_EMPTY_PATH | (AT_RECURSIVE if self.recursive else 0))
        os.close(source)
        return tree

    def _open(self) -> int:
        # Whoever may write a folder above it could put a symlink here after the engine has looked.
        try:
            return openat2(AT_FDCWD, self.source, os.O_PATH, RESOLVE_NO_SYMLINKS)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise LaunchError(
                f"the source of a bind mount became a symbolic link just now: {self.source}; "
                "start the container again"
            ) from error

    def _part(self, whole: int) -> int:
        # A link in it, or a folder that is moved meanwhile, may lead anywhere else in the volume
        # and nowhere out of it (CVE-2024-41110's kin, CVE-2023-0628).
        try:
            return openat2(whole, self.beneath, os.O_PATH, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)
        except OSError as error:
            why = {
                errno.EXDEV: "it leads out of it",
                errno.ENOENT: "it does not exist: make it first",
            }.get(error.errno or 0, (error.strerror or "").lower())
            raise LaunchError(
                f"failed to mount the subpath {self.beneath} of the volume at {self.target}: {why}"
            ) from error

    def _map(self, tree: int, users: int) -> None:
        try:
            mount_setattr(tree, MOUNT_ATTR_IDMAP, users=users)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            raise LaunchError(
                f"the file system of the volume at {self.target} cannot show its ids as a user "
                "namespace maps them: leave --userns out"
            ) from error

    def _refuse_proc(self, root: Root, target: int) -> None:
        # What others write there would stand for what the kernel says, and a link in a folder that
        # they share can lead a mount there (CVE-2019-16884, CVE-2023-27561).
        inside = os.fstat(target).st_dev in root.proc
        if inside and self.source != "/proc" and self.target not in OVER_PROC:
            os.close(target)
            raise self._inside_proc()

    def _of_two_kinds(self, folder: bool) -> LaunchError:
        shown, there = ("folder", "file") if folder else ("file", "folder")
        return LaunchError(
            f"{self.source} is a {shown} and cannot be mounted at {self.target}, where the "
            f"container has a {there}: mount a {there} there, or a {shown} at another place"
        )

    def _inside_proc(self) -> LaunchError:
        return LaunchError(
            f"{self.target} cannot be mounted because it is inside /proc: mount it somewhere else"
        )


class SharedMemory(NamedTuple):
    """Show the /dev/shm of the container that has the mount namespace at the path `namespace`."""

    namespace: str

    def do(self, root: Root) -> None:
        """Clone the mount where the other container has it, and attach it here."""
        own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        other = os.open(self.namespace, os.O_RDONLY | os.O_CLOEXEC)
        setns(other, CLONE_NEWNS)
        # In the other's files until the next setns: nothing may be imported or looked up by name.
        try:
            shm = openat2(AT_FDCWD, "/dev/shm", os.O_PATH, RESOLVE_NO_SYMLINKS)  # noqa: S108 - in the container
            tree = open_tree(shm, "", AT_EMPTY_PATH)
        finally:
            setns(own, CLONE_NEWNS)
        for fd in (own, other, shm):
            os.close(fd)
        # Whatever the other has there.
        mount_setattr(tree, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)
        root.attach(tree, root.target("/dev/shm", True))  # noqa: S108 - in the container


class Device(NamedTuple):
    """Show a device of the host at `target`; of all mounts only these are not nodev."""

    source: str
    target: str
    major: int
    minor: int
    block: bool = False

    def do(self, root: Root) -> None:
        """Open the host's node, check that it is the device it says, and bind it."""
        source = os.open(self.source, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        found = os.fstat(source)
        is_kind = stat.S_ISBLK if self.block else stat.S_ISCHR
        if not is_kind(found.st_mode) or found.st_rdev != os.makedev(self.major, self.minor):
            raise LaunchError(f"the host's {self.source} is not device {self.major}:{self.minor}")
        tree = open_tree(source, "", AT_EMPTY_PATH)
        root.attach(tree, root.target(self.target, False))
        if self.target == "/dev/null":
            root.null = source
        else:
            os.close(source)


class Link(NamedTuple):
    """Make one of /dev's usual symlinks."""

    target: str
    name: str

    def do(self, root: Root) -> None:
        """Make it in the /dev that was just mounted."""
        folder = root.open("/dev")
        os.symlink(self.target, self.name, dir_fd=folder)
        os.close(folder)


class Console(NamedTuple):
    """Show the container's terminal as /dev/console."""

    def do(self, root: Root) -> None:
        """Bind the pty's own end, so that a write there appears in the terminal."""
        if root.console is None:
            raise LaunchError("a terminal was asked for, but the container has no /dev/pts")
        tree = open_tree(root.console[1], "", AT_EMPTY_PATH)
        root.attach(tree, root.target("/dev/console", False))


class Sysctl(NamedTuple):
    """Set a kernel parameter of the container's own namespaces."""

    name: str
    value: str

    def do(self, root: Root) -> None:
        """Write it below the container's /proc/sys."""
        path = "/proc/sys/" + self.name.replace(".", "/")
        try:
            try:
                self._write(root, path)
            except PermissionError:
                # An IPC namespace obeys the root of its user namespace alone: ipc_permissions in
                # ipc/ipc_sysctl.c. The file is his.
                os.seteuid(_owner(root, path))
                try:
                    self._write(root, path)
                finally:
                    os.seteuid(0)
        except OSError as error:
            why = (error.strerror or "").lower()
            raise LaunchError(f"cannot set sysctl {self.name}={self.value}: {why}") from error

    def _write(self, root: Root, path: str) -> None:
        fd = root.open(path, os.O_WRONLY)
        try:
            os.write(fd, self.value.encode())
        finally:
            os.close(fd)


def _owner(root: Root, path: str) -> int:
    fd = root.open(path)
    try:
        return os.fstat(fd).st_uid
    finally:
        os.close(fd)


class Mask(NamedTuple):
    """Hide a path: a folder under an empty read-only one, a file under /dev/null."""

    path: str

    def do(self, root: Root) -> None:
        """Hide it where it exists."""
        try:
            target = root.open(self.path)
        except FileNotFoundError:
            return
        if not stat.S_ISDIR(os.fstat(target).st_mode):
            root.attach(open_tree(root.null, "", AT_EMPTY_PATH), target)
            return
        if root.empty >= 0:
            root.attach(open_tree(root.empty, "", AT_EMPTY_PATH), target)
            return
        fs = fsopen("tmpfs")
        fsconfig(fs, FSCONFIG_CMD_CREATE, None, None)
        root.empty = fsmount(fs, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID)
        os.close(fs)
        # Before Linux 6.15 only what is attached can be cloned, so the first is attached itself.
        move_mount(root.empty, target)
        os.close(target)


class ReadOnly(NamedTuple):
    """Make a path, and all that is mounted below it, read-only."""

    path: str

    def do(self, root: Root) -> None:
        """Put a read-only clone of it over it, where it exists."""
        try:
            target = root.open(self.path)
        except FileNotFoundError:
            return
        tree = open_tree(target, "", AT_EMPTY_PATH | AT_RECURSIVE)
        mount_setattr(tree, MOUNT_ATTR_RDONLY, recursive=True)
        root.attach(tree, target)


class ReadOnlyRoot(NamedTuple):
    """Make the root itself read-only; what is mounted in it keeps its own state."""

    def do(self, root: Root) -> None:
        """Set the attribute on the overlay's mount."""
        mount_setattr(root.fd, MOUNT_ATTR_RDONLY)


class Pivot(NamedTuple):
    """Make the new root `/` and let go of the host's file systems."""

    def do(self, root: Root) -> None:
        """Stack the old root under the new one and detach it, as pivot_root(2) describes."""
        os.fchdir(root.fd)
        pivot_root(".", ".")
        umount2(".", MNT_DETACH)
        os.chdir("/")


class Hostname(NamedTuple):
    """Name the container's UTS namespace."""

    name: str
    domain: str

    def do(self, root: Root) -> None:
        """Set host and domain name."""
        socket.sethostname(self.name)
        if self.domain:
            setdomainname(self.domain)


class Loopback(NamedTuple):
    """Bring up `lo` in the container's own network."""

    def do(self, root: Root) -> None:
        """Set IFF_UP, as a new network namespace comes with `lo` down."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            request = struct.pack("16sh22x", b"lo", 0)
            (flags,) = struct.unpack_from("h", fcntl.ioctl(sock, SIOCGIFFLAGS, request), 16)
            fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | IFF_UP))


Operation = (
    Overlay | RootFolder | Filesystem | Bind | Device | Link | Console | Sysctl | Mask | ReadOnly
    | ReadOnlyRoot | Pivot | Hostname | Loopback | SharedMemory
)  # fmt: skip


def open_terminal(master: int) -> tuple[int, int]:
    """Unlock a pty master of the container's devpts and open its other end."""
    fcntl.ioctl(master, TIOCSPTLCK, struct.pack("i", 0))
    return master, fcntl.ioctl(master, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
