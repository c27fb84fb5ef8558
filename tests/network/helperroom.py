"""The engine's side of a real helper, and containers that are a process in a network namespace."""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import dnslib

from ipycontainer_runtime.linux.netns import entered
from ipycontainer_runtime.network.helper.client import Helper
from ipycontainer_runtime.network.helper.presence import Membership, Presence, Wanted
from ipycontainer_runtime.paths import Paths
from ipycontainer_runtime.store.networks import Published

Result = TypeVar("Result")
RESOLVER = ("127.0.0.11", 53)
SECONDS = 20.0
_SLEEP = ("sh", "-c", "ip link set lo up && echo && exec sleep 1000")


class Box:
    """A container: a network namespace with a process in it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.id = (name.encode().hex() + "0" * 64)[:64]
        self.process = subprocess.Popen(
            ["unshare", "--net", *_SLEEP], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline(), "no network namespace"
        self.netns = os.open(f"/proc/{self.process.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self.pidfd = os.pidfd_open(self.process.pid)

    def end(self) -> None:
        """End its process, which is all that its network namespace has; harmless afterwards."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.end()
        assert self.process.stdout is not None
        self.process.stdout.close()
        os.close(self.netns)
        os.close(self.pidfd)

    def made(self, kind: int = socket.SOCK_DGRAM) -> socket.socket:
        with entered(self.netns):
            sock = socket.socket(socket.AF_INET, kind)
        sock.settimeout(SECONDS)
        return sock

    def ask_raw(self, message: bytes, seconds: float = SECONDS) -> bytes:
        with self.made() as sock:
            sock.settimeout(seconds)
            sock.sendto(message, RESOLVER)
            return sock.recv(65535)

    def ask(self, name: str, kind: str = "A", seconds: float = SECONDS) -> dnslib.DNSRecord:
        question = dnslib.DNSRecord.question(name, kind)
        answer = dnslib.DNSRecord.parse(self.ask_raw(question.pack(), seconds))
        assert answer.header.id == question.header.id
        return answer

    def stream(self, *messages: bytes) -> dnslib.DNSRecord:
        """Send these by one connection, and return the last answer."""
        with self.made(socket.SOCK_STREAM) as sock:
            sock.connect(RESOLVER)
            sock.sendall(b"".join(len(one).to_bytes(2, "big") + one for one in messages))
            with sock.makefile("rb") as file:
                for _ in messages:
                    answer = file.read(int.from_bytes(file.read(2), "big"))
        return dnslib.DNSRecord.parse(answer)

    def addresses(self, name: str, kind: str = "A", seconds: float = SECONDS) -> list[str]:
        return sorted(str(record.rdata) for record in self.ask(name, kind, seconds).rr)

    def listening(self, kind: int, port: int) -> socket.socket:
        sock = self.made(kind)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("0.0.0.0", port))
        if kind == socket.SOCK_STREAM:
            sock.listen(64)
        return sock


class Room:
    """An engine in a short folder of its own, as socket addresses want it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ipycn"))
        self.loop = asyncio.new_event_loop()
        self.boxes: list[Box] = []
        self.helper = self.engine()

    def engine(self) -> Helper:
        """Return the helper's client of one engine more."""
        return Helper(Paths(self.folder, self.folder), self._reopen)

    def _reopen(self, container: str) -> tuple[int, int] | None:
        for box in self.boxes:
            if box.id == container and box.process.poll() is None:
                return os.dup(box.netns), os.dup(box.pidfd)
        return None

    def do(self, what: Coroutine[Any, Any, Result]) -> Result:
        return self.loop.run_until_complete(asyncio.wait_for(what, SECONDS))

    def box(self, name: str) -> Box:
        self.boxes.append(Box(name))
        return self.boxes[-1]

    def presence(self, box: Box, *networks: Membership, **fields: Any) -> Presence:
        return Presence(
            container=box.id,
            name=box.name,
            networks=networks,
            endpoint="e" * 64,
            address="127.0.0.1",  # of the box itself, from which `place` connects
            process=box.pidfd,
            place=box.netns,
            **fields,
        )

    def serve(self, box: Box, *networks: Membership, **fields: Any) -> list[Published]:
        presence = self.presence(box, *networks, **fields)
        return self.do(self.helper.serve(presence, box.netns))

    def change(self, box: Box, *networks: Membership, **fields: Any) -> list[Published]:
        """Tell of a container that is known already."""
        presence = self.presence(box, *networks, **fields)._replace(process=None, place=None)
        return self.do(self.helper.serve(presence))

    def publish(self, box: Box, port: int, protocol: str = "tcp", **fields: Any) -> list[Published]:
        return self.serve(box, wanted=(Wanted(protocol, port, **fields),))

    def helper_pid(self) -> int:
        """Return the helper's process, by what holds the folder's socket."""
        for pid in filter(str.isdecimal, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if any(word.endswith(b"helper/process.py") for word in words):
                    held = {os.readlink(f"/proc/{pid}/fd/{words[5].decode()}")}
                    if str(self.folder) in held:
                        return int(pid)
        raise AssertionError("no helper runs")

    def close(self) -> None:
        for box in self.boxes:
            box.close()
        self.do(self._leave())
        self.loop.close()
        shutil.rmtree(self.folder)

    async def _leave(self) -> None:
        for container in await self.helper.held():
            await self.helper.drop(container)
        self.helper.close()
        while any(self.folder.glob("helper-*")):  # it removes its socket, and has left then
            await asyncio.sleep(0.01)


def member(box: Box, network: str, address: str, *aliases: str, **fields: Any) -> Membership:
    names = (box.name, box.id[:12], *aliases)
    return Membership(network + "-id", network, names, (address,), **fields)
