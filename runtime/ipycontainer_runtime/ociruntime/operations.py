"""What a bundle's root needs besides the launcher's own operations: the same small frozen kind."""

import os
import shutil
import stat
from typing import NamedTuple, Protocol

from ..launch.root import DEVICE_LINKS, Device, LaunchError, Root
from ..launch.syscalls import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_RECURSIVE,
    FSCONFIG_CMD_CREATE,
    FSCONFIG_SET_STRING,
    MOUNT_ATTR_RDONLY,
    fsconfig,
    fsmount,
    fsopen,
    mount,
    mount_setattr,
    move_mount,
    open_tree,
)

MS_MOVE = 0x2000


class Operation(Protocol):
    """One step of making a container's root."""

    def do(self, root: Root) -> None:
        """Do it."""


class BundleRoot(NamedTuple):
    """Take the bundle's own folder for the root."""

    path: str
    propagation: int
    attributes: int

    def do(self, root: Root) -> None:
        """Put a clone of its mounts over it, so that it is a mount that can be pivoted to."""
        tree = open_tree(AT_FDCWD, self.path, AT_RECURSIVE)
        mount_setattr(tree, 0, self.propagation, recursive=True)
        if self.attributes:
            mount_setattr(tree, self.attributes)
        target = os.open(self.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        move_mount(tree, target)
        os.close(tree)
        os.close(target)
        root.fd = os.open(self.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        root.null = os.open("/dev/null", os.O_PATH | os.O_CLOEXEC)


class Node(NamedTuple):
    """Make a device node of the container's own; its devices cgroup says who may open it."""

    path: str
    kind: str
    major: int
    minor: int
    mode: int
    uid: int
    gid: int

    def do(self, root: Root) -> None:
        """Make it, or show the host's where the kernel lets nobody make one (user namespaces)."""
        above = root.target(os.path.dirname(self.path), True)
        name = os.path.basename(self.path)
        kind = {"b": stat.S_IFBLK, "p": stat.S_IFIFO}.get(self.kind, stat.S_IFCHR)
        device = 0 if self.kind == "p" else os.makedev(self.major, self.minor)
        try:
            os.mknod(name, kind | self.mode, device, dir_fd=above)
            os.chmod(name, self.mode, dir_fd=above)
            os.chown(name, self.uid, self.gid, dir_fd=above, follow_symlinks=False)
        except FileExistsError as error:
            found = os.stat(name, dir_fd=above, follow_symlinks=False)
            if (stat.S_IFMT(found.st_mode), found.st_rdev) != (kind, device):
                raise LaunchError(f"the image's {self.path} is not that device") from error
        except PermissionError:
            Device(self.path, self.path, self.major, self.minor, self.kind == "b").do(root)
        finally:
            os.close(above)


class Links(NamedTuple):
    """Make /dev's usual symlinks where they are missing."""

    def do(self, root: Root) -> None:
        """Make them in the /dev that is there now."""
        folder = root.open("/dev")
        for name, target in DEVICE_LINKS.items():
            try:
                os.symlink(target, name, dir_fd=folder)
            except FileExistsError:
                continue
        os.close(folder)


class CopyUp(NamedTuple):
    """Mount a tmpfs that begins with what the image has there."""

    target: str
    options: tuple[str, ...]
    attributes: int

    def do(self, root: Root) -> None:
        """Fill it before it is attached."""
        target = root.target(self.target, True)
        fs = fsopen("tmpfs")
        fsconfig(fs, FSCONFIG_SET_STRING, "source", "tmpfs")
        for option in self.options:
            key, _, value = option.partition("=")
            fsconfig(fs, FSCONFIG_SET_STRING, key, value)
        fsconfig(fs, FSCONFIG_CMD_CREATE, None, None)
        tree = fsmount(fs, 0)
        os.close(fs)
        source = os.open(f"/proc/self/fd/{target}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        _copy_into(source, tree)
        os.close(source)
        if self.attributes:
            mount_setattr(tree, self.attributes)
        root.attach(tree, target)


class Subtree(NamedTuple):
    """Show the container its own part of a cgroup hierarchy."""

    source: str
    target: str
    attributes: int

    def do(self, root: Root) -> None:
        """Bind the folder where its caller keeps the container."""
        source = os.open(self.source, os.O_PATH | os.O_CLOEXEC)
        tree = open_tree(source, "", AT_EMPTY_PATH)
        os.close(source)
        mount_setattr(tree, self.attributes)
        root.attach(tree, root.target(self.target, True))


class Close(NamedTuple):
    """Make a mount read-only once what belongs in it is there; mounts in it stay as they are."""

    target: str

    def do(self, root: Root) -> None:
        """Set the attribute."""
        target = root.open(self.target)
        mount_setattr(target, MOUNT_ATTR_RDONLY)
        os.close(target)


class MoveRoot(NamedTuple):
    """Make the new root `/` where it cannot be pivoted to: the host's is an initramfs."""

    def do(self, root: Root) -> None:
        """Move it over the old one and change to it."""
        os.fchdir(root.fd)
        mount(".", "/", None, MS_MOVE, None)
        os.chroot(".")
        os.chdir("/")


class Propagation(NamedTuple):
    """Let mounts spread to and from the container as `linux.rootfsPropagation` has it."""

    flags: int

    def do(self, root: Root) -> None:
        """Change the new root, all mounts in it included where the flags say so."""
        mount(None, "/", None, self.flags, None)


def _copy_into(source: int, target: int) -> None:
    """Copy a folder's content with its owners and modes; nothing in it is followed."""
    _copy_owner(os.stat(source), ".", target)
    with os.scandir(source) as entries:
        names = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    for name, found in names:
        if stat.S_ISDIR(found.st_mode):
            os.mkdir(name, 0o700, dir_fd=target)
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            below = os.open(name, flags, dir_fd=source), os.open(name, flags, dir_fd=target)
            _copy_into(*below)
            for fd in below:
                os.close(fd)
        elif stat.S_ISLNK(found.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
            os.chown(name, found.st_uid, found.st_gid, dir_fd=target, follow_symlinks=False)
        elif stat.S_ISREG(found.st_mode):
            _copy_file(name, source, target)
            _copy_owner(found, name, target)


def _copy_file(name: str, source: int, target: int) -> None:
    flags = os.O_NOFOLLOW | os.O_CLOEXEC
    reading = os.open(name, os.O_RDONLY | flags, dir_fd=source)
    writing = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | flags, 0o600, dir_fd=target)
    with open(reading, "rb") as old, open(writing, "wb") as new:
        shutil.copyfileobj(old, new)


def _copy_owner(found: os.stat_result, name: str, folder: int) -> None:
    os.chown(name, found.st_uid, found.st_gid, dir_fd=folder)
    os.chmod(name, stat.S_IMODE(found.st_mode), dir_fd=folder)
    os.utime(name, ns=(found.st_atime_ns, found.st_mtime_ns), dir_fd=folder)
