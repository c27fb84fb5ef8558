"""The helper: `python -I -S process.py LISTENER FOLDER NAME LIBRARIES ROOT`.

LISTENER is the descriptor of its socket, which has this NAME in the folder of descriptor FOLDER.
ROOT is the engine's data root.

It keeps names and published ports of an engine's containers, and outlives the engine: the next one
connects, and says what has changed. A container is dropped when the engine says so or its first
process ends. With nothing to keep the helper leaves: at once without an engine, else after a while.
"""

import errno
import gc
import os
import resource
import signal
import socket
import struct
import sys

# -S leaves the search path without our own package and the libraries, -I without this folder.
sys.path += [os.path.abspath(f"{__file__}/../../../.."), sys.argv[4]]

from ipycontainer_runtime.linux.connection import Connection
from ipycontainer_runtime.linux.inside import within
from ipycontainer_runtime.linux.loop import IN, Loop
from ipycontainer_runtime.network.helper.accepting import accepted
from ipycontainer_runtime.network.helper.binding import PortError
from ipycontainer_runtime.network.helper.directory import Directory
from ipycontainer_runtime.network.helper.machine import MachineResolvers
from ipycontainer_runtime.network.helper.ports import Ports, target
from ipycontainer_runtime.network.helper.presence import Presence, heard
from ipycontainer_runtime.network.helper.resolver import Resolver, opened
from ipycontainer_runtime.network.helper.streams import Relay
from ipycontainer_runtime.network.helper.takingback import take_back
from ipycontainer_runtime.network.helper.upstream import Forwarder, Opened, family, opened_here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ipycontainer_runtime.linux.channel import Message
    from ipycontainer_runtime.linux.connection import Answer

IDLE = 30.0
AHEAD = 8  # sockets made at a time in a place of the engine's own
_CREDENTIALS = struct.Struct("3i")


class Kept:
    """All that is kept of one container."""

    def __init__(self, loop: Loop, relay: Relay) -> None:
        self._loop = loop
        self.ports = Ports(relay, self._connect)
        self.resolver: Resolver | None = None
        self.published: list[list[str | int]] = []
        """As the engine was told."""
        self.ended = False
        """Whether its first process has ended, and its ports wait for their rules to go."""
        self.netns: tuple[int, int] | None = None
        """Device and inode of the namespace that the resolver is in."""
        self._process = -1
        self._place = -1
        self._spare: dict[tuple[int, int], list[socket.socket]] = {}

    def take(self, given: dict[str, int], on_end: "Callable[[int], None]") -> None:
        """Keep the descriptors of its first process and of the place from which it is reached."""
        if "process" in given:
            self._let_go(self._process)
            self._process = os.dup(given["process"])
            self._loop.watch(self._process, IN, on_end)
        if "place" in given:
            self._let_go(self._place)
            self._place = os.dup(given["place"])
            self._drop_spare()  # which may be of another place

    @property
    def apart(self) -> bool:
        """Whether it is reached from a place of the engine's own, whose rules are nobody else's."""
        return self._place >= 0

    def _let_go(self, fd: int) -> None:
        if fd >= 0:
            self._loop.forget(fd)
            os.close(fd)

    def _connect(self, kind: int, address: str, port: int) -> socket.socket:
        """Begin to connect to the container, from where it is reached."""
        if self.ended:  # another may have its address
            raise OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = self.reaching(family, kind | socket.SOCK_NONBLOCK)
        failed = sock.connect_ex((address, port))
        if failed not in {0, errno.EINPROGRESS}:
            sock.close()
            raise OSError(failed, os.strerror(failed))
        return sock

    def reaching(self, family: socket.AddressFamily, kind: int) -> socket.socket:
        """Return a new socket of the place, where several at once spare a thread for each."""
        if self._place < 0:
            return socket.socket(family, kind)
        spare = self._spare.setdefault((family, kind), [])
        if not spare:
            spare += within(
                self._place, lambda: [socket.socket(family, kind) for _ in range(AHEAD)]
            )
        return spare.pop()

    def _drop_spare(self) -> None:
        for sockets in self._spare.values():
            while sockets:
                sockets.pop().close()

    def end(self) -> None:
        """Give up all but the ports, which are nobody's while a rule may still lead them."""
        self.ended = True
        self.ports.end()
        self._let_go(self._process)
        self._process = -1
        if self.resolver is not None:
            self.resolver.close()
        self.resolver = self.netns = None

    def close(self) -> None:
        """Give everything up."""
        self.end()
        self._drop_spare()
        self.ports.close()
        self._let_go(self._place)


