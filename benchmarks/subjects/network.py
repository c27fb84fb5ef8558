"""Networks: what the bridge adds to a run, names of containers, HTTP through a published port.

Each engine is in a network namespace of its own, since Docker would make itself the keeper of the
machine's firewall; who asks for a page is a host beside it, on a cable.
"""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import dnslib

from ipycontainer_runtime.linux.netns import entered, opened_of
from measure import RHYTHMS, Contender, Result, Timed, by_turns
from support import netlab
from support.alone import IMAGE, docker_alone, engine_alone
from support.hosts import Host as Engine
from table import Goal, Row
from world import World

RESOLVER = ("127.0.0.11", 53)
QUESTIONS = 200  # a figure is the mean of as many
PAGES, CLIENTS = 100, 4  # a figure is the time of PAGES requests by each of CLIENTS at a time
PORT = 8080
SERVER = "echo hello > /tmp/index.html; head -c 50000000 /dev/zero > /tmp/bulk; httpd -f -h /tmp"
SECONDS = 20.0


def rows(world: World, rounds: int) -> Iterator[Row]:
    """Yield all of them, contenders by turns."""
    with ExitStack() as stack:
        lab = stack.enter_context(netlab.laboratory())
        alone: dict[str, tuple[Engine, int]] = {"ours": stack.enter_context(engine_alone())}
        if world.docker is not None:
            alone["docker"] = stack.enter_context(docker_alone())
        sides = {
            name: _Side(lab, number, *engine) for number, (name, engine) in enumerate(alone.items())
        }
        yield from _runs(sides, rounds)
        for side in sides.values():
            side.begin()
        yield from _names(sides, rounds)
        yield from _pages(sides, rounds)
        for side in sides.values():
            side.end()


def _runs(sides: "dict[str, _Side]", rounds: int) -> Iterator[Row]:
    contenders = {name: side.run("bridge") for name, side in sides.items()}
    contenders["none"] = sides["ours"].run("none")
    for pause, rhythm in RHYTHMS:
        figures = by_turns(contenders, rounds, pause)
        goal = Goal(1 / 12, "docker", "≤ 1/12 of Docker's")
        yield Row(f"`run --rm IMAGE true` in the default bridge, {rhythm}", figures, (goal,))
        pairs = zip(figures["ours"].figures, figures["none"].figures, strict=True)
        added = Result(tuple(bridge - none for bridge, none in pairs))
        goal = Goal(0.004, "", "≤ 4 ms")
        yield Row(f"of it for the bridge, {rhythm}", {"ours": added}, (goal,))


def _names(sides: "dict[str, _Side]", rounds: int) -> Iterator[Row]:
    contenders = {name: side.ask() for name, side in sides.items()}
    goal = Goal(0.001, "", "≤ 1 ms")
    for pause, rhythm in RHYTHMS:
        figures = by_turns(contenders, rounds, pause)
        yield Row(f"answer to a container's name, {rhythm}", figures, (goal,))


def _pages(sides: "dict[str, _Side]", rounds: int) -> Iterator[Row]:
    goal = Goal(1 / 0.8, "docker", "≥ 0.8 of Docker's rate")
    for what, goals, inside in (
        ("from outside", (goal,), False),
        ("from the machine itself at 127.0.0.1", (), True),
    ):
        contenders = {name: side.pages(inside=inside) for name, side in sides.items()}
        for pause, rhythm in RHYTHMS:
            figures = by_turns(contenders, rounds, pause)
            row = f"{PAGES * CLIENTS} pages through a published port, {what}, {rhythm}"
            yield Row(row, figures, goals)
        contenders = {name: side.bulk(inside=inside) for name, side in sides.items()}
        yield Row(f"50 MB through a published port, {what}", by_turns(contenders, rounds), goals)


class _Side:
    """One engine in its namespace, and a host on a cable beside it."""

    def __init__(self, lab: netlab.Lab, number: int, engine: Engine, pid: int) -> None:
        self._client = engine.client
        self._gate = lab.known(f"gate{number}", f"/proc/{pid}/ns/net")
        self._outside = lab.host(f"out{number}")
        lab.wire(self._outside, "cable", self._gate, "cable")
        self._outside.ip("addr add 192.0.2.2/24 dev cable")
        self._gate.ip("addr add 192.0.2.1/24 dev cable")
        self._made: list[Any] = []

    def begin(self) -> None:
        """Begin a server of pages, with a name in a network and a port that leads to it."""
        self._made = [self._client.networks.create("bench")]
        self._made.append(
            self._client.containers.run(
                IMAGE,
                ["sh", "-c", SERVER],
                name="web",
                network="bench",
                ports={"80/tcp": PORT},
                detach=True,
            )
        )
        self._made[-1].reload()
        serving = "until wget -q -O /dev/null http://127.0.0.1; do usleep 10000; done"
        waited = self._made[-1].exec_run(["timeout", "20", "sh", "-c", serving])
        assert waited.exit_code == 0, waited.output

    def end(self) -> None:
        """Remove what was begun."""
        network, container = self._made
        container.remove(force=True)
        network.remove()

    def run(self, network: str) -> Contender:
        """Return the contender that runs `true` by docker-py."""

        def run(clock: Timed) -> None:
            with clock():
                self._client.containers.run(IMAGE, "true", network_mode=network, remove=True)

        return run

    def ask(self) -> Contender:
        """Return the contender that asks for a name inside the container."""
        question = dnslib.DNSRecord.question("web").pack()

        def run(clock: Timed) -> None:
            netns = opened_of(self._made[-1].attrs["State"]["Pid"])
            with entered(netns):
                asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            with asking:
                asking.settimeout(SECONDS)
                asking.connect(RESOLVER)
                with clock():
                    for _ in range(QUESTIONS):
                        asking.send(question)
                        answer = asking.recv(600)
            clock.seconds /= QUESTIONS
            assert len(dnslib.DNSRecord.parse(answer).rr) == 1

        return run

    def pages(self, *, inside: bool) -> Contender:
        """Return the contender of many small pages."""

        def fetch(client: int) -> None:
            for _ in range(PAGES):
                assert self._get("/", inside=inside).endswith(b"hello\n")

        def run(clock: Timed) -> None:
            with ThreadPoolExecutor(CLIENTS) as pool, clock():
                list(pool.map(fetch, range(CLIENTS)))

        return run

    def bulk(self, *, inside: bool) -> Contender:
        """Return the contender of one long answer."""

        def run(clock: Timed) -> None:
            with clock():
                got = self._get("/bulk", inside=inside)
            assert len(got) > 50_000_000

        return run

    def _get(self, path: str, *, inside: bool) -> bytes:
        host, address = (self._gate, "127.0.0.1") if inside else (self._outside, "192.0.2.1")
        parts = []
        with host.socket("tcp", address) as sock:
            sock.settimeout(SECONDS)
            sock.connect((address, PORT))
            sock.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            while part := sock.recv(1 << 18):
                parts.append(part)
        return b"".join(parts)
