"""The spawner: a small warm process that forks shims: `python -I -S spawner.py RUN FD`.

The engine is large and has threads, so it must not fork. This process keeps one shim forked ahead,
with its nursery in a fresh cgroup; a request `{"dir"}` with a socket, on the SOCK_SEQPACKET FD,
hands the parked shim that folder and that socket. Then the next is forked, once the one handed out
has started its container, which must not wait for it. When the engine's end closes, the spawner and
the parked shim leave.
"""

import binascii
import contextlib
import gc
import os
import select
import signal
import socket
import sys
import traceback

# -S leaves the search path without our own package, -I without this folder.
sys.path.append(os.path.abspath(f"{__file__}/../../.."))

from ipycontainer_runtime.linux.cgroup import Hierarchy, detect
from ipycontainer_runtime.shim.nursery import Nursery
from ipycontainer_runtime.shim.protocol import receive_packet, send_packet
from ipycontainer_runtime.shim.shim import Shim

START_MS = 200  # after this long the next is forked, though the last has not started yet


class Spawner:
    """Forks shims for one engine. `serve` returns when the engine is gone."""

    def __init__(self, run: str, engine: socket.socket, hierarchy: Hierarchy) -> None:
        self._engine = engine
        self._hierarchy = hierarchy
        # Shims of other run folders share the parent cgroup: tell ours by name.
        self._prefix = f"{binascii.crc32(os.fsencode(run)):08x}-"

    def serve(self) -> None:
        """Hand out shims until the engine closes its socket."""
        for name in self._hierarchy.stale(self._prefix):
            self._hierarchy.open(name).remove(0)
        parked = self._park()
        while (request := receive_packet(self._engine)) is not None:
            message, fds = request
            try:
                send_packet(parked, message, tuple(fds))
            except OSError:
                # Somebody killed it. Where a second one dies too, the engine is told by the
                # end of the socket that it waits on.
                parked = self._park()
                with contextlib.suppress(OSError):
                    send_packet(parked, message, tuple(fds))
            for fd in fds:
                os.close(fd)
            self._let_start(parked)
            parked.close()
            parked = self._park()

    def _let_start(self, shim: socket.socket) -> None:
        """Wait until the container is started, the engine wants another, or time is up."""
        poll = select.poll()
        poll.register(shim, select.POLLIN)
        poll.register(self._engine, select.POLLIN)
        poll.poll(START_MS)

    def _park(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork() == 0:
            try:
                ours.close()
                self._engine.close()
                self._be_shim(theirs)
            except BaseException:
                traceback.print_exc()  # for the engine's log; a forked child must not return
            finally:
                os._exit(0)
        theirs.close()
        return ours

    def _be_shim(self, spawner: socket.socket) -> None:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        cgroup = self._hierarchy.create(f"{self._prefix}{os.getpid()}")
        nursery = Nursery(cgroup)
        request = receive_packet(spawner)
        if request is None:
            nursery.end()
            cgroup.remove()
            return
        message, (fd,) = request
        Shim(cgroup, nursery, spawner.close).run(message["dir"], socket.socket(fileno=fd))


def main() -> None:
    """Serve the engine at the other end of the descriptor that the command line names."""
    # Children that nobody waits for leave no zombies.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    spawner = Spawner(sys.argv[1], socket.socket(fileno=int(sys.argv[2])), detect())
    gc.collect()
    gc.freeze()  # a collection would write to, and so copy, each page shared with the children
    spawner.serve()


if __name__ == "__main__":
    main()
