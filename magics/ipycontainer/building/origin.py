"""Where a build's Dockerfile and context come from: a cell, a folder, standard input, a URL."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ..failures import Failure, Usage
from .context import IGNORE, Context, Sent, aside
from .dockerfile import Source

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipycontainer_runtime.build.ignore import Ignore

    from ..surface import Surface

_DEFAULT = ("Dockerfile", "dockerfile")
_REMOTE = ("http://", "https://", "git://", "git@", "ssh://", "github.com/")
# gzip, bzip2, xz, zstd; a tar archive's own mark is further in.
_ARCHIVES = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")
_TAR, _TAR_AT, _HEAD = b"ustar", 257, 512
_PIECE = 1 << 18


@dataclass(frozen=True)
class Origin:
    """What is sent: `parameters` of the query, and a body, None where the engine fetches it."""

    source: Source
    parameters: dict[str, str]
    body: Iterable[bytes] | None
    sent: Sent | None = None
    """Counts what goes out, where that is a folder."""
    note: str = ""
    """What a person may not expect."""


@dataclass(frozen=True)
class Asked:
    """What the line says: PATH and `-f`; `told` is called while the context is sent."""

    path: str | None
    file: str | None
    told: Callable[[Sent], None]


def find(surface: Surface, asked: Asked) -> Origin:
    """Return where a build comes from; raises `Usage` or `Failure` naming what is not there."""
    in_cell = surface.program.startswith("%")
    body = surface.code() if in_cell else ""
    if body.strip():
        # The empty line that makes a program's line numbers the cell's would end the directives.
        return _of_cell(Source(body.removeprefix("\n"), "the cell", offset=1), asked)
    if asked.path is None:
        what = "a Dockerfile in the cell (%%container build), or PATH" if in_cell else "PATH"
        raise Usage(f"build: {what}, a folder, is wanted: `{surface.program} build .`")
    if asked.path == "-" or asked.file == "-":
        if in_cell:
            raise Usage("`-` is standard input: in a cell write %%container build, then its lines")
        return _of_input(sys.stdin.buffer, asked)
    if asked.path.startswith(_REMOTE):
        return _remote(asked.path, asked)
    return _of_folder(Path(asked.path), asked)


def _of_cell(source: Source, asked: Asked) -> Origin:
    if asked.file not in (None, "-"):
        raise Usage(f"-f {asked.file}: the cell's body is the Dockerfile: leave one of them out")
    return typed(source, asked)


def typed(source: Source, asked: Asked) -> Origin:
    """Return the origin of a Dockerfile that is no file; COPY takes the folder that one is in."""
    path = asked.path
    if path is not None and path.startswith(_REMOTE):
        raise Usage(f"{path}: what the engine fetches has its own Dockerfile: name it with -f")
    if path == "-" or (path is None and not source.copies_from_here()):
        return _packed(source, None, asked)
    folder = _folder(Path(path or "."))
    note = "" if path else f"COPY takes files from {folder.absolute()}"
    return _packed(source, folder, asked, note)


def _packed(source: Source, folder: Path | None, asked: Asked, note: str = "") -> Origin:
    """Return the origin of a Dockerfile that is sent beside a folder's files."""
    ignore = None if folder is None else _read(folder / IGNORE)
    name, extras = aside(source.text.encode("utf-8", "surrogateescape"), ignore)
    rules = _rules(ignore)
    context = Context(folder, rules, extras=extras, told=asked.told)
    return Origin(source, {"dockerfile": name}, context, context.sent, note)


def _of_input(stream: IO[bytes], asked: Asked) -> Origin:
    """Return the origin of what is piped in: an archive, or a Dockerfile."""
    head = stream.read(_HEAD)
    if asked.path == "-" and _is_archive(head):
        name = asked.file or _DEFAULT[0]
        return Origin(Source("", name), {"dockerfile": name}, _pieces(head, stream))
    text = (head + stream.read()).decode("utf-8", "surrogateescape")
    if not text.strip():
        raise Usage("standard input has no Dockerfile and no archive")
    return typed(Source(text, "standard input"), asked)


def _is_archive(head: bytes) -> bool:
    return head.startswith(_ARCHIVES) or head[_TAR_AT:].startswith(_TAR)


def _pieces(head: bytes, stream: IO[bytes]) -> Iterator[bytes]:
    yield head
    while piece := stream.read(_PIECE):
        yield piece


def _remote(url: str, asked: Asked) -> Origin:
    parameters = {"remote": url} | ({"dockerfile": asked.file} if asked.file else {})
    return Origin(Source("", asked.file or _DEFAULT[0]), parameters, None)


def _of_folder(path: Path, asked: Asked) -> Origin:
    folder = _folder(path)
    file = Path(asked.file) if asked.file else _dockerfile_in(folder)
    data = _read(file)
    if data is None:
        raise Failure(f"no Dockerfile {file}: -f names another")
    source = Source(data.decode("utf-8", "surrogateescape"), str(file))
    inside = _inside(folder, file)
    if inside is None:
        return _packed(source, folder, asked)
    # As under Docker, a Dockerfile may bring the rules that are its own.
    ignore = _read(file.with_name(f"{file.name}{IGNORE}"))
    rules = _rules(_read(folder / IGNORE) if ignore is None else ignore)
    kept = frozenset({inside, IGNORE})
    context = Context(folder, rules, kept=kept, told=asked.told)
    return Origin(source, {"dockerfile": inside}, context, context.sent)


def _folder(path: Path) -> Path:
    path = path.expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise Failure(f"{path} is a file, and the context of a build is a folder: -f {path} .")
    raise Failure(f"no folder {path} here")


def _dockerfile_in(folder: Path) -> Path:
    found = [folder / name for name in _DEFAULT if (folder / name).is_file()]
    if not found:
        raise Failure(f"no Dockerfile in {folder.absolute()}: -f names another")
    return found[0]


def _inside(folder: Path, file: Path) -> str | None:
    """Return a file's name in a folder, None where it is elsewhere."""
    parent = os.path.realpath(file.parent)
    top = os.path.realpath(folder)
    if parent != top and not parent.startswith(f"{top.rstrip(os.sep)}{os.sep}"):
        return None
    return Path(os.path.relpath(os.path.join(parent, file.name), top)).as_posix()


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from error


def _rules(text: bytes | None) -> Ignore:
    from ipycontainer_runtime.build.ignore import Ignore

    return Ignore((text or b"").decode("utf-8", "surrogateescape"))
