"""An empty volume gets what the image has at its place.

The files are read in a view of the container's root (layers/view.py) and written by descriptor,
beneath the volume's folder; both sides may hold links, and neither leads out. They go into a folder
of the volume, under a name of ours, which is renamed once all are there and only then emptied into
the volume: so what is half filled is never taken for filled, whoever was killed meanwhile, and this
holds for a driver's file system as for a folder of ours.
"""

import contextlib
import logging
import os
import stat
from collections.abc import Mapping
from typing import NamedTuple

from ipycontainer_runtime.errors import ContainerError, InvalidParameter
from ipycontainer_runtime.layers.ownership import RECORD, Ownership
from ipycontainer_runtime.layers.pack import Packing
from ipycontainer_runtime.layers.pipe import Feed, Work
from ipycontainer_runtime.layers.tarread import DEFAULT_LIMITS, PRIVATE_XATTRS, Entry
from ipycontainer_runtime.layers.tarwrite import TarWriter
from ipycontainer_runtime.layers.untar import unpack
from ipycontainer_runtime.layers.upper import OPEN_FOLDER, remove_tree, walk
from ipycontainer_runtime.layers.view import Source, View

_log = logging.getLogger(__name__)

FILLING = ".ipycontainer-filling"
FILLED = ".ipycontainer-filled"


class Filled(NamedTuple):
    """The part of a volume that is being filled; see `untar.Ground`."""

    base: bytes = os.fsencode(FILLING)
    is_layer: bool = False

    def owner(self, entry: Entry) -> tuple[int, int]:
        """Return the image's ids."""
        return entry.uid, entry.gid

    def check_replaced(self, entry: Entry) -> None:
        """Allow it: only somebody who writes to the volume meanwhile can have put it there."""

    def remove_folder(self, parent: int, leaf: bytes) -> None:
        """Take away what somebody else has put there."""
        remove_tree(parent, leaf)


def settle(volume: str) -> bool:
    """Finish what a fill has left half done; tell whether the volume is empty then.

    May take as long as a container likes, which can put anything under our names.
    """
    folder = os.open(volume, OPEN_FOLDER)
    try:
        names = set(os.listdir(folder))
        try:
            if FILLING in names:
                remove_tree(folder, FILLING)
            if FILLED in names:
                _empty_into(folder)
                names = set(os.listdir(folder))
        except (OSError, ContainerError) as error:
            # None of ours: a container has made it, and keeps it. The volume is no worse for it.
            _log.warning("%s is left as it is: %s", volume, error)
            return False
        # What mkfs makes in a file system's root is nobody's content.
        return names <= {FILLING, "lost+found"}
    finally:
        os.close(folder)


def fill(source: Source, empty: Mapping[str, str], *, read: Ownership, written: Ownership) -> None:
    """Fill empty volumes with what a container has at a place, on a thread of its own.

    `empty` has the place of each by its folder; `read` is how the container's files keep their
    owners, `written` how the volumes' do. InvalidParameter where the image has something else
    there than a folder.
    """
    with contextlib.ExitStack() as opened:
        # Before the view, whose thread sees no more of the host than it has to.
        targets = {folder: os.open(folder, OPEN_FOLDER) for folder in empty}
        for target in targets.values():
            opened.callback(os.close, target)
        view = opened.enter_context(View(source))
        for folder, place in empty.items():
            _fill_one(view, place, targets[folder], read, written)


def _fill_one(view: View, place: str, target: int, read: Ownership, written: Ownership) -> None:
    try:
        folder = view.folder(place)
    except FileNotFoundError:
        return
    except NotADirectoryError as error:
        raise InvalidParameter(
            f"cannot mount volume over existing file, file exists {place}"
        ) from error
    try:
        _copy(folder, target, read, written)
    finally:
        os.close(folder)


def _copy(folder: int, target: int, read: Ownership, written: Ownership) -> None:
    if os.listdir(folder):
        os.mkdir(FILLING, 0o700, dir_fd=target)
        try:
            _copy_files(folder, target, read, written)
            os.rename(FILLING, FILLED, src_dir_fd=target, dst_dir_fd=target)
        except BaseException:
            remove_tree(target, FILLING)
            raise
        _empty_into(target)
    _copy_attributes(folder, target, read, written)


def _copy_files(folder: int, target: int, read: Ownership, written: Ownership) -> None:
    feed = Feed()
    unpacked = Work("fill", lambda: _unpack(feed, target, written))
    try:
        tar = TarWriter(feed.put)
        packing = Packing(tar, read)
        for node, left in walk(folder):
            if node.path and not left:
                packing.add(node)
        tar.close()
    finally:
        feed.end()
        unpacked.result()


def _unpack(feed: Feed, target: int, written: Ownership) -> None:
    try:
        unpack(feed, target, written, Filled(), DEFAULT_LIMITS)
    finally:
        feed.stop()


def _copy_attributes(folder: int, target: int, read: Ownership, written: Ownership) -> None:
    status = os.fstat(folder)
    ids = read.from_disk(status.st_uid, status.st_gid, folder)
    os.chown(target, *written.to_disk(*ids))
    written.record(target, *ids)
    os.chmod(target, stat.S_IMODE(status.st_mode))
    for name in os.listxattr(folder):
        if not os.fsencode(name).startswith(PRIVATE_XATTRS) and name != os.fsdecode(RECORD):
            with contextlib.suppress(OSError):  # the volume's file system may have none
                os.setxattr(target, name, os.getxattr(folder, name))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _empty_into(volume: int) -> None:
    """Move up what is whole; a name that somebody has taken meanwhile stays his."""
    whole = os.open(FILLED, OPEN_FOLDER, dir_fd=volume)
    try:
        for name in os.listdir(whole):
            if not _exists(volume, name):
                os.rename(name, name, src_dir_fd=whole, dst_dir_fd=volume)
    finally:
        os.close(whole)
    remove_tree(volume, FILLED)


def _exists(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
