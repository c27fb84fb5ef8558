"""Kernelspecs of ours on this computer: written, found, removed.

One kernel.json serves both ways: who knows provisioners takes the one that its metadata name, and
who does not runs its `argv`, which is the launcher.
"""

from __future__ import annotations

import importlib
import json
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ipycontainer.failures import Failure
from ipycontainer_kernel.processes import python_argv
from ipycontainer_kernel.settings import KEY, Settings

PROVISIONER: Final = "ipycontainer"
_ON_HOST: Final = ("shell", "dockerfile")
_LANGUAGES: Final = {"python": "python", "shell": "bash", "dockerfile": "dockerfile"}


@dataclass(frozen=True)
class Installed:
    """A kernelspec of ours."""

    name: str
    folder: Path
    settings: Settings


@dataclass(frozen=True)
class Place:
    """A folder of kernelspecs."""

    folder: Path

    @classmethod
    def of_user(cls) -> Place:
        """Return this user's."""
        from jupyter_core.paths import jupyter_data_dir

        return cls(Path(jupyter_data_dir()) / "kernels")

    @classmethod
    def below(cls, prefix: Path) -> Place:
        """Return that of an environment."""
        return cls(prefix.absolute() / "share/jupyter/kernels")


def write(settings: Settings, place: Place, *, language: str = "", icons: dict[str, bytes]) -> Path:
    """Write a kernelspec, in the place of one of ours of that name; return its folder.

    Raises `Failure` where the name is somebody else's, or the folder cannot be written.
    """
    target = place.folder / settings.name
    _check_free(settings.name, target)
    Settings.from_json(settings.to_json())  # an image's labels and kernelspecs are a stranger's
    document = kernel_json(settings, target, language)
    try:
        place.folder.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{settings.name}-", dir=place.folder))
        try:
            made.chmod(0o755)
            text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
            (made / "kernel.json").write_text(text, encoding="utf-8")
            for name, data in icons.items():
                (made / name).write_bytes(data)
            if target.exists():
                shutil.rmtree(target)
            made.rename(target)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        raise Failure(
            f"the kernelspec cannot be written to {place.folder}: {error.strerror};"
            " --user writes it to your own, --sys-prefix to this Python's"
        ) from error
    return target


def kernel_json(settings: Settings, folder: Path, language: str = "") -> dict[str, Any]:
    """Return a kernelspec's kernel.json; `folder` is where it will be."""
    document: dict[str, Any] = {
        "argv": _argv(settings, folder),
        "display_name": settings.display_name,
        "language": language or _LANGUAGES.get(settings.kind, ""),
        "interrupt_mode": settings.interrupt_mode or "signal",
        "metadata": {KEY: settings.to_json()},
    }
    if settings.kind not in _ON_HOST:
        document["metadata"]["kernel_provisioner"] = {"provisioner_name": PROVISIONER}
    if settings.kind == "python":
        document["metadata"]["debugger"] = True
    return document


def _argv(settings: Settings, folder: Path) -> list[str]:
    if settings.kind in _ON_HOST:
        # Their packages run on this computer, and say how.
        module = importlib.import_module(f"ipycontainer_kernel.{settings.kind}")
        return [str(word) for word in module.spec_argv(settings)]
    launcher = python_argv("ipycontainer_kernel.launcher")
    return [*launcher, "-f", "{connection_file}", "--spec", str(folder)]


def read(folder: Path) -> Settings | None:
    """Return the settings of a kernelspec, None where it is not one of ours."""
    try:
        document = json.loads((folder / "kernel.json").read_text(encoding="utf-8"))
        data = document["metadata"][KEY]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Settings.from_json(data)


def installed() -> list[Installed]:
    """Return the kernelspecs of ours that Jupyter would find, in the order of their names.

    One whose settings this release does not understand hides no other: it is left out.
    """
    found = []
    for name, folder in sorted(_all().items()):
        with suppress(Failure):
            if (settings := read(Path(folder))) is not None:
                found.append(Installed(name, Path(folder), settings))
    return found


def of_name(name: str) -> Installed:
    """Return the one of that name; raises `Failure` where there is none of ours."""
    known = installed()
    for one in known:
        if one.name == name:
            return one
    if (folder := _all().get(name)) is not None:
        try:
            read(Path(folder))
        except Failure as error:  # ours, and not understood
            raise Failure(
                f"{name}: {error}; `jupyter kernelspec remove {name}` removes it"
            ) from error
        raise Failure(f"{name} is a kernel of another making: `jupyter kernelspec` knows it")
    names = ", ".join(one.name for one in known) or "none yet"
    raise Failure(f"there is no kernel {name!r}; there are: {names}")


def remove(one: Installed) -> None:
    """Remove a kernelspec; kernels that run go on."""
    try:
        shutil.rmtree(one.folder)
    except OSError as error:
        raise Failure(f"{one.folder} cannot be removed: {error.strerror}") from error


def _all() -> dict[str, str]:
    from jupyter_client.kernelspec import KernelSpecManager

    return dict(KernelSpecManager(ensure_native_kernel=False).find_kernel_specs())


def _check_free(name: str, target: Path) -> None:
    taken = [Path(path) for path in (_all().get(name), target) if path and Path(path).exists()]
    for folder in taken:
        if read(folder) is None:
            raise Failure(f"{name} is the name of another kernel ({folder}): give this one --name")
