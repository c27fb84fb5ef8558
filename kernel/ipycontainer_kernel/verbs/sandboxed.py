"""The flags by which a person says what a notebook's sandbox is to be, and what they come to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from ipycontainer.failures import Failure, Usage
from ipycontainer.session import Session
from ipycontainer.verbs.base import completed, flag, image_names
from ipycontainer.verbs.mounts import volumes
from ipycontainer.verbs.settings import environment
from ipycontainer_kernel.notebooks import claims, documents
from ipycontainer_kernel.settings import KEY, NOTEBOOK_MODES, Settings

F = TypeVar("F", bound=Callable[..., Any])

_PLAIN = ("memory", "cpus", "network", "workdir", "user", "notebook_mode")
_FIELDS = {"notebook_mode": "notebook"}


def sandbox_options(function: F) -> F:
    """Declare what a person may say of a sandbox; it comes before what the notebook says."""
    for option in reversed(
        (
            click.option(
                "--image",
                metavar="IMAGE",
                help="The sandbox's image, whatever the notebook names.",
                shell_complete=completed(image_names),
            ),
            click.option("-m", "--memory", metavar="SIZE", help="Limit memory (1g)."),
            click.option("--cpus", type=float, metavar="NUMBER", help="Limit to this many CPUs."),
            click.option("--network", "--net", "network", metavar="NAME", help="A network."),
            click.option(
                "-v", "--volume", multiple=True, metavar="FOLDER:TARGET", help="Mount a folder."
            ),
            click.option("-e", "--env", multiple=True, metavar="NAME=VALUE", help="A variable."),
            click.option("-w", "--workdir", metavar="PATH", help="Work in this folder."),
            click.option("-u", "--user", metavar="USER[:GROUP]", help="Run as this user."),
            click.option(
                "--notebook-folder",
                "notebook_mode",
                type=click.Choice(NOTEBOOK_MODES),
                help="Mount the notebook's folder at /notebook: ro, rw or none.",
            ),
            flag(
                "--trust",
                help="Give the notebook all that it asks for: folders, volumes and networks of"
                " yours, and writing to its folder.",
            ),
        )
    ):
        function = option(function)
    return function


def sandbox_of(session: Session, path: Path, notebook: Any, flags: dict[str, Any]) -> Settings:
    """Return the sandbox that a notebook and a person's flags come to; raises `Failure`.

    Without metadata of its own it is that of the kernel which the notebook was saved with.
    """
    data = documents.sandbox_of(notebook)
    if data is None and not flags["image"]:
        data = _of_kernelspec(session, path, documents.kernelspec_of(notebook))
        return _with(data, flags)
    if data is None:
        return _with(Settings(flags["image"]), flags)
    data = _less(data, flags)
    claim = claims.read(data, path.absolute().parent, trusted=flags["trust"])
    settings = _with(claim.granted(path), flags)
    lacking = [name for name in claim.secrets if name not in settings.env]
    if lacking:
        raise Failure(f"{path} needs {', '.join(lacking)}: give it with -e {lacking[0]}")
    return settings


def flagged(flags: dict[str, Any]) -> Settings:
    """Return the settings that flags alone come to; raises `Usage` without an image."""
    if not flags["image"]:
        raise Usage("which image? --image IMAGE")
    return _with(Settings(flags["image"]), flags)


def _less(data: object, flags: dict[str, Any]) -> object:
    """Return what a notebook says without what a person's flags say instead: it need not be had."""
    if not isinstance(data, dict):
        return data
    replaced = {_FIELDS.get(name, name) for name in _PLAIN if flags[name] is not None}
    replaced |= {"volumes"} if flags["volume"] else set()
    replaced |= {"digest"} if flags["image"] else set()
    return {name: value for name, value in data.items() if name not in replaced}


def _of_kernelspec(session: Session, path: Path, name: str) -> Settings:
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        said = KernelSpecManager().get_kernel_spec(name).metadata.get(KEY) if name else None
    except (NoSuchKernel, ValueError):
        said = None
    if said is None:
        raise Failure(
            f"{path} names no sandbox: give one with --image IMAGE, or write one into it with"
            f" `{session.program} lock {path} --image IMAGE`"
        )
    return Settings.from_json(said)


def _with(settings: Settings, flags: dict[str, Any]) -> Settings:
    given = {_FIELDS.get(name, name): flags[name] for name in _PLAIN if flags[name] is not None}
    if flags["image"]:
        given |= {"image": flags["image"], "digest": "", "wheels": ()}
    if flags["volume"]:
        anonymous, binds = volumes(flags["volume"])
        if anonymous:
            raise Usage(f"-v {anonymous[0]!r}: write FOLDER:TARGET")
        given["volumes"] = tuple(binds)
    if flags["env"]:
        pairs = (text.partition("=") for text in environment(flags["env"], ()))
        given["env"] = {**settings.env, **{name: value for name, _, value in pairs}}
    return replace(settings, **given)
