"""Standard streams through the whole engine and the real command: large, many, and cut off."""

import hashlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from attached import attach, frames

from support.engines import Engine

MEGABYTE = 1 << 20
RUN = ("run", "--rm", "--network", "none")

pytestmark = [pytest.mark.needs("docker", "busybox"), pytest.mark.ordinary_user]


def chunks(megabytes: int) -> Iterator[bytes]:
    """Yield megabytes that differ from each other, so that a lost or doubled one is seen."""
    block = os.urandom(MEGABYTE - 8)
    for number in range(megabytes):
        yield number.to_bytes(8, "big") + block


def feed(process: subprocess.Popen[bytes], megabytes: int) -> str:
    assert process.stdin is not None
    digest = hashlib.sha256()
    for chunk in chunks(megabytes):
        digest.update(chunk)
        process.stdin.write(chunk)
    process.stdin.close()
    return digest.hexdigest()


@pytest.mark.parametrize("options", [(), ("--log-driver", "local")], ids=["json-file", "local"])
def test_input_comes_back_unchanged(
    shared_engine: Engine, busybox: str, options: tuple[str, ...]
) -> None:
    through_cat(shared_engine, busybox, 64, options)


def test_a_gigabyte_comes_back_unchanged(shared_engine: Engine, busybox: str) -> None:
    through_cat(shared_engine, busybox, 1024, ("--log-driver", "none"))


@pytest.mark.long
def test_a_gigabyte_comes_back_unchanged_and_is_logged(shared_engine: Engine, busybox: str) -> None:
    through_cat(shared_engine, busybox, 1024, ("--log-driver", "local"))


def through_cat(engine: Engine, image: str, megabytes: int, options: tuple[str, ...]) -> None:
    command = ["docker", *RUN, "-i", *options, image, "cat"]
    pipe = subprocess.PIPE
    with (
        subprocess.Popen(command, env=engine.environment, stdin=pipe, stdout=pipe) as process,
        ThreadPoolExecutor(1) as pool,
    ):
        sent = pool.submit(feed, process, megabytes)
        assert process.stdout is not None
        digest, count = hashlib.sha256(), 0
        while chunk := process.stdout.read(MEGABYTE):
            digest.update(chunk)
            count += len(chunk)
    assert process.returncode == 0
    assert count == megabytes * MEGABYTE
    assert digest.hexdigest() == sent.result()


def test_a_hundred_attached_at_once_each_hear_everything(
    shared_engine: Engine, busybox: str
) -> None:
    code = "read go; for i in $(seq 1000); do echo line $i; done"
    container = shared_engine.succeed(
        "create", "-i", "--network", "none", busybox, "sh", "-c", code
    )
    first = attach(shared_engine, container, stdin=1)
    with ThreadPoolExecutor(100) as pool:
        attached = list(pool.map(lambda _: attach(shared_engine, container), range(99)))
        shared_engine.succeed("start", container)
        heard = [pool.submit(frames, sock) for sock in attached]
        first.sendall(b"go\n")
        expected = b"".join(b"line %d\n" % number for number in range(1, 1001))
        assert frames(first) == expected
        assert all(future.result() == expected for future in heard)
    shared_engine.succeed("rm", container)


def test_a_client_that_vanishes_leaves_the_container_and_the_others(
    shared_engine: Engine, busybox: str
) -> None:
    code = "until [ -e /go ]; do echo ready; sleep 0.05; done; seq 100000; exit 3"
    container = shared_engine.succeed("run", "-d", "--network", "none", busybox, "sh", "-c", code)
    process = subprocess.Popen(
        ["docker", "attach", container], env=shared_engine.environment, stdout=subprocess.PIPE
    )
    other = attach(shared_engine, container)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    shared_engine.succeed("exec", container, "touch", "/go")
    heard = [word for word in frames(other).split() if word != b"ready"]
    assert heard == [b"%d" % number for number in range(1, 100_001)]
    assert shared_engine.succeed("wait", container) == "3"
    shared_engine.succeed("rm", container)


def test_clients_that_never_read_do_not_hold_up_the_engine(
    shared_engine: Engine, busybox: str
) -> None:
    container = shared_engine.succeed("run", "-d", "--network", "none", busybox, "yes")
    silent = [attach(shared_engine, container) for _ in range(5)]
    assert shared_engine.succeed(*RUN, busybox, "echo", "still here") == "still here"
    shared_engine.succeed("rm", "-f", container)
    for sock in silent:
        frames(sock)


def test_streams_that_come_and_go_leave_no_descriptor_open(
    shared_engine: Engine, busybox: str
) -> None:
    def descriptors() -> int:
        return len(os.listdir(f"/proc/{shared_engine.pid}/fd"))

    shared_engine.succeed(*RUN, busybox, "true")
    before = descriptors()
    for _ in range(20):
        assert shared_engine.succeed(*RUN, "-i", busybox, "cat", stdin=b"x") == "x"
    # Connections that a client has closed end a moment after its command.
    patience = threading.Event()
    for _ in range(300):
        if descriptors() <= before + 2:
            break
        patience.wait(0.1)
    assert descriptors() <= before + 2
