"""The uplink: how a place of an ordinary user reaches what lies beyond the machine.

The kernel lets him lay no cable out of a network namespace of his. A program makes a device in it
and repeats on the machine, by ordinary sockets, what containers send there: pasta, or slirp4netns.
It must not repeat it to the machine's own loopback addresses, where services believe themselves
alone. It ends with the place, in whose PID namespace it is started.
"""

import os
import shutil
from pathlib import Path
from typing import Protocol

from ipycontainer_runtime.errors import ContainerError
from ipycontainer_runtime.network.uplink import pasta, slirp
from ipycontainer_runtime.network.uplink.starting import Spawn, Started

__all__ = ["DEVICE", "Spawn", "Started", "begin", "lack", "program"]

DEVICE = "uplink"
"""What the device is called in the place."""
MTU = 65520
"""What both programs take at once; they copy every packet, so large ones cost much less."""
TUN = Path("/dev/net/tun")
_INSTALL = "as root run `apt-get install passt`"


class Uplink(Protocol):
    """One program; a module is an uplink."""

    PROGRAM: str

    def begin(self, netns: Path, device: str, spawn: Spawn) -> None:
        """Make the device in a namespace that a file is bound to, and return once it works."""


UPLINKS: tuple[Uplink, ...] = (pasta, slirp)


def begin(netns: Path, spawn: Spawn) -> str:
    """Begin the first uplink that works; return what is lacking, empty when one does."""
    if found := lack():
        return found
    refused = []
    for uplink in _installed():
        try:
            uplink.begin(netns, DEVICE, spawn)
        except ContainerError as error:
            refused.append(str(error))
        else:
            return ""
    return f"containers reach nothing outside: {'; '.join(refused)}"


def lack() -> str:
    """Say why there can be no uplink here, with the cure; empty when there can be one."""
    if not _installed():
        return f"containers reach nothing outside: there is no pasta and no slirp4netns; {_INSTALL}"
    if not TUN.exists():
        return (
            f"containers reach nothing outside: there is no {TUN}; as root run `modprobe tun`, or"
            f" start the container around this engine with `--device {TUN}`"
        )
    if not os.access(TUN, os.R_OK | os.W_OK):
        return (
            f"containers reach nothing outside: {TUN} may not be opened; as root run"
            f" `chmod 0666 {TUN}`, as udev does"
        )
    return ""


def program() -> str:
    """Return the name of the program that is tried first; empty when none is installed."""
    return next((uplink.PROGRAM for uplink in _installed()), "")


def _installed() -> list[Uplink]:
    return [uplink for uplink in UPLINKS if shutil.which(uplink.PROGRAM)]
