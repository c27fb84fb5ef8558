"""Where bridges stand: the machine's own network namespace for root, another for everybody else."""

import subprocess
from collections.abc import Sequence
from typing import Protocol

from ipycontainer_runtime.errors import Unavailable
from ipycontainer_runtime.linux.inside import within
from ipycontainer_runtime.linux.netlink import Netlink, opened
from ipycontainer_runtime.linux.netns import netlink_in

_SECONDS = 20.0
"""How long a program may take; one that waits for a lock of another takes a second or two."""


class Place(Protocol):
    """One network namespace in which bridges, rules and the gateways' addresses are."""

    alone: bool
    """Whether nobody but one engine has devices and rules in it."""

    mtu: int
    """The largest packet on its bridges where a network says nothing; 0 for the kernel's 1500."""

    @property
    def netns(self) -> int | None:
        """Its descriptor; None for the engine's own."""

    def netlink(self) -> Netlink:
        """Return a rtnetlink socket in it."""

    def run(self, args: Sequence[str], input: str = "") -> str:  # noqa: A002 - subprocess's name
        """Run a program in it and return what it prints.

        Raises Unavailable with what it said where it fails, and where it is not installed.
        """

    @property
    def there(self) -> bool:
        """Whether it is there; asking for anything else of it makes it."""

    def lacks(self) -> str:
        """Say what containers in it cannot have, and the cure; empty when nothing is missing."""

    def close(self) -> None:
        """Let go of what this engine holds of it; what containers need stays."""

    def end(self) -> None:
        """End it, where it is the engine's own, with all that is in it."""


class MachinePlace:
    """The network namespace in which the engine is."""

    netns: int | None = None
    alone = False
    mtu = 0

    def netlink(self) -> Netlink:
        """Return a rtnetlink socket in it."""
        return opened()

    def run(self, args: Sequence[str], input: str = "") -> str:  # noqa: A002 - subprocess's name
        """Run a program in it and return what it prints."""
        return run(args, input)

    @property
    def there(self) -> bool:
        """Be there always."""
        return True

    def lacks(self) -> str:
        """Lack nothing."""
        return ""

    def close(self) -> None:
        """Hold nothing, and so let go of nothing."""

    def end(self) -> None:
        """Leave the machine as it is."""


class NamespacePlace:
    """A network namespace that somebody else keeps, by its descriptor."""

    alone = False
    mtu = 0

    def __init__(self, netns: int) -> None:
        """Use a descriptor, which stays the caller's to close."""
        self.netns: int | None = netns

    def netlink(self) -> Netlink:
        """Return a rtnetlink socket in it."""
        assert self.netns is not None, "given at its making"
        return netlink_in(self.netns)

    def run(self, args: Sequence[str], input: str = "") -> str:  # noqa: A002 - subprocess's name
        """Run a program in it and return what it prints."""
        assert self.netns is not None, "given at its making"
        return within(self.netns, lambda: run(args, input))

    @property
    def there(self) -> bool:
        """Be there always."""
        return True

    def lacks(self) -> str:
        """Lack nothing that is known here."""
        return ""

    def close(self) -> None:
        """Hold nothing of its own."""

    def end(self) -> None:
        """Leave it to whoever keeps it."""


def run(args: Sequence[str], given: str) -> str:
    """Run a program in the calling thread's namespace and return what it prints."""
    try:
        done = subprocess.run(
            args, input=given, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except FileNotFoundError as error:
        raise Unavailable(f"{args[0]} is not installed: install it, or use --network host") from (
            error
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{' '.join(args)[:200]} did not end within {_SECONDS:.0f} s") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise Unavailable(f"{' '.join(args)[:200]}: {said[:1000]}")
    return done.stdout
