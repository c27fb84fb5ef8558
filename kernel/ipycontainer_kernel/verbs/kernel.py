"""`kernel` and its verbs: install, list, remove and update."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from ipycontainer.failures import Usage
from ipycontainer.listing import Lines, Table
from ipycontainer.session import Session
from ipycontainer.templates import formatted
from ipycontainer.units import counted
from ipycontainer.verbs.base import (
    completed,
    flag,
    formats,
    image_argument,
    network_names,
    pass_session,
)
from ipycontainer.verbs.options import declared
from ipycontainer.verbs.settings import environment, pairs
from ipycontainer_kernel import specs
from ipycontainer_kernel.resolving import Resolved, absolute, resolve
from ipycontainer_kernel.settings import KINDS, NOTEBOOK_MODES, Settings
from ipycontainer_kernel.verbs.dockerfiles import export_dockerfile, import_dockerfile

_COLUMNS = {
    "NAME": "Name",
    "IMAGE": "Image",
    "KIND": "Kind",
    "MEMORY": "Memory",
    "CPUS": "Cpus",
    "NETWORK": "Network",
    "FOLDER": "Folder",
}


def _names(_session: Session) -> list[str]:
    return [one.name for one in specs.installed()]


_kernels = click.argument(
    "names", metavar="KERNEL...", nargs=-1, required=True, shell_complete=completed(_names)
)

# In the order that --help shows them. `-u` has no long form: --user is Jupyter's, as it is of every
# command that installs a kernel.
SANDBOX = (
    click.option("-m", "--memory", metavar="SIZE", help="Limit memory: 512m, 2g."),
    click.option(
        "--cpus",
        type=click.FloatRange(min=0, min_open=True),
        metavar="NUMBER",
        help="Limit to this many CPUs.",
    ),
    click.option(
        "--network",
        metavar="NAME",
        help="none, host, or a network; without it the engine's default, as for `run`.",
        shell_complete=completed(network_names, always=("none", "host", "default")),
    ),
    click.option(
        *("-v", "--volume", "volumes"),
        multiple=True,
        metavar="SOURCE:TARGET[:OPTIONS]",
        help="Mount a volume or a folder of the host; options are ro and the like.",
    ),
    click.option(
        *("-e", "--env"), multiple=True, metavar="NAME=VALUE", help="Set an environment variable."
    ),
    click.option("-w", "--workdir", metavar="PATH", help="Begin in this folder (/notebook)."),
    click.option("-u", "run_as", metavar="USER[:GROUP]", help="Run as this user."),
    click.option(
        "--notebook",
        type=click.Choice(NOTEBOOK_MODES),
        help="Mount the notebook's folder at /notebook read-only (ro), to be written, or not.",
    ),
    click.option("--display-name", metavar="TEXT", help="What Jupyter shows."),
)


@click.group()
def kernel() -> None:
    """Make an image a Jupyter kernel: the whole notebook runs in a container of it."""


kernel.add_command(export_dockerfile)
kernel.add_command(import_dockerfile)


@kernel.command()
@declared(SANDBOX)
@click.option("--name", metavar="NAME", help="The kernel's name; the image's without it.")
@click.option("--kind", type=click.Choice(KINDS), help="What runs; without it the image decides.")
@click.option("--spec", metavar="NAME", help="Of several kernels that the image brings, this one.")
@flag("--user", help="For this user (the default).")
@flag("--sys-prefix", help="For this Python's environment.")
@click.option("--prefix", type=click.Path(path_type=Path), metavar="FOLDER", help="Below FOLDER.")
@click.option(
    *("--from", "notebook_file"),
    type=click.Path(path_type=Path),
    metavar="NOTEBOOK",
    help="The sandbox that this notebook names, without what reaches past the container.",
)
@image_argument(required=False)
@pass_session
def install(session: Session, /, image: str | None, **flags: Any) -> None:
    """Offer IMAGE as a kernel in Jupyter's launcher, by its digest of now.

    The image is pulled when it is missing. What its labels org.ipycontainer.kernel.* ask for is
    followed where it is no more than the default gives. `--kind dockerfile` is the Dockerfile
    kernel, which has no image: a cell's FROM names one.
    """
    if flags["notebook_file"] is not None:
        _install_from(session, flags["notebook_file"])
        return
    if (image is None) != (flags["kind"] == "dockerfile"):
        raise Usage("IMAGE is wanted, but for --kind dockerfile, whose cells name theirs")
    place = _place(flags)
    asked = {"image": image or "", **asked_for(flags)}
    asked |= {name: flags[name] for name in ("name", "kind", "spec")}
    resolved = resolve(session, asked)
    folder = _write(session, resolved, place)
    session.surface.say(f"{resolved.settings.name} {folder}")


def _install_from(session: Session, path: Path) -> None:
    from jupyter_client.kernelspec import KernelSpecManager

    from ipycontainer_kernel.notebooks import claims, documents, offers

    data = documents.sandbox_of(documents.read(path))
    if data is None:
        raise Usage(f"--from {path}: it names no sandbox; `{session.program} lock` writes one")
    claim = claims.read(data, path.absolute().parent)
    for what in claim.refused:
        session.surface.note(f"WARNING: {path} does not get {what}")
    for name in claim.secrets:
        session.surface.note(f"WARNING: {path} needs the variable {name}, which it does not have")
    session.surface.say(offers.install(KernelSpecManager(), claim.settings))


@kernel.command("list")
@flag("-q", "--quiet", help="Show only names.")
@formats
@pass_session
def list_kernels(session: Session, /, template: str | None, *, quiet: bool) -> object:
    """List the kernels that are installed."""
    found = specs.installed()
    rows = [_row(one) for one in found]
    if template is not None:
        return session.surface.show(formatted(template, rows))
    if quiet:
        return session.surface.show(Lines(one.name for one in found))
    caption = counted(len(found), "kernel")
    return session.surface.show(Table([one.settings for one in found], caption, _COLUMNS, rows))


@kernel.command()
@_kernels
@pass_session
def remove(session: Session, names: tuple[str, ...]) -> None:
    """Take kernels out of the launcher; those that run go on, and images stay."""
    session.each(names, lambda name: specs.remove(specs.of_name(name)))


@kernel.command()
@declared(SANDBOX)
@_kernels
@pass_session
def update(session: Session, /, names: tuple[str, ...], **flags: Any) -> None:
    """Take what the kernels' images are now, and what else is asked for.

    An image that came from a registry is pulled again. Without flags settings stay as they are.
    """
    asked = asked_for(flags)
    session.each(names, lambda name: _update(session, name, asked), silent=True)


def _update(session: Session, name: str, asked: dict[str, Any]) -> None:
    one = specs.of_name(name)
    old = one.settings
    kept = {key: getattr(old, key) for key in Settings.__dataclass_fields__}
    for key in ("digest", "wheels", "argv", "interrupt_mode"):  # these are found anew
        del kept[key]
    resolved = resolve(session, {**kept, **asked}, renew=True)
    _write(session, resolved, specs.Place(one.folder.parent))
    new = resolved.settings
    told = "has not changed" if new.digest == old.digest else f"is now {new.digest}"
    session.surface.say(f"{name} {new.image} {told}")


def _write(session: Session, resolved: Resolved, place: specs.Place) -> Path:
    for note in resolved.notes:
        session.surface.note(note)
    return specs.write(resolved.settings, place, language=resolved.language, icons=resolved.icons)


def _place(flags: dict[str, Any]) -> specs.Place:
    if sum(bool(flags[name]) for name in ("user", "sys_prefix", "prefix")) > 1:
        raise Usage("--user, --sys-prefix and --prefix name different places: give one")
    prefix = Path(sys.prefix) if flags["sys_prefix"] else flags["prefix"]
    return specs.Place.below(prefix) if prefix else specs.Place.of_user()


def asked_for(flags: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of the settings that flags were written for."""
    found: dict[str, Any] = {
        name: flags[name]
        for name in ("memory", "cpus", "network", "workdir", "notebook", "display_name")
        if flags[name]
    }
    if flags["run_as"]:
        found["user"] = flags["run_as"]
    if flags["volumes"]:
        found["volumes"] = tuple(absolute(text) for text in flags["volumes"])
    if flags["env"]:
        found["env"] = pairs(environment(flags["env"], ()))
    if found.get("network") == "default":
        found["network"] = ""
    return found


def _row(one: specs.Installed) -> dict[str, Any]:
    settings = one.settings
    return {
        "Name": one.name,
        "Image": settings.image,
        "Digest": settings.digest,
        "Kind": settings.kind,
        "Memory": settings.memory or "-",
        "Cpus": f"{settings.cpus:g}" if settings.cpus else "-",
        "Network": settings.network or "default",
        "Folder": str(one.folder),
    }
