"""What is installed in a Python's folders, read from what installers write down.

Sources: the packaging specifications "Recording installed projects" (dist-info, RECORD, INSTALLER)
and "Direct URL data structure"; setuptools' egg-info; conda's `conda-meta`.
"""

import contextlib
import csv
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

# Below these folders of a prefix a RECORD may name files. Another name may be anything: where a
# venv lies in a project's folder, `../../../.env` is below its prefix too.
DATA = frozenset(("bin", "etc", "include", "lib", "lib64", "libexec", "man", "share", "sbin"))
CONDA = "conda:"
"""What the name of a package of conda's begins with, Python's or not."""
_NAME = re.compile(r"[-_.]+")
_WANTED_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_USER = re.compile(r"(?<=://)(?!git@|\$\{[A-Za-z0-9_-]+\}(:\$\{[A-Za-z0-9_-]+\})?@)[^/?#\s\"']+@")
# What signs a URL, or stands for a login in it, goes by many names.
_SIGNED = re.compile(
    r"(?i)([?&][\w.%-]*(?:token|secret|passw|signature|credential|auth|key|\bsig)[\w.%-]*=)"
    r"[^&#\s\"']+"
)
_TOKEN = re.compile(r"(?<=[a-z0-9])/t/[A-Za-z0-9_-]+/")
_MOST_METADATA = 16 << 20


class Distribution(NamedTuple):
    """One installed project; paths are absolute."""

    name: str
    """Normalized, as indexes have it."""
    version: str
    info: str
    """The folder, or file, that tells of it."""
    files: tuple[str, ...] = ()
    tops: tuple[str, ...] = ()
    """Where nothing lists its files: the paths that are its, with all below them."""
    requires: tuple[str, ...] = ()
    """Names of what it needs, but for what an extra needs."""
    requires_python: str = ""
    installer: str = ""
    tags: tuple[str, ...] = ()
    """The wheel's: cp311-cp311-manylinux_2_28_x86_64."""
    record: str = ""
    """The sha256 of its RECORD, which has the sha256 of each of its files."""
    origin: Mapping[str, Any] = {}
    """PEP 610's, without credentials; empty for what an index gave."""

    @property
    def editable(self) -> str:
        """The folder whose code an editable install runs; empty for another."""
        if not (self.origin.get("dir_info") or {}).get("editable"):
            return ""
        return urlsplit(str(self.origin.get("url", ""))).path

    @property
    def title(self) -> str:
        """Name and version, as people write them."""
        return f"{self.name} {self.version}".strip()


def normalized(name: str) -> str:
    """Return a project's name as indexes compare it (packaging's name normalization)."""
    return _NAME.sub("-", name).lower()


def installed(folders: Iterable[str], prefix: str) -> list[Distribution]:
    """Return what is installed in site folders, each project once: Python takes the first."""
    found: dict[str, Distribution] = {}
    for folder in folders:
        for entry in sorted(_entries(folder)):
            one = _read(folder, entry, prefix)
            if one is not None and one.name:
                found.setdefault(one.name, one)
    return sorted(found.values())


