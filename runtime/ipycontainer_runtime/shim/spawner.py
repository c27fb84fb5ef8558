"""The spawner: a small warm process that forks shims: `python -I -S spawner.py RUN FD`.

The engine is large and has threads, so it must not fork. This process keeps one shim forked ahead,
with its nursery in a fresh cgroup. The shim sends the engine its pid, one end of its socket and the
network namespace of its parked process, over the SOCK_SEQPACKET FD. The engine says by a packet
with the pid which one it takes, so that the next is forked: once the container has ended or is well
under way, as a fork beside its start would make that wait for a processor; and by a 0 that it waits
for one, which is forked at once, as the next is once that is taken. A second number says whether a
user namespace is worth making ahead. When the engine's end closes, the spawner leaves, and so do
parked shims.
"""

import binascii
import gc
import os
import select
import signal
import socket
import sys
import time
import traceback
from _socket import socketpair

# -S leaves the search path without our own package, -I without this folder.
sys.path.append(os.path.abspath(f"{__file__}/../../.."))

from ipycontainer_runtime.launch.syscalls import close_range
from ipycontainer_runtime.linux.cgroup import Hierarchy, detect
from ipycontainer_runtime.linux.channel import send_packet
from ipycontainer_runtime.shim.endpoint import remove_folder
from ipycontainer_runtime.shim.shim import Shim

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ipycontainer_runtime.linux.channel import Message

PARKED = "parked-"  # begins the name of a shim's folder until it has a container
ENGINE = 3  # the only descriptor besides 0, 1 and 2
AHEAD = 2  # shims kept parked once there was a start: while one is made, another is taken
CALM_SECONDS = 0.05  # after this long the next is forked, though the last one's container runs
LAST = 0x7FFFFFFF  # the kernel stops at the highest that is open


