"""Network namespaces by their descriptors: what is to be done in one is done on a thread there."""

import contextlib
import fcntl
import functools
import os
from collections.abc import Iterator

from . import idmaps, netlink
from .calls import CLONE_NEWNET, setns
from .inside import within

NS_GET_USERNS = 0xB701  # linux/nsfs.h
_OF_THREAD = "/proc/thread-self/ns/net"


@contextlib.contextmanager
def entered(netns: int) -> Iterator[None]:
    """Have the calling thread, and what it forks, in another network namespace; for root alone.

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
    if _comes_back():
        with entered(netns):
            return netlink.opened()
    return within(netns, netlink.opened)


@functools.lru_cache(maxsize=1)
def _comes_back() -> bool:
    """Tell whether a thread that enters a namespace may go back, which spares it another one."""
    return may_configure() and idmaps.holds("CAP_SYS_ADMIN")


def may_configure() -> bool:
    """Tell whether this process may make interfaces in the network namespace that it is in.

    That takes CAP_NET_ADMIN in the user namespace to which it belongs: root of another has none.
    """
    if not idmaps.holds("CAP_NET_ADMIN"):
        return False
    with open("/proc/self/ns/net", "rb") as ours:
        try:
            owner = fcntl.ioctl(ours, NS_GET_USERNS)
        except PermissionError:
            return False  # it is above ours: ioctl_ns(2)
    try:
        return os.fstat(owner).st_ino == os.stat("/proc/self/ns/user").st_ino
    finally:
        os.close(owner)


def opened_of(pid: int) -> int:
    """Open the network namespace of a process; OSError where it has gone."""
    return os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
