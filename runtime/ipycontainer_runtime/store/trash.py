"""Deleting what containers and images left: at once from where it was, from the disk later."""

import contextlib
import errno
import os
import secrets
import threading
from pathlib import Path

from ipycontainer_runtime.store.private import make_private

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Trash:
    """`<root>/trash`: things are renamed into it, and deleted when nobody waits."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "trash"
        make_private(self.folder)
        self._emptying = threading.Lock()

    def discard(self, path: Path) -> None:
        """Take a file or a folder away from where it is; absent is success."""
        with contextlib.suppress(FileNotFoundError):
            path.rename(self.place(path.name))

    def place(self, name: str) -> Path:
        """Return a path in the trash that nothing has yet."""
        return self.folder / f"{name.lstrip('.')[:100]}-{secrets.token_hex(8)}"

    def empty(self) -> None:
        """Delete everything; slow, so called on a thread after the reply.

        A container can nest folders deeper than any path or stack is long. So a folder inside a
        folder that is not empty is moved up into the trash before it is looked at: no path ever
        has three parts.
        """
        with self._emptying:
            trash = os.open(self.folder, _FOLDER)
            try:
                while names := os.listdir(trash):
                    for name in names:
                        self._delete(trash, name)
            finally:
                os.close(trash)

    def _delete(self, trash: int, name: str) -> None:
        try:
            folder = os.open(name, _FOLDER, dir_fd=trash)
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            os.unlink(name, dir_fd=trash)
            return
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if not entry.is_dir(follow_symlinks=False):
                        os.unlink(entry.name, dir_fd=folder)
                    elif not _remove_empty(entry.name, folder):
                        above = self.place("").name
                        os.rename(entry.name, above, src_dir_fd=folder, dst_dir_fd=trash)
        finally:
            os.close(folder)
        os.rmdir(name, dir_fd=trash)


def _remove_empty(name: str, folder: int) -> bool:
    """Remove a folder unless there is something in it, as in few of a container's own."""
    try:
        os.rmdir(name, dir_fd=folder)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        return False
    return True
