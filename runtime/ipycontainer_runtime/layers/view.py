"""A container's files as it sees them, for a copy: its root and the mounts that a person asked for.

The story: a thread enters a mount namespace of its own, which ends with the thread. There the root
is made as the launcher makes it, or, while the container runs, cloned from the container's: one
overlay must not be mounted twice at a time. Then come the person's mounts, from the host. Neither
/proc nor anything that the container mounted is there, no other process sees the mounts, and
nothing of them is left whatever happens to the thread.

Paths are resolved by the kernel with the root as `/` (openat2, RESOLVE_IN_ROOT), however the
container changes its folders meanwhile; what is found is then used by descriptor alone.
"""

import os
import posixpath
import stat
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from ipycontainer_runtime.launch.plan import plan
from ipycontainer_runtime.launch.root import Bind, Operation, Overlay, Pivot, Root
from ipycontainer_runtime.launch.syscalls import (
    AT_FDCWD,
    CLONE_NEWNS,
    capset,
    open_tree,
    setns,
    unshare,
)
from ipycontainer_runtime.linux.calls import MS_REC, MS_SLAVE, mount_propagation, set_filesystem_ids
from ipycontainer_runtime.linux.usermap import user_namespace
from ipycontainer_runtime.oci.runtime import Mount


class Source(NamedTuple):
    """What a container's view is made of."""

    at: Path
    """An empty folder of the host, where the root is mounted in the thread's namespace."""
    rootfs: Sequence[Mount]
    mounts: Sequence[Mount]
    """In the order in which they are mounted."""
    hidden: Sequence[str] = ()
    """Folders in them that are not to be seen: a link of the container may lead there."""
    namespace: int | None = None
    """The mount namespace of a container that runs."""
    ids: tuple[int, int] | None = None
    """The first and the number of the container's own ids on the machine, if it has any."""


class Found(NamedTuple):
    """A path of a container: the open folder it is in, its last component, and what it is.

    As a context manager it closes the folder.
    """

    parent: int
    leaf: str
    status: os.stat_result

    def __enter__(self) -> "Found":
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self.parent)


class View:
    """A context manager for a thread that ends with it; not to be used from any other."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._root = Root(str(source.at), terminal=False)

    def __enter__(self) -> "View":
        try:
            self._make()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._close()

    def _close(self) -> None:
        for descriptor in (self._root.fd, self._root.empty):
            if descriptor >= 0:
                os.close(descriptor)

    def _make(self) -> None:
        unshare(CLONE_NEWNS)
        # Nothing spreads from here to the host; what the host unmounts is not kept busy here.
        mount_propagation("/", MS_REC | MS_SLAVE)
        operations = plan(_spec(self._source))
        if self._source.namespace is not None:
            self._clone(self._source.namespace)
            operations = operations[1:]
        with self._users(operations) as self._root.users:
            for operation in operations:
                if not isinstance(operation, Pivot):
                    operation.do(self._root)
        mapped = any(isinstance(done, Bind) and done.mapped for done in operations)
        if self._source.ids and mapped:
            _become(self._source.ids[0])

    def _users(self, operations: Sequence[Operation]) -> AbstractContextManager[int]:
        """Give the container's user namespace where its ids are to be mapped, else -1."""
        mapped = any(
            isinstance(operation, Overlay) or (isinstance(operation, Bind) and operation.mapped)
            for operation in operations
        )
        return user_namespace(*self._source.ids) if self._source.ids and mapped else nullcontext(-1)

    def _clone(self, namespace: int) -> None:
        """Attach a clone of the running container's root alone, without what is mounted in it."""
        own = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        try:
            setns(namespace, CLONE_NEWNS)
            # In the container's files until the next setns: nothing may be imported or looked up
            # by name here, or it would be the container's (CVE-2019-14271).
            try:
                tree = open_tree(AT_FDCWD, "/")
            finally:
                setns(own, CLONE_NEWNS)
        finally:
            os.close(own)
        target = os.open(self._source.at, os.O_PATH | os.O_CLOEXEC)
        self._root.attach(tree, target)
        self._root.fd = os.open(self._source.at, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    @property
    def fd(self) -> int:
        """A descriptor of the root, for openat2; it lives as long as the view."""
        return self._root.fd

    @property
    def at(self) -> str:
        """The root's path in this thread's namespace alone."""
        return self._root.at

    def find(self, path: str) -> Found:
        """Find an absolute path; a link in its last component is not followed.

        It is when `/` or `/.` comes after it. OSError as open(2) has it.
        """
        folder, leaf = posixpath.split(path)
        parent = self._root.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            status = os.stat(leaf or ".", dir_fd=parent, follow_symlinks=False)
        except BaseException:
            os.close(parent)
            raise
        return Found(parent, leaf or ".", status)

    def folder(self, path: str) -> int:
        """Open a folder, following links inside the root; NotADirectoryError for anything else."""
        return self._root.open(path, os.O_RDONLY | os.O_DIRECTORY)

    def link_target(self, path: str, found: Found) -> str:
        """Return where a symlink leads at last, as a path of the container; "" for other files."""
        if not stat.S_ISLNK(found.status.st_mode):
            return ""
        try:
            target = self._root.open(path)
        except OSError:  # it leads nowhere, or in a circle: what it says is all there is
            written = os.readlink(found.leaf, dir_fd=found.parent)
            return posixpath.normpath(posixpath.join(posixpath.dirname(path), written))
        try:
            return self.name(target)
        finally:
            os.close(target)

    def name(self, fd: int) -> str:
        """Return the path of an open file in the container."""
        root = os.readlink(f"/proc/thread-self/fd/{self.fd}")
        return os.readlink(f"/proc/thread-self/fd/{fd}").removeprefix(root) or "/"

    def is_mounted(self, fd: int) -> bool:
        """Tell whether an open file is in one of the person's mounts rather than in the root."""
        return _mount_id(fd) != _mount_id(self.fd)


def _become(owner: int) -> None:
    """Have this thread make files as a container's root does, with all that the engine may do.

    Through a mount that shows ids as the container has them nobody else can make any: EOVERFLOW.
    """
    set_filesystem_ids(owner, owner)
    # Which takes the capabilities away that go with files: capabilities(7).
    with open("/proc/thread-self/status", encoding="ascii") as file:
        lines = dict(line.split(":\t", 1) for line in file if line.startswith("Cap"))
    permitted, inheritable = int(lines["CapPrm"], 16), int(lines["CapInh"], 16)
    capset(permitted, permitted, inheritable)


def _spec(source: Source) -> dict[str, Any]:
    return {
        "process": {},
        "linux": {"maskedPaths": list(source.hidden)},
        "mounts": [mount.to_spec() for mount in source.mounts],
        "ipycontainer": {"rootfs": [mount.to_spec() for mount in source.rootfs]},
    }


def _mount_id(fd: int) -> str:
    with open(f"/proc/thread-self/fdinfo/{fd}", encoding="ascii") as file:
        return next(line for line in file if line.startswith("mnt_id:"))
