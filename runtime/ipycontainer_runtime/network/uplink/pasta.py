"""An uplink by pasta(1), which gives the place the machine's own addresses and routes."""

from pathlib import Path

from ipycontainer_runtime.network.uplink.starting import Spawn

PROGRAM = "pasta"
# It would by itself open in the place what listens on the machine, and on the machine what listens
# in the place; and lead the gateway's address to the machine's loopback.
_CLOSED = ("-t", "none", "-u", "none", "-T", "none", "-U", "none", "--no-map-gw")


def begin(netns: Path, device: str, spawn: Spawn) -> None:
    """Make the device; pasta goes to the background when it works.

    It gives up its capabilities before it opens the namespace, and so could not open that of a
    process that has them: hence a file.
    """
    joined = ("--netns-only", "--netns", str(netns), "--config-net", "--ns-ifname", device)
    served = ("--no-dhcp", "--no-dhcpv6", "--no-ra")  # its addresses are set at once
    started = spawn([PROGRAM, "--quiet", *joined, *served, *_CLOSED], ())
    if started.ended():
        raise started.refusal()
