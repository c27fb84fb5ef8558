"""What a notebook's sandbox is to be: what the notebook says, and a person's flags before it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ipycontainer.failures import Failure
from ipycontainer.session import Session
from ipycontainer.verbs.base import completed, flag, image_names
from ipycontainer_kernel import specs
from ipycontainer_kernel.notebooks import claims, documents
from ipycontainer_kernel.resolving import resolve
from ipycontainer_kernel.settings import Settings
from ipycontainer_kernel.verbs.kernel import SANDBOX, asked_for

OPTIONS = (
    click.option(
        "--image",
        metavar="IMAGE",
        help="The sandbox's image, whatever the notebook names.",
        shell_complete=completed(image_names),
    ),
    *SANDBOX,
)
TRUST = flag(
    "--trust",
    help="Give the notebook all that it asks for: folders, volumes and networks of yours, and"
    " writing to its folder.",
)


def sandbox_of(session: Session, path: Path, notebook: Any, flags: dict[str, Any]) -> Settings:
    """Return the sandbox of a notebook at `path`, with what flags ask for; raises `Failure`.

    Without metadata of its own it is that of the kernel which the notebook was saved with.
    """
    given = asked_for(flags)
    data = documents.sandbox_of(notebook)
    if data is None and flags["image"]:
        return resolve(session, {"image": flags["image"], **given}).settings
    if data is None:
        return _merged(_of_kernelspec(session, path, notebook), given)
    # What a person's flags replace need not be had.
    data = _less(data, given, image=flags["image"])
    claim = claims.read(data, path.absolute().parent, trusted=flags["trust"])
    settings = _merged(claim.granted(path), given)
    if lacking := [name for name in claim.secrets if name not in settings.env]:
        raise Failure(f"{path} needs {', '.join(lacking)}: give it with -e {lacking[0]}")
    if flags["image"]:
        return resolve(session, settings.to_json()).settings
    _check_image(session, path, settings)
    return settings


def _check_image(session: Session, path: Path, settings: Settings) -> None:
    """Raise `Failure` where an image is named by an id, which only this machine could have."""
    from docker.errors import ImageNotFound

    if not settings.digest.startswith("sha256:"):
        return
    try:
        session.api.inspect_image(settings.digest)
    except ImageNotFound as error:
        raise Failure(
            f"{path} names its image {settings.image} by the id {settings.digest[7:19]}, which is"
            " not here and which no registry knows: --image IMAGE takes another"
        ) from error


def recorded(session: Session, path: Path, notebook: Any) -> dict[str, Any]:
    """Return what a notebook or its kernel says of its sandbox, without what is found anew."""
    data = documents.sandbox_of(notebook)
    said = Settings.from_json(data) if data is not None else _of_kernelspec(session, path, notebook)
    found = said.to_json()
    for name in ("digest", "wheels", "argv", "interrupt_mode"):
        found.pop(name, None)
    return found


def _less(data: object, given: dict[str, Any], *, image: str | None) -> object:
    if not isinstance(data, dict):
        return data
    replaced = {*given} - {"env"}
    if not image:
        return {name: value for name, value in data.items() if name not in replaced}
    replaced |= {"image", "digest", "wheels", "kind", "spec", "argv", "interrupt_mode"}
    return {name: value for name, value in data.items() if name not in replaced} | {"image": image}


def _merged(settings: Settings, given: dict[str, Any]) -> Settings:
    return replace(settings, **{**given, "env": {**settings.env, **given.get("env", {})}})


def _of_kernelspec(session: Session, path: Path, notebook: Any) -> Settings:
    name = documents.kernelspec_of(notebook)
    for one in specs.installed():
        if one.name == name:
            return one.settings
    raise Failure(
        f"{path} names no sandbox: give one with --image IMAGE, or write one into it with"
        f" `{session.program} lock {path} --image IMAGE`"
    )
