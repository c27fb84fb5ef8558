"""A small internet for a test: network namespaces as hosts, joined by veths and bridges.

Sockets are made in a host's namespace by a thread that enters it, so hosts need no processes.
"""

import contextlib
import os
import secrets
import select
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ipycontainer_runtime.linux.netns import entered
from ipycontainer_runtime.network.place import NamespacePlace

SILENCE = 0.25
"""Seconds after which what could have come at once counts as kept back."""
_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


class Host(NamedTuple):
    """One host: a network namespace with a name that `ip netns` knows."""

    name: str
    netns: int

    @property
    def place(self) -> NamespacePlace:
        """The host as a place for bridges and rules."""
        return NamespacePlace(self.netns)

    def ip(self, *lines: str) -> None:
        """Run `ip` with the words of each line."""
        self.run("ip", "-batch", "-", given="\n".join((*lines, "")))

    def run(self, *words: str, given: str = "") -> str:
        """Run a program on the host and return what it prints."""
        return self.place.run(words, given)

    def set(self, setting: str, value: str) -> None:
        """Write a file of /proc/sys/net."""
        with entered(self.netns):
            Path("/proc/sys/net", setting).write_text(value)

    def get(self, setting: str) -> str:
        """Read a file of /proc/sys/net."""
        with entered(self.netns):
            return Path("/proc/sys/net", setting).read_text().strip()

    def socket(self, kind: str, address: str) -> socket.socket:
        """Return a socket of the host for talking with an address."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with entered(self.netns):
            return socket.socket(family, _KINDS[kind])

    def ask(self, address: str, port: int, kind: str = "tcp", source: str = "") -> str:
        """Return what a server says at once: its name and who it saw; else why there is none."""
        with self.socket(kind, address) as asking:
            asking.settimeout(SILENCE)
            try:
                if source:
                    asking.bind((source, 0))
                asking.connect((address, port))
                asking.send(b"?")
                return asking.recv(200).decode()
            except TimeoutError:
                return "silence"
            except OSError as error:
                return error.strerror or "error"


class Lab:
    """Makes hosts and servers, and removes them all at the end."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._mark = f"lab{secrets.token_hex(3)}"

    def host(self, name: str) -> Host:
        """Make a host, with its loopback up."""
        full = f"{self._mark}-{name}"
        subprocess.run(["ip", "netns", "add", full], check=True)
        self._stack.callback(subprocess.run, ["ip", "netns", "del", full], check=True)
        netns = os.open(f"/run/netns/{full}", os.O_RDONLY | os.O_CLOEXEC)
        self._stack.callback(os.close, netns)
        host = Host(full, netns)
        # An address that is still being looked for elsewhere answers nobody for a second or two.
        host.set("ipv6/conf/default/accept_dad", "0")
        host.ip("link set lo up")
        return host

    def known(self, name: str, path: str) -> Host:
        """Return a network namespace that somebody else made, by a file of it, as a host."""
        netns = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._stack.callback(os.close, netns)
        return Host(name, netns)

    def wire(self, one: Host, its: str, other: Host, others: str) -> None:
        """Join two hosts by a veth whose ends have these names; both are up."""
        netns = f"/proc/{os.getpid()}/fd/{other.netns}"
        one.ip(f"link add {its} type veth peer name {others} netns {netns}", f"link set {its} up")
        other.ip(f"link set {others} up")

    def container(self, gate: Host, bridge: str, address: str, gateway: str = "") -> Host:
        """Make a host on a bridge of another: eth0 with an address and a default route."""
        host = self.host(f"c{secrets.token_hex(2)}")
        port = f"p{secrets.token_hex(4)}"
        self.wire(gate, port, host, "eth0")
        gate.ip(f"link set {port} master {bridge}")
        host.ip(
            *(
                f"addr add {one} dev eth0{' nodad' if ':' in one else ''}"
                for one in address.split()
            ),
            *(f"route add default via {its}" for its in gateway.split()),
        )
        return host

    def serve(self, host: Host, name: str, address: str, port: int, kind: str = "tcp") -> list[str]:
        """Answer everybody with this name and the address he is seen from.

        Returns a list to which the addresses of all who asked are added.
        """
        serving = host.socket(kind, address)
        serving.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        serving.bind((address, port))
        if kind == "tcp":
            serving.listen(64)
        over, stop = os.pipe()
        seen: list[str] = []
        thread = threading.Thread(target=_serve, args=(serving, name, kind, over, seen))
        thread.start()

        def end() -> None:
            os.close(stop)
            thread.join()
            os.close(over)
            serving.close()

        self._stack.callback(end)
        return seen


def _serve(serving: socket.socket, name: str, kind: str, over: int, seen: list[str]) -> None:
    while over not in select.select([serving, over], [], [])[0]:
        if kind == "tcp":
            taken, peer = serving.accept()
            seen.append(peer[0])
            with taken, contextlib.suppress(OSError):
                taken.recv(100)  # what is closed unread is reset, and the answer may be lost
                taken.sendall(f"{name} {peer[0]}".encode())
        else:
            _, peer = serving.recvfrom(100)
            seen.append(peer[0])
            with contextlib.suppress(OSError):
                serving.sendto(f"{name} {peer[0]}".encode(), peer)


@contextlib.contextmanager
def laboratory() -> Iterator[Lab]:
    """Have a laboratory, of which nothing is left afterwards."""
    with contextlib.ExitStack() as stack:
        yield Lab(stack)
