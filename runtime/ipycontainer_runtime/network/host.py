"""The drivers without a device: `host`, the machine's own network, and `null`, none at all.

A container of either gets no interface: it has the machine's namespace, or one with a loopback
interface only, as its bundle says.
"""

from ipycontainer_runtime.errors import Forbidden
from ipycontainer_runtime.store.networks import Endpoint, Network


class Nothing:
    """A driver that makes nothing; there is one network of it, which is always there."""

    def __init__(self, name: str) -> None:
        """Be called `host` or `null`."""
        self.name = name

    def check(self, network: Network) -> None:
        """Refuse a second network of this kind."""
        raise Forbidden(f'only one instance of "{self.name}" network is allowed')

    def create(self, network: Network) -> None:
        """Make nothing."""

    def remove(self, network: Network) -> None:
        """Remove nothing."""

    def attach(self, network: Network, endpoint: Endpoint, netns: int) -> None:
        """Give the namespace nothing."""

    def detach(self, network: Network, endpoint: Endpoint) -> None:
        """Remove nothing."""
