"""Names and ports of a real engine's containers while engine and helper come and go; and many."""

import contextlib
import os
import signal
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dnslib
import docker
import pytest
from docker.types import EndpointConfig
from helperroom import RESOLVER, SECONDS

from ipycontainer_runtime.linux.netns import entered, opened_of
from support.engines import Engine, running_engine

pytestmark = pytest.mark.needs("root", "docker", "nft")
MANY, PUBLISHED = 100, 50
WAITING = "until wget -qO- http://127.0.0.1 && echo | nc 127.0.0.1 7; do usleep 10000; done"
ECHO = ("sh", "-c", "echo $0 > /tmp/index.html; httpd -h /tmp; exec nc -ll -p 7 -e cat")


@pytest.fixture(scope="module")
def home(busybox: str) -> Iterator[Engine]:
    with running_engine() as running:
        running.succeed("pull", "-q", busybox)
        running.succeed("tag", busybox, "box")
        yield running


@pytest.fixture
def engine(home: Engine) -> Iterator[Engine]:
    home.succeed("network", "create", "red")
    yield home
    home.start()
    home.remove_containers()
    home.succeed("network", "prune", "-f")


class Inside:
    """Asks for names in a container's network namespace, without its engine."""

    def __init__(self, engine: Engine, container: str) -> None:
        pid = int(engine.succeed("inspect", "-f", "{{.State.Pid}}", container))
        netns = opened_of(pid)
        with entered(netns):
            self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        os.close(netns)
        self.sock.settimeout(SECONDS)
        self.sock.connect(RESOLVER)

    def addresses(self, name: str) -> list[str]:
        self.sock.send(dnslib.DNSRecord.question(name).pack())
        return [str(record.rdata) for record in dnslib.DNSRecord.parse(self.sock.recv(65535)).rr]

    def __enter__(self) -> "Inside":
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()


def serve(engine: Engine, name: str, *flags: str) -> None:
    """Run a server of its own name, that also sends back what it is sent; wait until it does."""
    engine.succeed("run", "-d", "--name", name, "--network", "red", *flags, "box", *ECHO, name)
    engine.succeed("exec", name, "timeout", "20", "sh", "-c", WAITING)


def until(possible: Callable[[], object]) -> None:
    """Try what the system refuses until it can be done."""
    done = False
    while not done:
        with contextlib.suppress(OSError):
            possible()
            done = True


def port(engine: Engine, name: str, inside: int) -> int:
    return int(engine.succeed("port", name, str(inside)).rpartition(":")[2])


