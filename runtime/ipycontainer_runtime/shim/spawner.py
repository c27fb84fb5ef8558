"""The spawner: a small warm process that forks shims: `python -I -S spawner.py RUN FD`.

The engine is large and has threads, so it must not fork. This process keeps one shim forked ahead,
with its nursery in a fresh cgroup, and sends the engine one end of that shim's socket, over the
SOCK_SEQPACKET FD. A packet from the engine says that it takes a shim, so that the next is forked:
once the container has ended, which must not wait for it, or after a while, or at once if the
engine asks again. When the engine's end closes, the spawner leaves, and so do parked shims.
"""

import binascii
import gc
import os
import select
import signal
import socket
import sys
import traceback
from _socket import socketpair
from collections import deque

# -S leaves the search path without our own package, -I without this folder.
sys.path.append(os.path.abspath(f"{__file__}/../../.."))

from ipycontainer_runtime.launch.syscalls import close_range
from ipycontainer_runtime.linux.cgroup import Hierarchy, detect
from ipycontainer_runtime.shim.endpoint import remove_folder
from ipycontainer_runtime.shim.protocol import send_packet
from ipycontainer_runtime.shim.shim import Shim

PARKED = "parked-"  # begins the name of a shim's folder until it has a container
ENGINE = 3  # the only descriptor besides 0, 1 and 2
AHEAD = 2  # shims kept parked once there was a start: while one is made, another is taken
CALM_MS = 200  # after this long the next is forked, though the last one's container runs
LAST = 0x7FFFFFFF  # the kernel stops at the highest that is open


class Spawner:
    """Forks shims for one engine. `serve` returns when the engine is gone."""

    def __init__(self, run: str, engine: int, hierarchy: Hierarchy) -> None:
        self._engine = engine
        self._hierarchy = hierarchy
        # Shims of other run folders share the parent cgroup: tell ours by name.
        self._folder = f"{run}/shims"
        self._prefix = f"{binascii.crc32(os.fsencode(run)):08x}-"
        self._ends: deque[int] = deque()  # for each parked shim a pipe that ends when it does

    def serve(self) -> None:
        """Hand out shims until the engine closes its socket."""
        for name in self._hierarchy.stale(self._prefix):
            self._hierarchy.open(name).remove(0)
        self._sweep()
        self._park()
        poll = select.poll()
        poll.register(self._engine, select.POLLIN)
        while self._asked():
            # Until the container has ended, the engine wants another, or time is up.
            taken = self._ends.popleft()
            poll.register(taken, select.POLLIN)
            poll.poll(CALM_MS)
            poll.unregister(taken)
            os.close(taken)
            while len(self._ends) < AHEAD:
                self._park()

    def _asked(self) -> bool:
        """Wait until the engine wants another shim; false when it has left."""
        try:
            return bool(os.read(self._engine, 1))
        except ConnectionResetError:  # it was killed before it took the last one
            return False

    def _sweep(self) -> None:
        """Remove what parked shims left that were killed."""
        for name in os.listdir(self._folder):
            if name.startswith(PARKED):
                remove_folder(f"{self._folder}/{name}")

    def _park(self) -> None:
        """Fork a shim."""
        end, held = os.pipe()
        self._ends.append(end)
        if os.fork() == 0:
            try:
                for end in self._ends:
                    os.close(end)
                self._be_shim()
            except BaseException:
                traceback.print_exc()  # for the engine's log; a forked child must not return
            finally:
                os._exit(0)
        os.close(held)

    def _be_shim(self) -> None:
        os.setsid()
        name = str(os.getpid())
        engine, sock = socketpair()
        shim = Shim(
            self._hierarchy,
            self._prefix + name,
            f"{self._folder}/{PARKED}{name}",
            socket.socket(fileno=sock.detach()),
        )
        with socket.socket(fileno=self._engine) as spawner:
            try:  # noqa: SIM105 - contextlib is a module more in every shim
                send_packet(spawner, {}, (engine.fileno(),))
            except BrokenPipeError:
                pass  # the engine has just left: the shim sees that, and cleans up behind itself
        engine.close()
        shim.run()


def main() -> None:
    """Serve the engine at the other end of the descriptor that the command line names."""
    # Children that nobody waits for leave no zombies.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # Besides the engine's socket there is the descriptor by which we were executed.
    engine = os.dup2(int(sys.argv[2]), ENGINE, inheritable=False)
    close_range(ENGINE + 1, LAST)
    spawner = Spawner(sys.argv[1], engine, detect())
    gc.collect()
    gc.freeze()  # a collection would write to, and so copy, each page shared with the children
    spawner.serve()


if __name__ == "__main__":
    main()
