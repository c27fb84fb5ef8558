"""`container prune`, `image prune`, `builder prune` and `system prune`: remove what nobody uses.

Each asks first, in Docker's words, unless `-f` is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import click

from ..failures import Usage
from ..session import Session
from ..units import decimal_size
from .base import flag, pass_session
from .filters import PRUNED, PRUNED_BUILDS, Filters
from .system import system

F = TypeVar("F", bound=Callable[..., object])

_SURE = "Are you sure you want to continue?"
_UNUSED_IMAGES = "all images without at least one container associated to them"
_CACHE = ("all dangling build cache", "all build cache")
force_option = flag("-f", "--force", help="Do not ask.")


def sure(session: Session, what: str) -> bool:
    """Ask in Docker's words whether all that is to be removed."""
    return session.surface.ask(f"WARNING! This will remove {what}.\n{_SURE}")


class Pruned:
    """What was removed so far, told at the end."""

    def __init__(self, session: Session, filters: Sequence[str], known: Filters) -> None:
        self._session = session
        self._filters = filters
        self._known = known
        self._reclaimed = 0

    def containers(self) -> None:
        """Remove the containers that do not run."""
        with self._known.read(self._filters) as wanted:
            done = self._session.api.prune_containers(wanted)
        self._tell("Deleted Containers:", done, done["ContainersDeleted"] or ())

    def networks(self) -> None:
        """Remove the networks that no container uses."""
        with self._known.read(self._filters) as wanted:
            done = self._session.api.prune_networks(wanted)
        self._tell("Deleted Networks:", done, done["NetworksDeleted"] or ())

    def volumes(self) -> None:
        """Remove the anonymous volumes that no container uses."""
        with self._known.read(self._filters) as wanted:
            done = self._session.api.prune_volumes(wanted)
        self._tell("Deleted Volumes:", done, done["VolumesDeleted"] or ())

    def images(self, *, named: bool) -> None:
        """Remove images without a name, with `named` all that no container was made from."""
        with self._known.read(self._filters) as wanted:
            wanted["dangling"] = ["false" if named else "true"]
            done = self._session.api.prune_images(wanted)
        steps = (step for entry in done["ImagesDeleted"] or () for step in entry.items())
        self._tell("Deleted Images:", done, [f"{how.lower()}: {what}" for how, what in steps])

    def builds(self, *, everything: bool) -> None:
        """Forget the steps of builds that are in no image, with `everything` those too."""
        with self._known.read(self._filters) as wanted:
            done = self._session.api.prune_builds(wanted, all=everything)
        self._tell("Deleted build cache objects:", done, done["CachesDeleted"] or ())

    def _tell(self, heading: str, done: dict[str, int], removed: Sequence[str]) -> None:
        self._reclaimed += done.get("SpaceReclaimed") or 0
        if removed:
            self._session.surface.say("\n".join((heading, *removed, "")))

    def total(self) -> None:
        """Tell how much room that made."""
        self._session.surface.say(f"Total reclaimed space: {decimal_size(self._reclaimed, 4)}")


@click.command("prune")
@PRUNED.option
@force_option
@pass_session
def container_prune(session: Session, filters: tuple[str, ...], *, force: bool) -> None:
    """Remove all containers that do not run."""
    if force or sure(session, "all stopped containers"):
        pruned = Pruned(session, filters, PRUNED)
        pruned.containers()
        pruned.total()


@click.command("prune")
@flag("-a", "--all", "everything", help="Remove those with a name, too, unless a container has it.")
@PRUNED.option
@force_option
@pass_session
def image_prune(
    session: Session, filters: tuple[str, ...], *, everything: bool, force: bool
) -> None:
    """Remove images without a name."""
    what = _UNUSED_IMAGES if everything else "all dangling images"
    if force or sure(session, what):
        pruned = Pruned(session, filters, PRUNED)
        pruned.images(named=everything)
        pruned.total()


@click.command("prune")
@flag("-a", "--all", "everything", help="Forget the steps of images that are here, too.")
@PRUNED_BUILDS.option
@force_option
@pass_session
def builder_prune(
    session: Session, filters: tuple[str, ...], *, everything: bool, force: bool
) -> None:
    """Forget the steps of builds, and what RUN keeps in cache mounts."""
    if force or sure(session, _CACHE[everything]):
        pruned = Pruned(session, filters, PRUNED_BUILDS)
        pruned.builds(everything=everything)
        pruned.total()


@system.command("prune")
@flag("-a", "--all", "everything", help="Remove images with a name, too, that no container has.")
@flag("--volumes", help="Remove anonymous volumes, too.")
@PRUNED.option
@force_option
@pass_session
def system_prune(
    session: Session, filters: tuple[str, ...], *, everything: bool, volumes: bool, force: bool
) -> None:
    """Remove containers, networks, images and build cache that nobody uses."""
    if volumes and any(text.startswith("until=") for text in filters):
        raise Usage("--filter until=… does not go with --volumes: leave one out")
    if not force and not session.surface.ask(_question(filters, everything, volumes)):
        return
    pruned = Pruned(session, filters, PRUNED)
    pruned.containers()
    pruned.networks()
    if volumes:
        pruned.volumes()
    pruned.images(named=everything)
    if _reach_builds(filters):
        pruned.builds(everything=everything)
    pruned.total()


def _reach_builds(filters: Sequence[str]) -> bool:
    """Tell whether filters let steps of builds through, which have no labels."""
    return all(text.startswith("until=") for text in filters)


def _question(filters: Sequence[str], everything: bool, volumes: bool) -> str:
    lines = [
        "WARNING! This will remove:",
        "  - all stopped containers",
        "  - all networks not used by at least one container",
        *(["  - all anonymous volumes not used by at least one container"] if volumes else []),
        f"  - {_UNUSED_IMAGES if everything else 'all dangling images'}",
        *([f"  - {_CACHE[everything]}"] if _reach_builds(filters) else []),
    ]
    if filters:
        lines += ["", "  Items to be pruned will be filtered with:", *(f"  - {f}" for f in filters)]
    return "\n".join([*lines, "", _SURE])
