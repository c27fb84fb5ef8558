"""Files between this computer and a container, as the `docker` command copies them.

An archive that comes out of a container is not trusted: nothing in it is written outside the
target, nor through a link.
"""

from __future__ import annotations

import base64
import json
import os
import posixpath
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from .failures import Failure, Usage
from .session import Session

_STAT = "X-Docker-Container-Path-Stat"
# How Go's os.FileMode marks these two; the API gives modes as Go has them.
_GO_FOLDER, _GO_LINK = 1 << 31, 1 << 27
_CHUNK = 1 << 20
_IN_MEMORY = 16 << 20


class Place(NamedTuple):
    """One end of a copy: a path here, or in a container."""

    container: str
    path: str


def parse_place(text: str) -> Place:
    """Read PATH or CONTAINER:PATH; a path that begins with `/` or `.` is always here."""
    container, colon, path = text.partition(":")
    if not colon or text.startswith(("/", ".")):
        return Place("", text)
    if not path:
        raise Usage(f"{text!r} names no path: CONTAINER:PATH is wanted")
    return Place(container, path)


def path_stat(session: Session, place: Place) -> dict[str, Any] | None:
    """Return what a container's path is; None when it is not there."""
    api = session.api
    url = api._url("/containers/{0}/archive", place.container)
    response = api.head(url, params={"path": place.path}, timeout=api.timeout)
    if response.status_code == 404:
        api.inspect_container(place.container)  # says so when it is the container that is missing
        return None
    if _STAT not in response.headers:
        raise Failure(f"{place.container}:{place.path} cannot be copied: it is below a file")
    found: dict[str, Any] = json.loads(base64.b64decode(response.headers[_STAT]))
    return found


def is_folder(found: dict[str, Any]) -> bool:
    """Tell whether a path of a container is a folder."""
    return bool(found["mode"] & _GO_FOLDER)


def followed(session: Session, place: Place) -> tuple[Place, dict[str, Any] | None]:
    """Return what a link of a container leads to, or anything else as it is."""
    found = path_stat(session, place)
    if found is not None and found["mode"] & _GO_LINK:
        place = Place(place.container, found["linkTarget"])
        found = path_stat(session, place)
    return place, found


def get(session: Session, place: Place) -> Iterator[bytes]:
    """Yield the archive of a container's path."""
    chunks, _ = session.api.get_archive(place.container, place.path, chunk_size=_CHUNK)
    yield from chunks


def put(session: Session, place: Place, data: IO[bytes], *, archive: bool) -> None:
    """Send an archive into a folder of a container."""
    api = session.api
    url = api._url("/containers/{0}/archive", place.container)
    params = {"path": place.path, "noOverwriteDirNonDir": "true", "copyUIDGID": str(archive)}
    api._raise_for_status(api.put(url, params=params, data=data, timeout=api.timeout))


def pack(source: str, name: str, *, follow: bool) -> IO[bytes]:
    """Return an archive of a file or folder under another name, ready to be read."""
    spool = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - the caller closes it
    top = os.path.realpath(source) if follow else source.rstrip("/") or "/"
    with tarfile.open(fileobj=spool, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.add(top, name)
    spool.seek(0)
    return spool


class _Chunks:
    """A file to be read from an iterator."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = b""

    def read(self, size: int) -> bytes:
        while not self._left:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._left = chunk
        piece, self._left = self._left[:size], self._left[size:]
        return piece


def unpack(chunks: Iterator[bytes], base: str, target: Path) -> int:
    """Unpack an archive whose first name is `base` as `target`; return the bytes of its files."""
    size = 0
    reader: Any = _Chunks(chunks)
    with tarfile.open(fileobj=reader, mode="r|") as tar:
        # Newer Pythons would refuse a link to anywhere else, which is nothing bad in itself.
        tar.extraction_filter = lambda member, _path: member
        for entry in tar:
            below = _below(entry.name, base)
            if entry.isdev():
                continue  # a device or pipe of a container means nothing here
            if entry.islnk():
                entry.linkname = str(target / _below(entry.linkname, base))
                _check_parents(target, _below(entry.name, base))
            size += entry.size
            _extract(tar, entry, target, below)
    return size


def _below(name: str, base: str) -> str:
    """Return a name relative to the archive's first; Failure for one that leads elsewhere."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    top = [part for part in base.split("/") if part not in ("", ".")]
    if parts[: len(top)] != top or ".." in parts:
        raise Failure(f"the container's archive names {name!r}, which is not in {base!r}")
    return "/".join(parts[len(top) :])


def _check_parents(target: Path, below: str) -> None:
    """Refuse to write through a link that the archive itself has made."""
    path = target
    for part in below.split("/")[:-1] if below else []:
        if path.is_symlink():
            break
        path = path / part
    if below and path.is_symlink():
        raise Failure(f"the container's archive writes through the link {path}")


def _extract(tar: tarfile.TarFile, entry: tarfile.TarInfo, target: Path, below: str) -> None:
    path = target / below if below else target
    _check_parents(target, below)
    if os.path.lexists(path):
        here = stat.S_ISDIR(path.lstat().st_mode)
        if here and not entry.isdir():
            raise Failure(f"cannot overwrite the folder {path} with a file: remove it first")
        if not here:
            path.unlink()
    # What is copied belongs to whoever copies it, as the `docker` command has it.
    entry.uid, entry.gid, entry.uname, entry.gname = os.geteuid(), os.getegid(), "", ""
    entry.mode = entry.mode & 0o777 | (0o700 if entry.isdir() else 0)
    if entry.islnk():
        source = Path(entry.linkname)
        _check_parents(target, str(source.relative_to(target)))
        os.link(source, path, follow_symlinks=False)
        return
    entry.name = str(path)
    tar.extract(entry, "/", numeric_owner=True)


def name_of(path: str) -> str:
    """Return the last component of a path; a folder's contents alone have none."""
    return "" if path.endswith("/.") or path in (".", "/") else posixpath.basename(path.rstrip("/"))
