"""The firewall of an engine: what it knows of bridges and ports, and where it puts the rules."""

import logging
from collections.abc import Callable, Collection, Sequence
from threading import Lock
from typing import Protocol

from ipycontainer_runtime.errors import ContainerError, Unavailable
from ipycontainer_runtime.network.firewall import flows, forwarding
from ipycontainer_runtime.network.firewall.bridges import Bridge, checked
from ipycontainer_runtime.network.firewall.neighbours import Neighbours
from ipycontainer_runtime.network.firewall.ports import Ports, among, with_these, without
from ipycontainer_runtime.network.firewall.rules import Before, Shape
from ipycontainer_runtime.network.firewall.wire import Wire
from ipycontainer_runtime.network.place import Place
from ipycontainer_runtime.store.networks import Published

_log = logging.getLogger(__name__)


class Rules(Protocol):
    """A kind of rules: `tables.py` for nft, `chains.py` for iptables."""

    name: str

    def read(self) -> tuple[Ports, Before]:
        """Return the ports of the rules that are in the kernel, and what they keep."""

    def put(self, bridges: Sequence[Bridge], ports: Ports, shape: Shape) -> None:
        """Put all rules up in the place of what there was."""

    def change(self, bridges: Sequence[Bridge], old: Ports, new: Ports, shape: Shape) -> None:
        """Change what leads ports, of which the kernel has the old ones."""

    def there(self) -> bool:
        """Tell whether the rules that were put up are asked still."""

    def remove(self) -> None:
        """Remove all rules, without trace."""


class Guard:
    """Guards the bridges of one engine; `Firewall` says what each method is for."""

    def __init__(self, place: Place, rules: Rules, name: str) -> None:
        """Take the rules, and the name under which other firewalls know them."""
        self.name = rules.name
        self._place = place
        self._rules = rules
        self._neighbours = Neighbours(place, name, self._restore)
        self._flows = Wire(place)
        self._lock = Lock()
        self._bridges: list[Bridge] = []
        self._ports: Ports | None = None  # asked of the kernel at the first use
        self._shape = Shape(alone=place.alone)
        self._lack = ""

    def apply(self, bridges: Sequence[Bridge]) -> None:
        """Put up the rules for these bridges."""
        with self._lock:
            wanted = checked(list(bridges))
            ports = self._known()
            ours = [bridge.device for bridge in (*self._bridges, *wanted)]
            left = forwarding.switch_off(self._place, self._shape.before, wanted, ours)
            shape = self._shape._replace(before=forwarding.foreseen(self._place, wanted, left))
            # First: who is killed before the rules are up would leave the machine a router.
            self._rules.put(wanted, ports, shape)
            done = forwarding.switch_on(self._place, wanted, shape.before)
            self._shape = shape._replace(loopback=done.loopback, before=done.before)
            self._lack = done.lack
            if self._shape != shape:  # something may not be set
                self._rules.put(wanted, ports, self._shape)
            self._bridges = wanted
            self._neighbours.admit(wanted)

    def publish(self, ports: Sequence[Published]) -> None:
        """Lead these ports as well; one that leads elsewhere is led anew."""
        self._change(lambda known: with_these(known, ports))

    def unpublish(self, ports: Sequence[Published]) -> None:
        """Lead these no more."""
        self._change(lambda known: without(known, ports))

    def keep(self, ports: Collection[Published]) -> None:
        """Lead none but these."""
        self._change(lambda known: among(known, ports))

    def published(self) -> list[Published]:
        """Return what is led."""
        with self._lock:
            return list(self._known().values())

    def close(self) -> None:
        """Remove the rules, and what was switched on for them."""
        self._neighbours.close()  # without the lock, which its thread may wait for
        with self._lock:
            self._known()
            gone = [bridge.device for bridge in self._bridges]
            # First: without the rules the machine would be a router until then, or for good.
            forwarding.switch_off(self._place, self._shape.before, (), gone)
            self._rules.remove()
            self._flows.close()
            self._bridges, self._ports = [], {}
            self._shape = Shape(alone=self._place.alone)

    def _restore(self) -> None:
        """Put the rules up again where somebody has removed them, as `nft flush ruleset` does."""
        with self._lock:
            try:
                if not self._bridges or self._rules.there():
                    return
                self._rules.put(self._bridges, self._known(), self._shape)
                _log.warning("somebody removed the rules of networks; they are put up again")
            except ContainerError as error:
                self._lack = f"networks are not kept apart, as somebody removed the rules: {error}"
                _log.warning("%s", self._lack)

    def lacks(self) -> str:
        """Say what could not be switched on, or who would not let the bridges through."""
        return self._lack or self._neighbours.lacks()

    def _change(self, become: Callable[[Ports], Ports]) -> None:
        with self._lock:
            known = self._known()
            wanted = become(known)
            if wanted != known:
                try:
                    self._rules.change(self._bridges, known, wanted, self._shape)
                except Unavailable:
                    if not self._bridges:
                        raise
                    # Somebody has removed them: put up again later they would lead the old ports.
                    self._rules.put(self._bridges, wanted, self._shape)
                self._ports = wanted
                gone = [port for key, port in known.items() if wanted.get(key) != port]
                flows.forget(self._flows, gone)

    def _known(self) -> Ports:
        if self._ports is None:
            self._ports, before = self._rules.read()
            self._shape = self._shape._replace(before=before)
        return self._ports
