"""The kernelspecs that an image brings, read out of its files; nothing of it is run."""

from __future__ import annotations

import io
import json
import posixpath
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ipycontainer.failures import Failure
from ipycontainer_kernel.folders import CONNECTION

if TYPE_CHECKING:
    from ipycontainer.session import Session

_ALWAYS: Final = ("/usr/local", "/usr", "/opt/conda", "/root/.local")
_MOST = 16 << 20
_LONGEST_JSON = 1 << 16
_LARGEST_ICON = 1 << 18
_PNG = b"\x89PNG\r\n\x1a\n"
_ICONS = ("logo-32x32.png", "logo-64x64.png")


@dataclass(frozen=True)
class Brought:
    """One kernelspec of an image; its command is as it runs in our container."""

    name: str
    display_name: str
    language: str
    argv: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    interrupt_mode: str = "signal"
    icons: dict[str, bytes] = field(default_factory=dict)

    @property
    def is_ipykernel(self) -> bool:
        """Whether it is IPython's, which the kind `python` starts in its own way."""
        return any("ipykernel" in word for word in self.argv)


def brought(session: Session, image: str) -> list[Brought]:
    """Return the kernelspecs in an image's usual places; the image must be there."""
    config = session.api.inspect_image(image)["Config"] or {}
    found: dict[str, Brought] = {}
    with _container(session, image) as container:
        for prefix in _prefixes(config.get("Env") or ()):
            folder = f"{prefix}/share/jupyter/kernels"
            for spec in _read(folder, _members(session, container, folder)):
                found.setdefault(spec.name, spec)
    return list(found.values())


def _prefixes(env: Iterable[str]) -> list[str]:
    path = next((text[5:] for text in env if text.startswith("PATH=")), "")
    folders = [folder.rstrip("/") for folder in path.split(":")]
    found = [folder.removesuffix("/bin") for folder in folders if folder.endswith("/bin")]
    return list(dict.fromkeys([prefix for prefix in found if prefix] + list(_ALWAYS)))


@contextmanager
def _container(session: Session, image: str) -> Iterator[str]:
    made = session.api.create_container(image, ["none"], entrypoint=["/nothing"])
    try:
        yield made["Id"]
    finally:
        session.api.remove_container(made["Id"], v=True, force=True)


def _members(session: Session, container: str, folder: str) -> dict[str, bytes]:
    """Return the small files of a folder by their names in it; no link is followed."""
    from docker.errors import NotFound

    try:
        parts, _ = session.api.get_archive(container, folder)
    except NotFound:
        return {}
    data = bytearray()
    for part in parts:
        data += part
        if len(data) > _MOST:
            raise Failure(f"{folder} of the image has more than {_MOST >> 20} MiB: give --kind")
    files = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            if member.isreg() and member.size <= _LARGEST_ICON:
                opened = archive.extractfile(member)
                assert opened is not None, "a regular file"
                # The archive's names begin with the folder's own.
                files[member.name.partition("/")[2]] = opened.read()
    return files


def _read(folder: str, files: dict[str, bytes]) -> Iterator[Brought]:
    for path, data in sorted(files.items()):
        name, slash, file = path.partition("/")
        if slash and file == "kernel.json" and len(data) <= _LONGEST_JSON:
            icons = {
                icon: files[f"{name}/{icon}"]
                for icon in _ICONS
                # No SVG: those of a stranger can hold scripts, and Jupyter would serve them.
                if files.get(f"{name}/{icon}", b"").startswith(_PNG)
            }
            spec = _spec(name, posixpath.join(folder, name), data, icons)
            if spec is not None:
                yield spec


def _spec(name: str, folder: str, data: bytes, icons: dict[str, bytes]) -> Brought | None:
    """Return a kernelspec; None for one that Jupyter could not start either."""
    try:
        document: Any = json.loads(data)
        argv = tuple(_filled(word, folder) for word in document["argv"])
        env = {str(key): str(value) for key, value in (document.get("env") or {}).items()}
        mode = document.get("interrupt_mode")
        return Brought(
            name,
            str(document.get("display_name") or name),
            str(document.get("language") or ""),
            argv,
            env,
            "message" if mode == "message" else "signal",
            icons,
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _filled(word: str, folder: str) -> str:
    prefix = folder.removesuffix("/share/jupyter/kernels/" + posixpath.basename(folder))
    filled = word.replace("{connection_file}", CONNECTION).replace("{resource_dir}", folder)
    return filled.replace("{prefix}", prefix)
