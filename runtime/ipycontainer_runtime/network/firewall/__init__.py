"""The firewall around the engine's bridges: who may talk to whom, and which ports lead inside.

The engine keeps one `Firewall` for its place. `apply` says which bridges there are, whenever one
comes or goes; `publish` and `unpublish` are called as containers start and end; `close` when
nothing runs any more. What a killed engine put up stays in the kernel and goes on working: the
next one applies its bridges, publishes what it adopted, and drops with `keep` what nobody has.
"""

import hashlib
import os
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Protocol

from ipycontainer_runtime.network.firewall.bridges import Bridge
from ipycontainer_runtime.network.firewall.chains import Chains
from ipycontainer_runtime.network.firewall.guard import Guard
from ipycontainer_runtime.network.firewall.nothing import Nothing
from ipycontainer_runtime.network.firewall.tables import PREFIX, Tables, orphans
from ipycontainer_runtime.network.place import Place
from ipycontainer_runtime.store.networks import Published

__all__ = ["Bridge", "Firewall", "choose", "sweep", "table_of"]


class Firewall(Protocol):
    """Puts up the rules of one engine; every method blocks, and may be called again."""

    name: str
    """nftables, iptables or none."""

    def apply(self, bridges: Sequence[Bridge]) -> None:
        """Make these the bridges that are guarded, all at once; published ports stay."""

    def publish(self, ports: Sequence[Published]) -> None:
        """Lead ports of the machine to containers' addresses on bridges that were applied."""

    def unpublish(self, ports: Sequence[Published]) -> None:
        """Take such ports back; those that are gone already are no error."""

    def published(self) -> list[Published]:
        """Return what is published now, also by an engine before this one."""

    def keep(self, ports: Collection[Published]) -> None:
        """Take back whatever is published and not among these."""

    def close(self) -> None:
        """Remove all that was put up, without trace."""

    def lacks(self) -> str:
        """Say what is missing and its cure, in one line; empty when nothing is."""


def table_of(root: Path) -> str:
    """Return the name of the table, or the prefix of the chains, of the engine of a data root."""
    return f"{PREFIX}{hashlib.sha256(os.fsencode(root)).hexdigest()[:10]}"


def choose(place: Place, table: str) -> Firewall:
    """Return the firewall that this machine has programs for."""
    if shutil.which("nft"):
        return Guard(place, Tables(place, table), table)
    if shutil.which("iptables-restore"):
        return Guard(place, Chains(place, table), table)
    return Nothing()


def sweep(place: Place) -> None:
    """Remove tables that engines left which were killed after their bridges had gone.

    Chains of iptables go when an engine of the same data root closes them.
    """
    if shutil.which("nft"):
        for table in orphans(place):
            Tables(place, table).remove()
