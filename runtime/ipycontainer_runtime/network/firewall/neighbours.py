"""Keeps our bridges let through by other firewalls, which come, go and are reloaded meanwhile."""

import logging
import os
import select
import socket
import struct
import threading
from collections.abc import Callable, Sequence

from ipycontainer_runtime.errors import ContainerError
from ipycontainer_runtime.linux.inside import within
from ipycontainer_runtime.linux.netlink import attributes, split
from ipycontainer_runtime.network.firewall import beside
from ipycontainer_runtime.network.firewall.bridges import Bridge
from ipycontainer_runtime.network.firewall.tables import PREFIX
from ipycontainer_runtime.network.place import Place

_log = logging.getLogger(__name__)

NETLINK_NETFILTER = 12
NFNLGRP_NFTABLES = 7  # linux/netfilter/nfnetlink.h
_NETLINK_ADD_MEMBERSHIP = 1
_SOL_NETLINK = 270
NFT_MSG_DELTABLE = 2  # linux/netfilter/nf_tables.h
NFT_MSG_NEWGEN = 15
_FAMILY = 4  # bytes of nfgenmsg
_QUIET = 0.2
"""Seconds without a change after which a firewall that is being loaded counts as loaded."""


class Neighbours:
    """The other firewalls around one engine's bridges."""

    def __init__(self, place: Place, chain: str, restore: Callable[[], None]) -> None:
        """Know them by `chain`, the name of what is put into them.

        `restore` is called whenever somebody may have removed what is our own.
        """
        self._place = place
        self._chain = chain
        self._restore = restore
        self._bridges: tuple[Bridge, ...] = ()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = -1
        self._lack = ""

    def admit(self, bridges: Sequence[Bridge]) -> None:
        """Have these let through from now on, whatever is loaded later."""
        if self._place.alone:
            return
        with self._lock:
            self._bridges = tuple(bridges)
            self._admit()
        if bridges and self._thread is None:
            self._watch()

    def lacks(self) -> str:
        """Say which of them did not take it; empty when all is well."""
        return self._lack

    def close(self) -> None:
        """Take back all that was put into them, and watch no more."""
        if self._thread is not None:
            os.close(self._stop)
            self._thread.join()
            self._thread = None
        if self._place.alone:
            return
        with self._lock:
            try:
                beside.withdraw(self._place, self._chain, self._bridges)
            except ContainerError as error:
                _log.warning("something is left in another firewall: %s", error)
            self._bridges = ()

    def _admit(self) -> None:
        try:
            beside.admit(self._place, self._chain, self._bridges)
            self._lack = ""
        except ContainerError as error:
            self._lack = f"another firewall may keep containers from the outside: {error}"
            _log.warning("%s", self._lack)

    def _watch(self) -> None:
        changes = within(self._place.netns, _subscribed)
        over, self._stop = os.pipe()
        self._thread = threading.Thread(
            target=self._follow, args=(changes, over), name="neighbours", daemon=True
        )
        self._thread.start()

    def _follow(self, changes: socket.socket, over: int) -> None:
        """Look again after each burst of changes, until the other end of `over` is closed."""
        watched = select.poll()  # select(2) takes no descriptor above 1023
        for fd in (changes.fileno(), over):
            watched.register(fd, select.POLLIN)
        try:
            while over not in dict(watched.poll()):
                changed = False
                while ready := dict(watched.poll(_QUIET * 1000)):
                    if over in ready:
                        return
                    changed |= _drain(changes, self._chain)
                if changed:
                    self._restore()
                    with self._lock:
                        self._admit()
        finally:
            changes.close()
            os.close(over)


def _subscribed() -> socket.socket:
    """Return a socket that tells of every change of nftables, and so of iptables' too.

    The older iptables tells nobody; with that one, a bridge's coming is the moment to look.
    """
    changes = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER
    )
    changes.bind((0, 0))
    number = struct.pack("=i", NFNLGRP_NFTABLES)
    changes.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, number)
    changes.setblocking(False)
    return changes


def _drain(changes: socket.socket, own: str) -> bool:
    """Read what has come: whether any of it was in a table that is no engine's, or ours is gone."""
    others = False
    while True:
        try:
            for kind, _, body in split(changes.recv(1 << 16)):
                if kind & 0xFF == NFT_MSG_NEWGEN:
                    continue  # it ends a transaction, and its first attribute is a number
                table = attributes(body[_FAMILY:]).get(1, b"").rstrip(b"\0").decode()
                gone = kind & 0xFF == NFT_MSG_DELTABLE and table == own
                others |= gone or not table.startswith(PREFIX)
        except BlockingIOError:
            return others
        except OSError:  # ENOBUFS: some of it was lost
            others = True
