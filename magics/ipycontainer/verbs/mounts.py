"""Mounts: `-v` and `--mount` of `run` and `create`, in all of Docker's forms."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

from ..failures import Usage

# https://docs.docker.com/engine/storage/bind-mounts/#options-for---mount and its neighbours.
_KINDS = ("bind", "image", "tmpfs", "volume")
_NAMES = {
    "src": "source",
    "dst": "target",
    "destination": "target",
    "ro": "readonly",
}
_TRUE, _FALSE = ("1", "t", "true"), ("0", "f", "false")
_ALONE = ("readonly", "bind-nonrecursive", "volume-nocopy")
"""Keys that may stand without a value."""

Fields = dict[str, Any]


def volumes(texts: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the anonymous volumes' targets, and the binds with their sources made absolute."""
    targets, binds = [], []
    for text in texts:
        source, colon, rest = text.partition(":")
        if not colon:
            targets.append(source)
        elif source.startswith((".", "~")):
            binds.append(f"{_absolute(source)}:{rest}")
        else:
            binds.append(text)
    return targets, binds


def _absolute(source: str) -> str:
    return str(Path(source).expanduser().absolute())


def mount(text: str) -> Fields:
    """Return one `--mount` as the API has it; raises `Usage` for what Docker does not know."""
    reading = _Reading(text)
    reading.read()
    return reading.made()


class _Reading:
    """One text: fields as a line of CSV, so that a quoted field may hold commas."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._mount: Fields = {"Type": "volume"}
        self._options: dict[str, Fields] = {}

    def read(self) -> None:
        """Take every field."""
        try:
            [fields] = csv.reader([self._text], strict=True)
        except (csv.Error, ValueError):
            self._wrong("write KEY=VALUE,…, and a field that has a comma in it in quotes")
        for field in fields:
            key, equals, value = field.partition("=")
            key = _NAMES.get(key.lower(), key.lower())
            if not equals and key not in _ALONE:
                self._wrong(f"{field!r} has no value: write {key}=…")
            take = _KEYS.get(key)
            if take is None:
                self._wrong(f"there is no key {key!r}; there are {', '.join(_KEYS)}")
            take(self, key, value if equals else "true")

    def made(self) -> Fields:
        """Return the whole; raises `Usage` where its parts do not go together."""
        kind = self._mount["Type"]
        if not self._mount.get("Target"):
            self._wrong("it has no target=PATH")
        if kind in {"bind", "image"} and not self._mount.get("Source"):
            self._wrong(f"it has no source={'PATH' if kind == 'bind' else 'IMAGE'}")
        others = {name: options for name, options in self._options.items() if name != kind}
        if others:
            self._wrong(f"{next(iter(others))}-… does not go with type={kind}: leave it out")
        bound = self._options.get("bind", {})
        if not self._mount.get("ReadOnly") and (
            bound.get("ReadOnlyNonRecursive") or bound.get("ReadOnlyForceRecursive")
        ):
            self._wrong("bind-recursive=writable and =readonly go with readonly: add it")
        names = {name: f"{name.capitalize()}Options" for name in self._options}
        return {**self._mount, **{names[name]: made for name, made in self._options.items()}}

    def kind(self, _key: str, value: str) -> None:
        """Take `type`."""
        if value.lower() not in _KINDS:
            self._wrong(f"its type is one of {', '.join(_KINDS)}")
        self._mount["Type"] = value.lower()

    def source(self, _key: str, value: str) -> None:
        """Take `source`; one that begins with a dot is of this folder."""
        self._mount["Source"] = _absolute(value) if value.startswith((".", "~")) else value

    def target(self, _key: str, value: str) -> None:
        """Take `target`."""
        self._mount["Target"] = value

    def readonly(self, key: str, value: str) -> None:
        """Take `readonly`."""
        self._mount["ReadOnly"] = self._truth(key, value)

    def consistency(self, _key: str, value: str) -> None:
        """Take `consistency`, which means something on a Mac alone."""
        self._mount["Consistency"] = value.lower()

    def text(self, key: str, value: str) -> None:
        """Take an option that is a text."""
        kind, _, name = key.partition("-")
        self._of(kind)[name.capitalize()] = value

    def flag(self, key: str, value: str) -> None:
        """Take an option that is true or false."""
        kind, _, name = key.partition("-")
        named = {"nocopy": "NoCopy", "nonrecursive": "NonRecursive"}[name]
        self._of(kind)[named] = self._truth(key, value)

    def create(self, key: str, value: str) -> None:
        """Take `bind-create-src`."""
        self._of("bind")["CreateMountpoint"] = self._truth(key, value)

    def recursive(self, key: str, value: str) -> None:
        """Take `bind-recursive`."""
        fields = {
            "enabled": {},
            "disabled": {"NonRecursive": True},
            "writable": {"ReadOnlyNonRecursive": True},
            "readonly": {"ReadOnlyForceRecursive": True},
        }
        if value not in fields:
            self._wrong(f"{key} is one of {', '.join(fields)}")
        self._of("bind").update(fields[value])

    def label(self, _key: str, value: str) -> None:
        """Take one `volume-label`."""
        name, _, text = value.partition("=")
        self._of("volume").setdefault("Labels", {})[name] = text

    def driver(self, _key: str, value: str) -> None:
        """Take `volume-driver`."""
        self._of("volume").setdefault("DriverConfig", {})["Name"] = value

    def driver_option(self, _key: str, value: str) -> None:
        """Take one `volume-opt`."""
        name, _, text = value.partition("=")
        driver = self._of("volume").setdefault("DriverConfig", {})
        driver.setdefault("Options", {})[name] = text

    def size(self, key: str, value: str) -> None:
        """Take `tmpfs-size`."""
        from docker.errors import DockerException
        from docker.utils import parse_bytes

        try:
            self._of("tmpfs")["SizeBytes"] = int(parse_bytes(value))
        except DockerException:
            self._wrong(f"{key} is a number and its unit: 64m, 1g")

    def mode(self, key: str, value: str) -> None:
        """Take `tmpfs-mode`, in octal."""
        try:
            self._of("tmpfs")["Mode"] = int(value, 8)
        except ValueError:
            self._wrong(f"{key} is octal: 1777, 0700")

    def _of(self, kind: str) -> Fields:
        return self._options.setdefault(kind, {})

    def _truth(self, key: str, value: str) -> bool:
        if value.lower() not in (*_TRUE, *_FALSE):
            self._wrong(f"{key} is true or false")
        return value.lower() in _TRUE

    def _wrong(self, why: str) -> NoReturn:
        raise Usage(f"--mount {self._text!r}: {why}")


_KEYS: dict[str, Callable[[_Reading, str, str], None]] = {
    "type": _Reading.kind,
    "source": _Reading.source,
    "target": _Reading.target,
    "readonly": _Reading.readonly,
    "consistency": _Reading.consistency,
    "bind-propagation": _Reading.text,
    "bind-nonrecursive": _Reading.flag,
    "bind-recursive": _Reading.recursive,
    "bind-create-src": _Reading.create,
    "volume-subpath": _Reading.text,
    "volume-nocopy": _Reading.flag,
    "volume-label": _Reading.label,
    "volume-driver": _Reading.driver,
    "volume-opt": _Reading.driver_option,
    "image-subpath": _Reading.text,
    "tmpfs-size": _Reading.size,
    "tmpfs-mode": _Reading.mode,
}
