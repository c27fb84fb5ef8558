"""Archives for the tests, made by the standard library's tarfile: none of our own code."""

import io
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ipycontainer_runtime.layers.apply import Applied, apply, finish
from ipycontainer_runtime.layers.ownership import Mapped
from ipycontainer_runtime.layers.tarread import DEFAULT_LIMITS, Limits
from ipycontainer_runtime.store.layers import LayerStore

FILE, LINK, SYMLINK, FOLDER = tarfile.REGTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE


def member(name: str, content: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    """One entry; `fields` are tarfile's."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    info.mode = 0o755 if fields.get("type") == FOLDER else 0o644
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def folder(name: str, **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=FOLDER, **fields)


def symlink(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=SYMLINK, linkname=target)


def link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=LINK, linkname=target)


def archive(*members: tuple[tarfile.TarInfo, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:  # noqa: A002 - tarfile's word
    """A whole archive of these entries, in this order."""
    parts = []
    for info, content in members:
        parts.append(info.tobuf(format, "utf-8", "surrogateescape"))
        parts.append(content + bytes(-len(content) % 512))
    return b"".join(parts) + bytes(1024)


def pieces(data: bytes, size: int = 5000) -> Iterator[bytes]:
    """The data in chunks that fit no block."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


class Unpacker:
    """Unpacks archives into a store of its own under `root`."""

    def __init__(self, root: Path) -> None:
        self.store = LayerStore(root / "store")
        self.count = 0

    def __call__(
        self,
        data: bytes,
        *,
        rootless: bool | None = None,
        limits: Limits = DEFAULT_LIMITS,
        lowers: tuple[Path, ...] = (),
    ) -> Path:
        """Return the unpacked layer's folder."""
        with self.store.staging() as staging:
            applied = self.apply(data, staging, rootless, limits)
            self.count += 1
            chain_id = f"sha256:{self.count:064x}"
            return finish(staging, applied, chain_id, lowers)

    def apply(self, data: bytes, staging: Any, rootless: bool | None, limits: Limits) -> Applied:
        return apply(pieces(data), staging, ownership=Mapped(rootless=rootless), limits=limits)


def tree(folder: Path) -> dict[str, tuple[object, ...]]:
    """All that an archive can say of a tree, comparable."""
    found = {}
    for path in sorted([folder, *folder.rglob("*")]):
        status = path.lstat()
        name = str(path.relative_to(folder))
        content: object = None
        if path.is_symlink():
            content = os.readlink(path)
        elif path.is_file():
            content = path.read_bytes()
        xattrs = {x: os.getxattr(path, x, follow_symlinks=False) for x in _names(path)}
        found[name] = (
            oct(status.st_mode),
            status.st_uid,
            status.st_gid,
            status.st_rdev,
            status.st_mtime_ns,
            status.st_nlink if path.is_file() else 0,
            content,
            xattrs,
        )
    return found


def _names(path: Path) -> list[str]:
    return os.listxattr(path, follow_symlinks=False)


def gnu_tar(folder: Path, *options: str) -> bytes:
    """What GNU tar makes of a folder."""
    return subprocess.run(
        ["tar", *options, "--xattrs", "--xattrs-include=*", "-C", folder, "-cf", "-", "."],
        capture_output=True,
        check=True,
    ).stdout


def names(data: bytes) -> list[str]:
    """The names in an archive, as tarfile reads it."""
    with tarfile.open(fileobj=io.BytesIO(data)) as opened:
        return opened.getnames()
