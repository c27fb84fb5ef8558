"""Deleting what containers and images left: at once from where it was, from the disk later."""

import contextlib
import os
import secrets
import threading
from pathlib import Path


class Trash:
    """`<root>/trash`: things are renamed into it, and deleted when nobody waits."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "trash"
        self.folder.mkdir(parents=True, exist_ok=True)
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
        folder is moved up into the trash before it is looked at: no path ever has three parts.
        """
        with self._emptying:
            while pending := [entry.path for entry in os.scandir(self.folder)]:
                for path in pending:
                    self._delete(path)

    def _delete(self, path: str) -> None:
        if os.path.islink(path) or not os.path.isdir(path):
            os.unlink(path)
            return
        self._open_up(path)
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    self._open_up(entry.path)
                    os.rename(entry.path, self.place(""))
                else:
                    os.unlink(entry.path)
        os.rmdir(path)

    def _open_up(self, folder: str) -> None:
        # An engine that is not even root of a namespace needs the permissions of what it deletes.
        if os.geteuid() != 0:
            os.chmod(folder, 0o700)
