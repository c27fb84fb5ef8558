"""`Settings`: what a kernel in a container was asked to be.

It is written into a kernelspec by `kernel install`, read by the provisioner and the launcher, and
has the same shape in the metadata of a notebook that names its sandbox. That notebook may be a
stranger's, so nothing is taken that is not of the type it should be.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from ipycontainer.failures import Failure

KEY: Final = "ipycontainer"
"""Where it is in a kernelspec's and in a notebook's metadata."""
KINDS: Final = ("python", "image", "shell", "dockerfile")
NOTEBOOK_MODES: Final = ("ro", "rw", "none")
_NAME = re.compile(
    r"[A-Za-z0-9._-]+"
)  # https://jupyter-client.readthedocs.io/en/stable/kernels.html
_VARIABLE = re.compile(r"[^=\0]+")


@dataclass(frozen=True)
class Settings:
    """A kernel's image and limits; the defaults are those of `docker run`, and no more mounts."""

    image: str
    """The reference as a person writes it; "" for the Dockerfile kernel: its cells name theirs."""
    digest: str = ""
    """What the reference stood for: `name@sha256:…`, or an image's id; "" where nobody looked."""
    kind: str = "python"
    """python (ipykernel, injected or the image's own), image (a kernelspec that the image brings),
    shell or dockerfile."""
    spec: str = ""
    """Of kind `image`: the name of its kernelspec in the image."""
    argv: tuple[str, ...] = ()
    """Of kind `image`: the command of that kernelspec."""
    interrupt_mode: str = ""
    """Of kind `image`: message where that kernel wants to be interrupted by one."""
    memory: str = ""
    """As Docker writes it: 512m, 2g."""
    cpus: float | None = None
    network: str = ""
    """none, host, a network's name, or "" for the engine's default."""
    volumes: tuple[str, ...] = ()
    """`SOURCE:TARGET[:OPTIONS]`; a folder's source is absolute."""
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str = ""
    user: str = ""
    notebook: str = "ro"
    """How the notebook's folder is mounted, at /notebook: ro, rw or none."""
    name: str = ""
    """The kernelspec's name."""
    display_name: str = ""
    wheels: tuple[Mapping[str, str], ...] = ()
    """The injected wheels: name, version and sha256 of each."""

    @property
    def reference(self) -> str:
        """What the engine is asked for: the very image that was resolved, where one was."""
        return self.digest or self.image

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON's types, without what is as by default."""
        found: dict[str, Any] = {"image": self.image}
        for part in fields(self)[1:]:
            value = getattr(self, part.name)
            if value or part.name in ("kind", "notebook"):
                found[part.name] = _plain(value)
        return found

    @classmethod
    def from_json(cls, data: object) -> Settings:
        """Return what `to_json` returned; raises `Failure` for what it could not have returned.

        Fields that are not known are those of a later release, and are left out.
        """
        if not isinstance(data, Mapping):
            raise Failure(f"the settings of a kernel are an object, not {data!r}")
        known = {part.name for part in fields(cls)}
        made = {name: _read(name, value) for name, value in data.items() if name in known}
        if not made.get("image") and made.get("kind") != "dockerfile":
            raise Failure("the settings of a kernel name no image: give `image`")
        return cls(**made)


def valid_name(name: str) -> bool:
    """Tell whether Jupyter takes this as a kernelspec's name."""
    return bool(_NAME.fullmatch(name))


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return dict(value) if isinstance(value, Mapping) else value


def _read(name: str, value: object) -> Any:
    if name in _READERS:
        return _READERS[name](name, value)
    if not isinstance(value, str) or "\0" in value:
        raise _wrong(name, value, "a text")
    if name in _CHOICES and value not in _CHOICES[name]:
        raise _wrong(name, value, f"one of {', '.join(_CHOICES[name])}")
    return value


def _cpus(name: str, value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e6:
        raise _wrong(name, value, "a number above 0")
    return float(value)


def _texts(name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(
        isinstance(text, str) and "\0" not in text for text in value
    ):
        raise _wrong(name, value, "a list of texts")
    return tuple(value)


def _env(name: str, value: object) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(
        isinstance(key, str) and isinstance(text, str) and _VARIABLE.fullmatch(key)
        for key, text in value.items()
    ):
        raise _wrong(name, value, "an object of texts")
    return dict(value)


def _wheels(name: str, value: object) -> tuple[dict[str, str], ...]:
    if not isinstance(value, list):
        raise _wrong(name, value, "a list of objects with name, version and sha256")
    return tuple(_env(name, entry) for entry in value)


_READERS = {"cpus": _cpus, "volumes": _texts, "argv": _texts, "env": _env, "wheels": _wheels}
_CHOICES = {
    "kind": KINDS,
    "notebook": NOTEBOOK_MODES,
    "interrupt_mode": ("", "signal", "message"),
}


def _wrong(name: str, value: object, wanted: str) -> Failure:
    shown = repr(value)
    return Failure(f"{name} {shown[:80]} of a kernel's settings must be {wanted}")
