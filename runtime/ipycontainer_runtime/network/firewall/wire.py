"""The socket by which netfilter is told and asked, kept open between two uses.

Closing one after something was taken out of a table waits until no packet can see that any more,
some 12 ms, and whoever changes rules meanwhile waits as well: the kernel's nft_rcv_nl_event.
"""

import contextlib
import socket
from collections.abc import Iterator

from ipycontainer_runtime.linux.inside import within
from ipycontainer_runtime.network.place import Place

NETLINK_NETFILTER = 12


class Wire:
    """A socket in a place, used by one thread at a time; it holds the place's namespace."""

    def __init__(self, place: Place) -> None:
        """Take the place; nothing is opened before it is used."""
        self._place = place
        self._sock: socket.socket | None = None

    @contextlib.contextmanager
    def lent(self) -> Iterator[socket.socket]:
        """Yield the socket; after an error the next is another, as answers may be left in this."""
        if self._sock is None:
            self._sock = within(self._place.netns, _opened)
        try:
            yield self._sock
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close it; it is opened again when it is used again."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None


def _opened() -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    sock = socket.socket(socket.AF_NETLINK, kind, NETLINK_NETFILTER)
    sock.bind((0, 0))
    return sock