class Spawner:
    """Forks shims for one engine. `serve` returns when the engine is gone."""

    def __init__(self, run: str, engine: int, hierarchy: Hierarchy) -> None:
        self._engine = engine
        self._hierarchy = hierarchy
        # Shims of other run folders share the parent cgroup: tell ours by name.
        self._folder = f"{run}/shims"
        self._prefix = f"{binascii.crc32(os.fsencode(run)):08x}-"
        self._apart = False
        self._parked: set[int] = set()
        self._alive: set[int] = set()
        self._ends, self._end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self._end, warn_on_full_buffer=False)
        self._poll = select.poll()
        self._poll.register(engine, select.POLLIN)
        self._poll.register(self._ends, select.POLLIN)

    def serve(self) -> None:
        """Hand out shims until the engine closes its socket."""
        self._sweep_cgroups()
        self._sweep()
        self._park()
        scarce = False
        while (pid := self._asked()) is not None:
            if not pid:
                self._park()
            elif self._seen_off(pid) or scarce:
                while len(self._parked) < AHEAD:
                    self._park()
            scarce = not pid
        self._reap()

    def _asked(self) -> "int | None":
        """Wait for the engine; which shim it takes, 0 when it waits for one, None: it has left."""
        while not self._engine_says(None):
            pass
        try:
            said = os.read(self._engine, 24)
        except ConnectionResetError:  # it was killed before it took the last one
            return None
        if not said:
            return None
        pid, apart = map(int, said.split())
        self._apart = bool(apart)
        return pid

    def _seen_off(self, pid: int) -> bool:
        """Wait until a taken shim has ended or time is up; false if the engine says more before."""
        self._parked.discard(pid)
        deadline = time.monotonic() + CALM_SECONDS
        while pid in self._alive and (left := deadline - time.monotonic()) > 0:
            if self._engine_says(left * 1000):
                return False
        return True

    def _engine_says(self, milliseconds: "float | None") -> bool:
        """Wait for the engine or the end of a shim; true if it was the engine."""
        ready = [fd for fd, _ in self._poll.poll(milliseconds)]
        if self._ends in ready:
            os.read(self._ends, 4096)
            self._reap()
        return self._engine in ready

    def _reap(self) -> None:
        """Take the ends of shims, and remove what those leave that were killed."""
        while self._alive:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            self._alive.discard(pid)
            self._parked.discard(pid)
            if status:
                cgroup = self._hierarchy.open(f"{self._prefix}{pid}")
                cgroup.kill()
                self._forget_foreign(f"{self._prefix}{pid}")
                cgroup.remove()
                remove_folder(f"{self._folder}/{PARKED}{pid}")

    def _forget_foreign(self, name: str) -> None:
        """Have another runtime forget a container whose shim was killed; `name` is its cgroup's."""
        bundle = f"{os.path.dirname(self._folder)}/bundles/{name}"
        if not os.path.isdir(bundle):
            return
        pid = os.fork()
        if pid == 0:
            try:  # here, since what is imported for it would stay in every shim
                from ipycontainer_runtime.shim.foreign import forget

                forget(bundle)
            finally:
                os._exit(0)
        os.waitpid(pid, 0)

    def _sweep(self) -> None:
        """Remove what parked shims left that were killed."""
        for name in os.listdir(self._folder):
            if name.startswith(PARKED):
                remove_folder(f"{self._folder}/{name}")

    def _sweep_cgroups(self) -> None:
        """Remove empty cgroups of shims that were killed, also of run folders nobody came back to.

        None of ours is in use yet, but another spawner may have made one just now.
        """
        for name in self._hierarchy.stale(""):
            pid = name.rpartition("-")[2]
            deserted = pid.isdecimal() and not os.path.exists(f"/proc/{pid}")
            if deserted or name.startswith(self._prefix):
                self._hierarchy.open(name).remove(0)

    def _park(self) -> None:
        """Fork a shim."""
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                signal.set_wakeup_fd(-1)
                os.close(self._ends)
                os.close(self._end)
                status = self._be_shim()
            except BaseException:
                traceback.print_exc()  # for the engine's log; a forked child must not return
            finally:
                os._exit(status)
        self._parked.add(pid)
        self._alive.add(pid)

    def _be_shim(self) -> int:
        """Return the exit status: 0 when nothing is left behind."""
        os.setsid()
        pid = os.getpid()
        with socket.socket(fileno=self._engine) as spawner:
            try:
                engine, sock = socketpair()
                shim = Shim(
                    self._hierarchy,
                    f"{self._prefix}{pid}",
                    f"{self._folder}/{PARKED}{pid}",
                    socket.socket(fileno=sock.detach()),
                    apart=self._apart,
                )
                network = shim.open_network()
            except OSError as error:
                # Whoever waits for it is told; the spawner removes what was made.
                _tell(spawner, {"error": str(error)})
                return 1
            told = {"pid": pid, "cgroup": f"{self._prefix}{pid}"}
            _tell(spawner, told, (engine.fileno(), network))
            os.close(network)
        engine.close()
        shim.run()
        return 0


def _tell(engine: socket.socket, message: "Message", fds: tuple[int, ...] = ()) -> None:
    try:  # noqa: SIM105 - contextlib is a module more in every shim
        send_packet(engine, message, fds)
    except ConnectionError:
        pass  # the engine has just left: the shim sees that, and cleans up behind itself


def main() -> None:
    """Serve the engine at the other end of the descriptor that the command line names."""
    # Besides the engine's socket there is the descriptor by which we were executed.
    engine = os.dup2(int(sys.argv[2]), ENGINE, inheritable=False)
    close_range(ENGINE + 1, LAST)
    spawner = Spawner(sys.argv[1], engine, detect())
    gc.collect()
    gc.freeze()  # a collection would write to, and so copy, each page shared with the children
    try:
        spawner.serve()
    except OSError as error:
        sys.exit(f"ipycontainer: the spawner ends, since it can fork no shim: {error}")


if __name__ == "__main__":
    main()
