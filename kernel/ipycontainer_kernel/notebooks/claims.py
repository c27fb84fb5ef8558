"""What a notebook asks for its sandbox, and what of it a file may have.

The metadata of a notebook is a stranger's word until a person has said otherwise. It may choose an
image, limits and variables, since those hold inside the container alone, and it may have its own
folder to read. Whatever reaches past the container is a person's to give: other folders, volumes
and networks of his, and writing. A claim is read anew before each container, since a folder may
have become a link meanwhile.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ipycontainer.failures import Failure, one_line
from ipycontainer_kernel.settings import Settings

SECRETS = "secrets"
"""Beside the settings: the names of variables that are needed, whose values were not written."""

_LONGEST = 256 << 10
"""Characters of all that is claimed, as JSON; a hundred wheels take fifteen thousand."""
_NETWORKS = ("", "none", "bridge", "default")
"""Those that lead to no process of the machine's or of another container's."""
_KINDS = ("python", "image", "shell")
_DIGEST = r"sha256:[0-9a-f]{64}"
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._/:-]{0,254}[A-Za-z0-9])?"
_FORMS = {
    "image": (re.compile(rf"{_NAME}(?:@{_DIGEST})?|{_DIGEST}"), "a name of an image"),
    "digest": (re.compile(rf"(?:(?:{_NAME}@)?{_DIGEST})?"), "NAME@sha256:… or sha256:…"),
    "memory": (re.compile(r"(?:\d{1,15}[bkmgBKMG]?)?"), "a size: 512m, 2g"),
    "workdir": (re.compile(r"(?:/[^\x00-\x1f\x7f]{0,1000})?"), "an absolute path"),
    "user": (re.compile(r"(?:[\w.-]{1,64}(?::[\w.-]{1,64})?)?", re.ASCII), "USER[:GROUP]"),
    "spec": (re.compile(r"[A-Za-z0-9._-]{0,100}"), "a kernelspec's name"),
}
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_HASH = re.compile(r"([0-9a-f]{64})?")


@dataclass(frozen=True)
class Claim:
    """What a notebook may have of what it asks for."""

    settings: Settings
    """Without what is refused; folders' paths are absolute."""
    refused: tuple[str, ...] = ()
    """What it asks for and does not get, in words."""
    secrets: tuple[str, ...] = ()
    """The names of variables that it needs, and whose values it does not have."""

    def granted(self, source: object) -> Settings:
        """Return the settings if nothing is refused; else raise a `Failure` that names it all."""
        if self.refused:
            asked = "; ".join(self.refused)
            raise Failure(
                f"{source} asks for more than a file may have: {asked}. --trust gives it that; or"
                " give flags of your own, which come first"
            )
        return self.settings


def read(data: object, folder: Path, *, trusted: bool = False) -> Claim:
    """Return what a notebook in `folder` may have of what its metadata asks for.

    `trusted` is a person's word that it may have all of it. Raises `Failure` for what is malformed,
    whoever says that it is to be trusted.
    """
    _bounded(data)
    asked = Settings.from_json(data)
    _check(asked)
    refused: list[str] = []
    settings = replace(
        asked,
        name="",
        argv=asked.argv if asked.kind == "image" else (),
        display_name=one_line(asked.display_name)[:80],
        network=_network(asked, refused, trusted=trusted),
        notebook=_notebook(asked, folder, refused, trusted=trusted),
    )
    settings = replace(
        settings, volumes=tuple(_volumes(settings, folder, refused, trusted=trusted))
    )
    assert isinstance(data, Mapping), "Settings.from_json looked"
    return Claim(settings, tuple(refused), _secrets(data))


def told(settings: Settings) -> list[tuple[str, str]]:
    """Return what a sandbox would be, as words and values for a person who is to agree."""
    found = [("image", settings.image)]
    if settings.digest:
        found.append(("digest", settings.digest))
    found += [
        ("memory", settings.memory or "no limit"),
        ("processors", f"{settings.cpus:g}" if settings.cpus else "no limit"),
        ("network", settings.network or "the default one, with a way out"),
        ("this folder", {"ro": "can be read", "rw": "can be written"}.get(settings.notebook, "-")),
    ]
    found += [("mount", text) for text in settings.volumes]
    found += [("variable", f"{name}={value}") for name, value in settings.env.items()]
    found += [(name, value) for name in ("user", "workdir") if (value := getattr(settings, name))]
    if settings.wheels:
        found.append(("injected", f"{len(settings.wheels)} wheels"))
    return [(what, one_line(value)[:300]) for what, value in found]


