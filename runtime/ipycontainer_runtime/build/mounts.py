"""RUN --mount: what its words mean.

Source: https://docs.docker.com/reference/dockerfile/#run---mount
"""

import csv
import posixpath
import re
from collections.abc import Callable
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from ipycontainer_runtime.build.amounts import size, truth
from ipycontainer_runtime.build.instructions import Mount
from ipycontainer_runtime.build.suggest import closest

_Value = TypeVar("_Value")
KINDS = ("bind", "cache", "tmpfs", "secret", "ssh")
SHARINGS = ("shared", "private", "locked")

_ALIASES = {
    "src": "source",
    "dst": "target",
    "destination": "target",
    "ro": "readonly",
    "rw": "readwrite",
}
_KEYS = (
    *("type", "from", "source", "target", "readonly", "readwrite", "id", "sharing", "required"),
    *("mode", "uid", "gid", "size", "env"),
)
_FLAGS = ("readonly", "readwrite", "required")
_OWNED = ("cache", "secret", "ssh")
_ONLY = {"required": ("secret", "ssh"), "size": ("tmpfs",), "env": ("secret",)}
_VARIABLE = re.compile(r"\$.")
_NUMBER = re.compile(r"\d{1,10}")
_MODE = re.compile(r"[0-7]{1,11}")


def origin(flag: str) -> str:
    """Return the `from` of a --mount as it is written, which takes no variables; "" without."""
    found = ""
    for key, value in _fields(flag):
        if key == "from":
            found = value or ""
    if _VARIABLE.search(found):
        raise ValueError(
            "'from' doesn't support variable expansion, define alias stage instead: "
            f"FROM {found} AS name, and from=name"
        )
    return found


def mount(flag: str, expand: Callable[[str], str]) -> Mount:
    """Return what a --mount means, with `expand` for its values; ValueError names what is wrong."""
    read = _Read()
    for key, value in _fields(flag):
        read = _with(read, key, None if value is None else expand(value), value)
    return _whole(read)


def _fields(flag: str) -> list[tuple[str, str | None]]:
    if not flag:
        raise ValueError("failed to parse csv mounts: nothing is in it, write target=/path")
    try:
        # The csv module reads a quoted field's lines from an iterator: here there is one.
        (fields,) = csv.reader([flag], strict=True)
    except (csv.Error, ValueError) as error:
        raise ValueError(f"failed to parse csv mounts: {error}: {flag[:80]!r}") from error
    pairs = [field.partition("=") for field in fields]
    return [
        (_ALIASES.get(key.lower(), key.lower()), value if equals else None)
        for key, equals, value in pairs
    ]


class _Read(msgspec.Struct, frozen=True):
    mount: Mount = msgspec.field(default_factory=Mount)
    read_only: bool | None = None
    by_id: bool = False


def _with(read: _Read, key: str, value: str | None, written: str | None) -> _Read:
    """Return what is read with one more key; keys that depend on the type stand behind it."""
    now = read.mount
    if key not in _KEYS:
        shown = key if written is None else f"{key}={written}"
        if value is None:
            raise ValueError(f"invalid field '{shown}' must be a key=value pair")
        raise ValueError(f"unexpected key '{key}' in '{shown}'{closest(key, _KEYS)}")
    if value is None and key not in _FLAGS:
        raise ValueError(f"invalid field '{key}' must be a key=value pair")
    if key in _ONLY and now.kind not in _ONLY[key]:
        raise ValueError(f"unexpected key '{key}' for mount type '{now.kind}'")
    if key in ("readonly", "readwrite"):
        said = True if value is None else _named(key, value, truth)
        return replace(read, read_only=said == (key == "readonly"))
    if key == "id":
        return replace(read, mount=replace(now, identity=value or ""), by_id=True)
    return replace(read, mount=_set(now, key, "true" if value is None else value))


def _set(now: Mount, key: str, value: str) -> Mount:
    if key == "type":
        return replace(now, kind=_one_of(value, KINDS, "mount type"))
    if key == "sharing":
        return replace(now, sharing=_one_of(value, SHARINGS, "sharing value"))
    if key == "from":
        return replace(now, origin=value)
    if key == "source":
        return replace(now, source=value)
    if key == "target":
        return replace(now, target=value)
    if key == "required":
        return replace(now, required=_named(key, value, truth))
    if key == "size":
        return replace(now, size=_named(key, value, size))
    if key == "mode":
        return replace(now, mode=_whole_number(key, value, 8))
    if key == "uid":
        return replace(now, uid=_whole_number(key, value, 10))
    if key == "gid":
        return replace(now, gid=_whole_number(key, value, 10))
    return replace(now, env=value)


def _one_of(value: str, known: tuple[str, ...], what: str) -> str:
    if value.lower() not in known:
        raise ValueError(f'unsupported {what} "{value}"{closest(value, known)}')
    return value.lower()


def _named(key: str, value: str, read: Callable[[str], _Value]) -> _Value:
    try:
        return read(value)
    except ValueError as error:
        raise ValueError(f"invalid value for {key}: {value}: {error}") from error


def _whole_number(key: str, value: str, base: int) -> int:
    form = _MODE if base == 8 else _NUMBER
    number = int(value, base) if form.fullmatch(value) and value.isascii() else 1 << 32
    if number >= 1 << 32:
        raise ValueError(f"invalid value {value} for {key}")
    return number


def _whole(read: _Read) -> Mount:
    """Return the mount with its defaults, refused where its keys do not go together."""
    now = read.mount
    for key, given in (("mode", now.mode), ("uid", now.uid), ("gid", now.gid)):
        if given is not None and now.kind not in _OWNED:
            raise ValueError(f'{key} not allowed for "{now.kind}" type mounts')
    read_only = read.read_only
    if read_only is None:
        read_only = now.kind not in ("cache", "tmpfs")
    now = replace(now, read_only=read_only)
    if now.kind == "secret":
        return _secret(now, read.by_id)
    if now.sharing and now.kind != "cache":
        raise ValueError(f"invalid cache sharing set for {now.kind} mount")
    if now.kind == "cache":
        identity = now.identity or posixpath.normpath(now.target or ".")
        return replace(now, identity=identity, sharing=now.sharing or "shared")
    if now.kind == "ssh":
        return replace(now, identity=now.identity or now.source or "default")
    return now


def _secret(now: Mount, by_id: bool) -> Mount:
    if now.origin:
        raise ValueError("secret mount should not have a from")
    if now.sharing:
        raise ValueError("secret mount should not define sharing")
    if not (now.source or now.target or now.identity):
        raise ValueError("invalid secret mount. one of source, target required")
    if now.source and by_id:
        raise ValueError("both source and id can't be set")
    identity = now.identity or now.source or posixpath.basename(now.target)
    target = now.target
    if not target and now.env is None:
        target = f"/run/secrets/{posixpath.basename(identity)}"
    return replace(now, identity=identity, target=target, source="")
