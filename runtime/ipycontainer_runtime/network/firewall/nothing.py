"""The firewall of a machine that has neither nft nor iptables."""

from collections.abc import Collection, Sequence

from ipycontainer_runtime.network.firewall.bridges import Bridge
from ipycontainer_runtime.store.networks import Published


class Nothing:
    """Puts up no rules: containers reach each other and the machine, and ports are relayed."""

    name = "none"

    def apply(self, bridges: Sequence[Bridge]) -> None:
        """Do nothing: an open bridge has no rule to keep it."""

    def publish(self, ports: Sequence[Published]) -> None:
        """Do nothing: the helper relays what arrives at its sockets."""

    def unpublish(self, ports: Sequence[Published]) -> None:
        """Do nothing."""

    def published(self) -> list[Published]:
        """Return nothing."""
        return []

    def keep(self, ports: Collection[Published]) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def lacks(self) -> str:
        """Say what is missing."""
        return (
            "neither nft nor iptables is installed: networks reach nothing outside and are not kept"
            " apart; `apt-get install nftables`"
        )