class Helper:
    """Serves engines at a listening socket; `run` returns when there is nothing more to keep."""

    def __init__(
        self, listener: socket.socket, folder: int, name: str, libraries: str, root: str
    ) -> None:
        self._libraries = libraries
        self._root = root
        self._loop = Loop()
        self._listener = listener
        self._folder = folder
        self._name = name
        self._engines: list[Connection] = []
        self._directory = Directory()
        self._forwarder = Forwarder(self._loop)
        self._relay = Relay(self._loop, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        self._machine = MachineResolvers()
        self._kept: dict[str, Kept] = {}
        self._leaving = False
        listener.setblocking(False)
        self._loop.watch(listener.fileno(), IN, self._on_engine)
        self._loop.call_after(IDLE, self._leave)

    def run(self) -> None:
        """Serve until there is nothing to keep."""
        while not self._leaving:
            self._loop.turn()

    def _leave(self) -> None:
        """Leave unless something is kept. Who connects just now finds the connection ended."""
        if not self._kept and not self._leaving:
            self._leaving = True
            try:  # noqa: SIM105 - contextlib is a module more
                os.unlink(self._name, dir_fd=self._folder)
            except OSError:
                pass  # the run folder was removed before us

    def _rest(self) -> None:
        """See whether there is a reason to stay."""
        if not self._kept and not self._engines:
            self._leave()
        elif not self._kept:
            self._loop.call_after(IDLE, self._leave)

    def _on_engine(self, events: int) -> None:
        taken = accepted(self._listener)
        if taken is None:
            return
        sock = taken[0]
        size = _CREDENTIALS.size
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        if _CREDENTIALS.unpack(credentials)[1] != os.geteuid():
            sock.close()
            return
        self._engines.append(Connection(self._loop, sock, self._handle, self._on_closed))

    def _on_closed(self, connection: Connection) -> None:
        self._engines.remove(connection)
        if not self._engines:
            for container in [name for name, kept in self._kept.items() if kept.ended]:
                self._take_back(container)
        self._rest()

    def _handle(self, message: "Message", fds: list[int], answer: "Answer") -> None:
        given = dict(zip(message.get("given", ()), fds, strict=False))
        try:
            match message["do"]:
                case "serve":
                    answer(self._serve(heard(message["presence"]), given))
                case "drop":
                    self._drop(message["container"])
                    answer({})
                case "held":
                    answer({"containers": [*self._kept]})
        except PortError as error:
            answer({"error": str(error), "refused": True})
        finally:
            for fd in given.values():
                os.close(fd)

    def _serve(self, presence: Presence, given: dict[str, int]) -> "Message":
        kept = self._kept.get(presence.container)
        resolving = kept is not None and kept.resolver is not None
        if (presence.resolves and not resolving and "netns" not in given) or (
            kept is None and "process" not in given
        ):
            return {"unknown": True}  # the engine can open its namespace, if it still runs
        kept = kept or Kept(self._loop, self._relay)
        kept.ended = False
        try:
            others = [
                key
                for container, other in self._kept.items()
                if container != presence.container
                for key in other.ports.held()
            ]
            groups = kept.ports.publish(presence, others)
            kept.take(given, lambda events: self._ended(presence.container))
            self._resolve(presence, kept, given.get("netns"))
        except BaseException:
            if presence.container not in self._kept:
                kept.close()
            raise
        self._kept[presence.container] = kept
        self._loop.call_off(self._leave)
        self._directory.put(presence)
        kept.published = [
            [*key, target(presence, key), group.wanted.port]
            for group in groups
            for key in group.keys
        ]
        return {"bound": [group.keys[0][2] for group in groups], "ports": kept.published}

    def _resolve(self, presence: Presence, kept: Kept, netns: int | None) -> None:
        """Have names resolved in the container's namespace, or no longer."""
        if not presence.resolves:
            if kept.resolver is not None:
                kept.resolver.close()
                kept.resolver = kept.netns = None
            return
        if netns is not None:
            found = os.fstat(netns)
            if kept.netns != (found.st_dev, found.st_ino):
                if kept.resolver is not None:
                    kept.resolver.close()
                sockets = opened(netns)
                kept.resolver = Resolver(
                    self._loop, presence.container, sockets, self._directory, self._forwarder
                )
                kept.netns = (found.st_dev, found.st_ino)
        if kept.resolver is not None:
            kept.resolver.resolvers = self._resolvers(presence)
            kept.resolver.opened = self._opened(presence.container, kept)

    def _resolvers(self, presence: Presence) -> "Callable[[], tuple[str, ...]]":
        if all(place.internal for place in presence.networks):
            return tuple
        return (lambda: presence.upstreams) if presence.upstreams else self._machine

    def _opened(self, container: str, kept: Kept) -> Opened:
        """Return how to reach a resolver: one that is a container, as containers are reached."""

        def opened(resolver: str, kind: int) -> socket.socket:
            if kept.apart and self._directory.is_near(container, resolver):
                return kept.reaching(family(resolver), kind)
            return opened_here(resolver, kind)

        return opened

    def _ended(self, container: str) -> None:
        """Drop a container whose first process has ended; its ports once nothing leads there.

        An engine takes back the rules, and says when that is done. Where there is none, somebody
        has to be sent; nobody has the addresses meanwhile.
        """
        kept = self._kept[container]
        kept.end()
        self._directory.remove(container)
        if not kept.published:
            self._drop(container)
        elif not self._engines:
            self._take_back(container)

    def _take_back(self, container: str) -> None:
        """Drop a container that has ended, first its ports' rules, in the place of an engine."""
        kept = self._kept[container]
        if kept.apart:
            self._drop(container)  # rules are where nobody else is
            return
        working = take_back(self._libraries, self._root, kept.published)

        def done(events: int) -> None:
            self._loop.forget(working)
            os.close(working)
            if kept.ended and self._kept.get(container) is kept:  # and not serving the next run
                self._drop(container)

        self._loop.watch(working, IN, done)

    def _drop(self, container: str) -> None:
        kept = self._kept.pop(container, None)
        if kept is not None:
            kept.close()
            self._directory.remove(container)
        self._rest()


def main() -> None:
    """Serve until there is nothing to keep."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal in which an engine was started
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that the kernel collects what it starts
    listener, folder = map(int, sys.argv[1:3])
    helper = Helper(socket.socket(fileno=listener), folder, *sys.argv[3:6])
    gc.collect()
    gc.freeze()
    helper.run()


if __name__ == "__main__":
    main()
