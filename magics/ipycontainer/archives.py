"""Archives between this computer and an engine: written to files, sent from them, with progress."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from .failures import Failure, Interrupted, Usage
from .session import json_lines
from .surface import STDOUT

if TYPE_CHECKING:
    from .session import Session
    from .surface import Progress

_CHUNK = 1 << 20
_BETWEEN = 0.1


def to_output(session: Session, chunks: Iterable[bytes]) -> int:
    """Write an archive to standard output, or to the variable of `--out`; return its bytes."""
    size = 0
    for chunk in chunks:
        session.surface.write(STDOUT, memoryview(chunk))
        size += len(chunk)
    session.surface.flush()
    return size


def refuse_to_show(session: Session, cure: str) -> None:
    """Refuse to write an archive into a cell or to a terminal."""
    if session.program.startswith("%") or sys.stdout.isatty():
        raise Usage(f"an archive is nothing to look at: give {cure}")


def to_file(session: Session, chunks: Iterable[bytes], path: str, what: str) -> None:
    """Write an archive to a file, whole or not at all, and show how it comes."""
    view = session.surface.progress(f"Writing {what} to {path}", aside=True)
    if os.path.exists(path) and not os.path.isfile(path):
        raise Failure(f"cannot write {path}: it is no file; give another path")
    # Somebody else may write to the same path.
    partial = Path(f"{path}.{secrets.token_hex(4)}.partial")
    try:
        with _told(view), partial.open("xb") as file:
            for chunk in _counted(chunks, view, "Writing"):
                file.write(chunk)
            partial.replace(path)
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
    view.done(f"Wrote {what} to {path}")


def open_archive(session: Session, path: str | None) -> IO[bytes]:
    """Open the archive that is to be sent: a file, or standard input on the command line."""
    if path is None or path == "-":
        if session.program.startswith("%"):
            raise Usage("a cell has no archive as its standard input: name a file")
        if sys.stdin.isatty():
            raise Usage("an archive is wanted on standard input, and that is a terminal")
        return sys.stdin.buffer
    try:
        return open(path, "rb")
    except OSError as error:
        raise Failure(f"cannot read {path}: {error.strerror}") from error


def send(
    session: Session, view: Progress, path: str, params: dict[str, Any], file: IO[bytes] | None
) -> Iterator[dict[str, Any]]:
    """Send an archive to a path of the API, or nothing, and yield what the engine says of it."""
    api = session.api
    with _told(view):
        data = None if file is None else _counted(_read(file), view, "Sending", _size(file))
        headers = {"Content-Type": "application/x-tar"}
        response = api._post(
            api._url(path), params=params, data=data, headers=headers, stream=True, timeout=None
        )
        api._raise_for_status(response)
        for entry in json_lines(session, response):
            if "progressDetail" in entry:
                view.update(entry)
            yield entry


class _told:  # noqa: N801 - a context manager, used as a function is
    """Leave on the view why a transfer ended early."""

    def __init__(self, view: Progress) -> None:
        self._view = view

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is None or kind is GeneratorExit:
            return
        if issubclass(kind, KeyboardInterrupt):
            self._view.failed("interrupted")
            raise Interrupted("interrupted; nothing of it was kept") from None
        self._view.failed("failed")


def _read(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk


def _size(file: IO[bytes]) -> int:
    """Return how many bytes are to come; 0 where nobody knows, as from a pipe."""
    try:
        return os.fstat(file.fileno()).st_size if file.seekable() else 0
    except OSError:
        return 0


def _counted(
    chunks: Iterable[bytes], view: Progress, doing: str, total: int = 0
) -> Iterator[bytes]:
    done, due = 0, 0.0
    for chunk in chunks:
        yield chunk
        done += len(chunk)
        if time.monotonic() >= due:
            due = time.monotonic() + _BETWEEN
            view.update(_entry(doing, done, total))
    view.update(_entry("Sent" if doing == "Sending" else "Written", done, done))


def _entry(doing: str, done: int, total: int) -> dict[str, Any]:
    return {
        "status": doing,
        "id": "archive",
        "progressDetail": {"current": done, "total": total},
    }