def _bounded(data: object) -> None:
    try:
        length = len(json.dumps(data))
    except (TypeError, ValueError, RecursionError) as error:
        raise Failure("what the notebook says of its sandbox is no JSON") from error
    if length > _LONGEST:
        raise Failure(
            f"what the notebook says of its sandbox has {length:,} characters, and at most"
            f" {_LONGEST:,} are read"
        )


def _check(asked: Settings) -> None:
    for name, (form, wanted) in _FORMS.items():
        value = getattr(asked, name)
        if not form.fullmatch(value):
            raise Failure(f"{name} {value[:80]!r} of the notebook's sandbox must be {wanted}")
    if asked.kind not in _KINDS:
        raise Failure(
            f"kind {asked.kind!r} of the notebook's sandbox: a file may ask for"
            f" {', '.join(_KINDS)}; install a kernel of that kind by `kernel install`"
        )
    for name, value in asked.env.items():
        if not _VARIABLE.fullmatch(name) or "\0" in value:
            raise Failure(f"{name[:80]!r} of the notebook's sandbox is no variable: NAME=VALUE")
    for wheel in asked.wheels:
        # Empty for what was copied from the computer that locked it.
        if not _HASH.fullmatch(wheel.get("sha256", "-")):
            raise Failure(f"wheel {wheel.get('name', '')[:80]!r} must have its sha256")


def _network(asked: Settings, refused: list[str], *, trusted: bool) -> str:
    if trusted or asked.network in _NETWORKS:
        return asked.network
    refused.append(f"the network {one_line(asked.network)[:80]!r}")
    return "none"


def _notebook(asked: Settings, folder: Path, refused: list[str], *, trusted: bool) -> str:
    if trusted or asked.notebook == "none":
        return asked.notebook
    if asked.notebook == "rw":
        refused.append("writing to the notebook's folder")
    home, here = os.path.realpath(Path.home()), os.path.realpath(folder)
    if os.path.commonpath([home, here]) == here:
        refused.append(f"{here}, which has your home folder and what is in it")
        return "none"
    return "ro"


def _volumes(asked: Settings, folder: Path, refused: list[str], *, trusted: bool) -> Iterator[str]:
    for text in asked.volumes:
        source, _, rest = text.partition(":")
        if not rest.startswith("/") or "\0" in text:
            raise Failure(f"mount {text[:80]!r} of the notebook's sandbox must be SOURCE:/TARGET")
        if source.startswith("."):
            if (inside := _inside(source, folder)) is None:
                # Not for those who trust it, either: a lock never writes this.
                refused.append(f"the mount {one_line(text)[:120]!r}, which leads out of its folder")
            elif not trusted and not _read_only(rest):
                refused.append(f"writing to {one_line(text)[:120]!r}")
                yield f"{inside}:{rest.partition(':')[0]}:ro"
            else:
                yield f"{inside}:{rest}"
        elif trusted:
            yield text
        else:
            refused.append(f"the mount {one_line(text)[:120]!r}")


def _read_only(rest: str) -> bool:
    """Tell whether TARGET[:OPTIONS] can only be read."""
    return "ro" in rest.partition(":")[2].split(",")


def _inside(source: str, folder: Path) -> str | None:
    """Return the real path of a source in the notebook's folder; None for one that leads out."""
    here = os.path.realpath(folder)
    there = os.path.realpath(os.path.join(here, source))
    return there if os.path.commonpath([here, there]) == here and ":" not in there else None


def _secrets(data: Mapping[str, Any]) -> tuple[str, ...]:
    names = data.get(SECRETS, [])
    if not isinstance(names, list) or not all(
        isinstance(name, str) and _VARIABLE.fullmatch(name) for name in names
    ):
        raise Failure(f"{SECRETS} of the notebook's sandbox must be a list of variables' names")
    return tuple(names)
