"""The seam behind which every kind of network stands: a driver is one file.

All methods block and are called on a thread. Each may be called again after an engine was killed in
the middle of it, so what is there already is no error, and what is gone already is none either.
"""

from typing import Protocol

from ipycontainer_runtime.store.networks import Endpoint, Network


class Driver(Protocol):
    """Makes what a network is made of, and puts containers into it."""

    name: str
    """As in `network create --driver`."""

    def check(self, network: Network) -> None:
        """Refuse a network that this driver cannot make: InvalidParameter, naming the option."""

    def create(self, network: Network) -> None:
        """Make what the network needs on the machine."""

    def remove(self, network: Network) -> None:
        """Remove all that `create` made, without trace."""

    def attach(self, network: Network, endpoint: Endpoint, netns: int) -> None:
        """Give a network namespace, by its descriptor, the interface that the endpoint describes.

        The interface is named, has its addresses and is up afterwards; where `endpoint.default`
        says so the default route goes by it. Nothing is left behind when it fails.
        """

    def detach(self, network: Network, endpoint: Endpoint) -> None:
        """Remove the endpoint's interface; the namespace may be gone."""
