"""What a firewall is told of a bridge."""

import re
from typing import NamedTuple

from ipycontainer_runtime.errors import InvalidParameter

# What a name may have without being a pattern or the end of a word to nft or iptables.
_NAME = re.compile(r"(?![-.])[A-Za-z0-9_.-]{1,15}")


class Bridge(NamedTuple):
    """One bridge, as its network wants it guarded."""

    device: str
    subnets: tuple[str, ...]
    """CIDR, IPv4 and IPv6. What comes from the bridge with another source is dropped."""
    internal: bool = False
    """True where nothing outside is reached, nor reaches in; the machine itself may begin."""
    masquerade: bool = True
    """Whether what leaves for elsewhere has the machine's address."""
    talking: bool = True
    """Whether its containers may talk to each other (com.docker.network.bridge.enable_icc).

    Where not, the driver makes the bridge's ports isolated (IFLA_BRPORT_ISOLATED), which needs no
    rule; the firewall shuts the way by the gateway.
    """

    def of(self, version: int) -> list[str]:
        """Return its subnets of IPv4 (4) or IPv6 (6)."""
        return [subnet for subnet in self.subnets if (":" in subnet) == (version == 6)]


def checked(bridges: list[Bridge]) -> list[Bridge]:
    """Return the bridges; InvalidParameter for a name that would be more than a name in a rule."""
    for bridge in bridges:
        check_name(bridge.device)
    return bridges


def check_name(device: str) -> None:
    """Refuse a name that would be more than a name: to a rule, a program or the kernel (`br%d`)."""
    if not _NAME.fullmatch(device):
        raise InvalidParameter(
            f"invalid bridge name {device[:60]!r}: use letters, digits, '_', '-' and '.', at most"
            " 15, beginning with a letter, digit or '_'"
        )