def _entries(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _read(folder: str, entry: str, prefix: str) -> Distribution | None:
    path = os.path.join(folder, entry)
    if entry.endswith(".dist-info"):
        return _from_info(folder, path, prefix)
    if entry.endswith((".egg-info", ".egg")):
        return _from_egg(folder, path)
    if entry.endswith(".egg-link"):
        target = _text(path).partition("\n")[0].strip()
        origin = {"url": f"file://{target}", "dir_info": {"editable": True}}
        return Distribution(
            normalized(entry.removesuffix(".egg-link")), "", path, (path,), origin=origin
        )
    return None


def _from_info(folder: str, path: str, prefix: str) -> Distribution:
    said = _headers(_text(f"{path}/METADATA"))
    record = _text(f"{path}/RECORD")
    files = tuple(_recorded(record, folder, prefix))
    return Distribution(
        normalized(_one(said, "name")),
        _one(said, "version"),
        path,
        files,
        () if files else tuple(_tops(folder, path, _one(said, "name"))),
        tuple(_required(said)),
        _one(said, "requires-python"),
        _shown(_text(f"{path}/INSTALLER")).strip()[:100],
        tuple(_headers(_text(f"{path}/WHEEL")).get("tag", ())),
        hashlib.sha256(record.encode("utf-8", "surrogateescape")).hexdigest() if record else "",
        _origin(path),
    )


def _from_egg(folder: str, path: str) -> Distribution:
    inside = {".egg": "EGG-INFO/PKG-INFO"}.get(os.path.splitext(path)[1], "PKG-INFO")
    said = _headers(_text(f"{path}/{inside}") or _text(path))
    listed = _text(f"{path}/installed-files.txt").splitlines()
    files = tuple(os.path.normpath(os.path.join(path, name)) for name in listed if name)
    inner = tuple(file for file in files if file.startswith(f"{folder}/"))
    own = (path,) if path.endswith(".egg") else tuple(_tops(folder, path, _one(said, "name")))
    return Distribution(
        normalized(_one(said, "name")),
        _one(said, "version"),
        path,
        inner,
        (path, *(() if inner else own)),
        tuple(_required(said)),
        _one(said, "requires-python"),
    )


def _recorded(record: str, folder: str, prefix: str) -> Iterator[str]:
    """Yield the paths that a RECORD lists, in its site folder or in its prefix's data folders."""
    rows = csv.reader(record.splitlines())
    with contextlib.suppress(csv.Error):
        for row in rows:
            if not row or not row[0]:
                continue
            path = os.path.normpath(os.path.join(folder, row[0]))
            below = path.removeprefix(f"{prefix}/")
            if path.startswith(f"{folder}/") or (
                below != path and below.partition("/")[0] in DATA and "/" in below
            ):
                yield path


def _tops(folder: str, info: str, name: str) -> Iterator[str]:
    """Yield what is probably its: what it calls its top level, or what is called as it is."""
    yield info
    for top in _text(f"{info}/top_level.txt").split() or [name.replace("-", "_"), name]:
        for path in (f"{folder}/{top}", f"{folder}/{top}.py"):
            if "/" not in top and top not in ("", ".", "..") and os.path.lexists(path):
                yield path


def _required(said: Mapping[str, list[str]]) -> Iterator[str]:
    for line in said.get("requires-dist", said.get("requires", ())):
        wanted, _, marker = line.partition(";")
        if "extra" not in marker and (match := _WANTED_NAME.match(wanted)):
            yield normalized(match[1])


def _headers(text: str) -> dict[str, list[str]]:
    """Return the fields of core metadata by name; the description after them is left."""
    said: dict[str, list[str]] = {}
    for line in _shown(text).splitlines():
        if not line:
            break
        name, colon, value = line.partition(":")
        if colon and not line[0].isspace():
            said.setdefault(name.lower(), []).append(value.strip())
    return said


def _one(said: Mapping[str, list[str]], name: str) -> str:
    return next(iter(said.get(name, ())), "")


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read(_MOST_METADATA)
    except OSError:
        return ""


def _shown(text: str) -> str:
    """Return text that a lock and a label can hold: older metadata is not always UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode(errors="replace")


def _origin(info: str) -> dict[str, Any]:
    try:
        origin = json.loads(_text(f"{info}/direct_url.json") or "{}")
    except ValueError:
        return {}
    if not isinstance(origin, dict) or not isinstance(origin.get("url"), str):
        return {}
    return {**origin, "url": without_credentials(origin["url"])}


def without_credentials(text: str) -> str:
    """Return text with no user, password or signature in its URLs, nor a conda channel's token.

    PEP 610 keeps `${NAME}`, which is neither; `git@` is what one is called at such hosts.
    """
    return _TOKEN.sub("/", _SIGNED.sub(r"\1", _USER.sub("", text)))


def with_conda(found: list[Distribution], prefix: str) -> list[Distribution]:
    """Return the distributions with conda's packages added, which have what no RECORD lists."""
    folder = f"{prefix}/conda-meta"
    packages = []
    for entry in sorted(_entries(folder)):
        if entry.endswith(".json"):
            with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
                packages.append(_conda_package(f"{folder}/{entry}", prefix))
    return [*found, *packages]


def _conda_package(path: str, prefix: str) -> Distribution:
    said = json.loads(_text(path))
    inside = (os.path.normpath(f"{prefix}/{name}") for name in said["files"])
    files = tuple(p for p in inside if p.startswith(f"{prefix}/"))
    origin = {key: str(said[key]) for key in ("channel", "url", "sha256", "build") if said.get(key)}
    origin = {key: without_credentials(value) for key, value in origin.items()}
    return Distribution(
        f"{CONDA}{said['name']}",
        str(said["version"]),
        path,
        (path, *files),
        installer="conda",
        origin=origin,
    )
