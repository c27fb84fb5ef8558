"""The engine's side of the helper, in asyncio: started when it is needed, and again when killed."""

import asyncio
import contextlib
import importlib.util
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from ipycontainer_runtime.errors import ContainerError, Unavailable
from ipycontainer_runtime.linux.asking import Asking
from ipycontainer_runtime.linux.channel import Message
from ipycontainer_runtime.network.helper.binding import PortError
from ipycontainer_runtime.network.helper.presence import Presence, told
from ipycontainer_runtime.paths import ROOT_VARIABLE, RUN_VARIABLE, Paths
from ipycontainer_runtime.store.networks import Published

_log = logging.getLogger(__name__)

ATTEMPTS = 3  # a helper that leaves, or is killed, just when it is asked is replaced
BACKLOG = 64
PROCESS = Path(__file__).with_name("process.py")
# Of the person's variables the helper has those by which it finds libraries and programs.
VARIABLES = ("LD_LIBRARY_PATH", "PATH", ROOT_VARIABLE, RUN_VARIABLE)

Reopen = Callable[[str], "tuple[int, int] | None"]
"""Open a running container's network namespace and a pidfd of its first process, which the caller
closes; None when it does not run."""


class Helper:
    """Names and published ports of an engine's containers; one for an engine.

    A helper that was killed is started again, and told anew what it had: `reopen` gives the
    descriptors that this takes. One that an earlier engine started goes on; ask it for `held`,
    drop what is gone, and serve what runs.
    """

    def __init__(self, paths: Paths, reopen: Reopen) -> None:
        self._folder = paths.run
        self._root = paths.root
        # A helper in another user namespace cannot enter ours; it leaves with its containers.
        self._name = f"helper-{os.stat('/proc/self/ns/user').st_ino}.sock"
        self._reopen = reopen
        self._asking: Asking | None = None
        self._told: dict[str, Presence] = {}
        self._answers = False  # whether the present one has ever answered

    def start(self) -> None:
        """Start it, or connect to the one that there is; returns at once.

        What is asked before it is warm waits. To be called when a need is foreseen. Raises
        Unavailable.
        """
        if self._asking is not None and not self._asking.closed.done():
            return
        self._asking = Asking(self._connected(), "the helper of networks", _ignore, _error)
        self._asking.closed.add_done_callback(self._lost)
        self._answers = False
        for presence in self._told.values():
            self._renew(self._asking, presence)

    def _lost(self, closed: "asyncio.Future[None]") -> None:
        """Start another in place of one that was killed, before it is asked for.

        One that never answered would end again: that is tried when it is needed.
        """
        if self._told and self._answers:
            try:
                self.start()
            except Unavailable as error:
                _log.warning("%s", error)

    def _renew(self, asking: Asking, presence: Presence) -> None:
        with self._reopened(presence) as given:
            if given is None:
                return
            try:
                asking.ask(*given.message(presence)).add_done_callback(self._renewed)
            except (OSError, Unavailable) as error:
                _log.warning("%s", error)

    @contextlib.contextmanager
    def _reopened(self, presence: Presence) -> "Iterator[_Given | None]":
        """Give the descriptors of a container that runs, None of one that does not."""
        descriptors = self._reopen(presence.container)
        if descriptors is None:
            yield None
            return
        try:
            yield _Given(*descriptors, presence.place)
        finally:
            for fd in descriptors:
                os.close(fd)

    def _renewed(self, reply: "asyncio.Future[Message]") -> None:
        if reply.cancelled():
            return
        if error := reply.exception():
            _log.warning("the new helper of networks: %s", error)
        else:
            self._answers = True

    async def serve(self, presence: Presence, netns: int | None = None) -> list[Published]:
        """Have a container's names answered and its ports published, which are returned.

        With a new run come the descriptors of its network namespace and, in the presence, its
        first process; without them what is known of it changes. Nothing is changed when it fails:
        ContainerError in Docker's words for a port that cannot be had.
        """
        before = self._told.get(presence.container)
        if presence.place is None and before is not None:
            presence = presence._replace(place=before.place)
        given = _Given(netns, presence.process, presence.place)
        try:
            reply = await self._ask(*given.message(presence))
            if "unknown" in reply:
                reply = await self._serve_anew(presence)
        except PortError as error:
            raise ContainerError(
                "driver failed programming external connectivity on endpoint "
                f"{presence.name} ({presence.endpoint}): {error}"
            ) from error
        # Told anew, it gets the same ports.
        pinned = zip(presence.wanted, reply["bound"], strict=True)
        self._told[presence.container] = presence._replace(
            wanted=tuple(wanted._replace(first=port, last=port) for wanted, port in pinned),
            process=None,
        )
        return [
            Published(
                protocol=protocol,
                host_address=host_address,
                host_port=host_port,
                address=address,
                port=port,
            )
            for protocol, host_address, host_port, address, port in reply["ports"]
        ]

    async def _serve_anew(self, presence: Presence) -> Message:
        """Serve what the helper does not know, or has not resolved for; nothing if it has ended."""
        with self._reopened(presence) as given:
            reply = await self._ask(*given.message(presence)) if given else {"unknown": True}
        if "unknown" in reply:
            return {"bound": [0 for _ in presence.wanted], "ports": []}
        return reply

    async def drop(self, container_id: str) -> None:
        """Forget a container and give its ports up; harmless for one that is not known."""
        known = self._told.pop(container_id, None)
        if known is not None or self._asking is not None or self._there():
            await self._ask({"do": "drop", "container": container_id})

    async def held(self) -> list[str]:
        """Return the ids of the containers that the helper keeps, also an earlier engine's."""
        if self._asking is None and not self._there():
            return []
        held: list[str] = (await self._ask({"do": "held"}))["containers"]
        return held

    async def _ask(self, message: Message, fds: tuple[int, ...] = ()) -> Message:
        for _ in range(ATTEMPTS - 1):
            with contextlib.suppress(Unavailable):
                return await self._ask_once(message, fds)
        return await self._ask_once(message, fds)

    async def _ask_once(self, message: Message, fds: tuple[int, ...]) -> Message:
        self.start()
        if self._asking is None:
            raise Unavailable("the helper of networks has ended; try again")
        reply = await self._asking.ask(message, fds)
        self._answers = True
        return reply

    def _there(self) -> bool:
        return (self._folder / self._name).exists()

    def _connected(self) -> socket.socket:
        """Connect to the helper, the present one or a new one."""
        folder = os.open(self._folder, os.O_PATH | os.O_CLOEXEC)
        try:
            # A path under /proc, since the real one may be past the 108 bytes of an address.
            address = f"/proc/self/fd/{folder}/{self._name}"
            for _ in range(ATTEMPTS):
                sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                try:
                    sock.connect(address)
                except (FileNotFoundError, ConnectionRefusedError):
                    sock.close()
                    self._execute(folder)
                except BaseException:
                    sock.close()
                    raise
                else:
                    return sock
        except OSError as error:
            raise Unavailable(f"cannot start the helper of networks: {error}") from error
        finally:
            os.close(folder)
        raise Unavailable("the helper of networks ends as soon as it starts; engine.log tells why")

    def _execute(self, folder: int) -> None:
        """Start a helper that listens; what connects waits until it is warm."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._name, dir_fd=folder)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            address = f"/proc/self/fd/{folder}/{self._name}"
            listener.bind(address)
            os.chmod(address, 0o600)  # before listen(), so that nobody connects under a wider mode
            listener.listen(BACKLOG)
            fds = (listener.fileno(), folder)
            arguments = (self._name, _libraries(), str(self._root))
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(PROCESS), *map(str, fds), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={name: value for name, value in os.environ.items() if name in VARIABLES},
                cwd="/",
                pass_fds=fds,
                start_new_session=True,
            )
        # It outlives this engine, or is to be collected by it.
        threading.Thread(target=process.wait, name="helper-end", daemon=True).start()

    def close(self) -> None:
        """Leave the helper to the next engine; with nothing to keep it leaves too."""
        self._told.clear()
        if self._asking is not None:
            self._asking.close()


def _error(message: Message) -> Exception:
    if message.get("refused"):
        return PortError(message["error"])
    return ContainerError(f"the helper of networks: {message['error']}")


def _ignore(event: Message) -> None:
    """Hear no events: the helper sends none."""


class _Given(NamedTuple):
    """The descriptors that go with a presence."""

    netns: int | None
    process: int | None
    place: int | None

    def message(self, presence: Presence) -> tuple[Message, tuple[int, ...]]:
        """Return what is sent: the message, and the descriptors that there are."""
        fds = {name: fd for name, fd in self._asdict().items() if fd is not None}
        message = {"do": "serve", "presence": told(presence), "given": [*fds]}
        return message, tuple(fds.values())


def _libraries() -> str:
    """Return the folder that the library of DNS messages is in, which the helper is told of."""
    found = importlib.util.find_spec("dnslib")
    if found is None or found.origin is None:
        raise Unavailable("dnslib is not installed, which names of containers need")
    return str(Path(found.origin).parents[1])