def page(number: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{number}", timeout=SECONDS) as answer:
        return str(answer.read().decode().strip())


def helper_pids(engine: Engine) -> list[int]:
    """Return the processes that have the engine's run folder open as the helper has."""
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if any(word.endswith(b"helper/process.py") for word in words):
                folder = os.readlink(f"/proc/{pid}/fd/{words[5].decode()}")
                found += [int(pid)] * (folder == str(engine.paths.run))
    return found


def test_an_engine_that_is_killed_interrupts_neither_names_nor_ports(engine: Engine) -> None:
    serve(engine, "web", "-p", "127.0.0.1::80", "-p", "127.0.0.1::7")
    serve(engine, "other")
    pages, echo = port(engine, "web", 80), port(engine, "web", 7)
    with Inside(engine, "other") as inside, socket.create_connection(("127.0.0.1", echo)) as talk:
        talk.settimeout(SECONDS)
        address = inside.addresses("web")
        helpers = helper_pids(engine)
        engine.kill()
        assert inside.addresses("web") == address
        assert page(pages) == "web"
        talk.sendall(b"still there?")
        assert talk.recv(100) == b"still there?"
        engine.start()
        serve(engine, "third")
        assert inside.addresses("third")
        with Inside(engine, "third") as new:
            assert new.addresses("web") == address
        talk.sendall(b"and now?")
        assert talk.recv(100) == b"and now?"
    assert (port(engine, "web", 80), port(engine, "web", 7)) == (pages, echo)
    assert helper_pids(engine) == helpers
    assert page(pages) == "web"


def test_a_helper_that_is_killed_is_replaced_with_all_that_it_knew(engine: Engine) -> None:
    serve(engine, "web", "-p", "127.0.0.1::80")
    pages = port(engine, "web", 80)
    with Inside(engine, "web") as inside:
        address = inside.addresses("web")
        [helper] = helper_pids(engine)
        os.kill(helper, signal.SIGKILL)
        serve(engine, "other")  # which waits for the new one
    with Inside(engine, "other") as inside:
        assert inside.addresses("web") == address
    assert page(pages) == "web"
    assert port(engine, "web", 80) == pages


def test_a_port_is_free_again_though_nobody_saw_its_container_end(engine: Engine) -> None:
    serve(engine, "web", "-p", "127.0.0.1::80")
    number = port(engine, "web", 80)
    pid = int(engine.succeed("inspect", "-f", "{{.State.Pid}}", "web"))
    ended = os.pidfd_open(int(Path(f"/proc/{pid}/stat").read_text().split()[3]))  # its shim
    engine.kill()
    signal.pidfd_send_signal(ended, signal.SIGKILL)
    os.close(ended)
    with socket.socket() as anybody:
        anybody.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        until(lambda: anybody.bind(("127.0.0.1", number)))  # the helper has seen it too
        anybody.listen()
        anybody.settimeout(1)

        def reached() -> None:  # and not the container, which the rules that go next led to
            socket.create_connection(("127.0.0.1", number), 1).close()
            anybody.accept()[0].close()

        until(reached)
    engine.start()
    engine.succeed("start", "web")
    engine.succeed("exec", "web", "timeout", "20", "sh", "-c", WAITING)
    assert page(port(engine, "web", 80)) == "web"


def test_a_hundred_containers_find_each_other_throughout(engine: Engine) -> None:
    serve(engine, "first", "-p", "127.0.0.1::80")
    over = threading.Event()
    failed: list[str] = []
    asked = 0

    def ask(inside: Inside) -> None:
        nonlocal asked
        while not over.is_set():
            if len(inside.addresses("first")) != 1:
                failed.append("first")
            asked += 1

    def begin(number: int) -> docker.models.containers.Container:
        return engine.client.containers.run(
            "box",
            ["httpd", "-f", "-h", "/etc"],
            name=f"box{number}",
            network="red",
            networking_config={"red": EndpointConfig("1.44", aliases=["all"])},
            ports={"80/tcp": ("127.0.0.1", None)} if number < PUBLISHED - 1 else {},
            detach=True,
        )

    with Inside(engine, "first") as inside, ThreadPoolExecutor(4) as pool:
        asking = threading.Thread(target=ask, args=(inside,))
        asking.start()
        try:
            boxes = list(pool.map(begin, range(MANY - 1)))
        finally:
            over.set()
            asking.join()
        assert (failed, asked > 0) == ([], True)
        found = [inside.addresses(str(box.name)) for box in boxes]
        assert len({address for [address] in found}) == MANY - 1
        for name in ("box0", f"box{MANY - 2}"):
            with Inside(engine, name) as other:
                assert len(other.addresses("first")) == 1
        ports = {port(engine, f"box{number}", 80) for number in range(PUBLISHED - 1)}
        assert len(ports) == PUBLISHED - 1
        for number in ports:
            with socket.create_connection(("127.0.0.1", number), SECONDS) as talk:
                talk.settimeout(SECONDS)
                talk.sendall(b"GET /group HTTP/1.0\r\n\r\n")
                assert talk.recv(100).startswith(b"HTTP/1.")
        assert page(port(engine, "first", 80)) == "first"
        list(pool.map(lambda box: box.remove(force=True), boxes))
        assert [len(inside.addresses(name)) for name in ("first", "all")] == [1, 0]
