"""Network namespaces by their descriptors: entered by one thread, for as long as a block lasts."""

import contextlib
import os
from collections.abc import Iterator

from . import netlink
from .calls import CLONE_NEWNET, setns

_OF_THREAD = "/proc/thread-self/ns/net"


@contextlib.contextmanager
def entered(netns: int) -> Iterator[None]:
    """Have the calling thread, and what it forks, in another network namespace.

    Nothing may be awaited in the block: whatever else ran on the thread would be in it as well.
    """
    home = os.open(_OF_THREAD, os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(netns, CLONE_NEWNET)
        try:
            yield
        finally:
            setns(home, CLONE_NEWNET)
    finally:
        os.close(home)


def netlink_in(netns: int) -> netlink.Netlink:
    """Return a rtnetlink socket in a network namespace, to be used from any."""
    with entered(netns):
        return netlink.opened()


def opened_of(pid: int) -> int:
    """Open the network namespace of a process; OSError where it has gone."""
    return os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
