"""SIGKILL of the engine while a container prints ten thousand numbered lines a second."""

import select
from concurrent.futures import ThreadPoolExecutor

import pytest
from attached import attach, frames

from support.engines import Engine

pytestmark = pytest.mark.needs("docker", "busybox")

# 200 lines at a time, as often as 10,000 lines a second need, until it is told to stop.
PRINT = """
i=0
while [ ! -e /stop ]; do
    seq $i $((i + 199)); i=$((i + 200)); usleep 15000
done
"""
# A twentieth of a second's, so that each kill falls into output, also where the machine is busy.
LINES_EACH = 500


def numbered(text: bytes, since: int = 0) -> list[int]:
    """Return the numbers of the lines, and fail unless each follows its predecessor."""
    numbers = [int(line) for line in text.split()]
    begin = numbers[0] if since < 0 else since
    assert numbers == list(range(begin, begin + len(numbers)))
    return numbers


@pytest.mark.parametrize(("driver", "kills", "watched"), [("json-file", 20, 5), ("local", 5, 2)])
def test_log_and_streams_are_whole_whenever_the_engine_is_killed(
    engine: Engine, busybox: str, driver: str, kills: int, watched: int
) -> None:
    engine.succeed("pull", "-q", busybox)
    options = ["-d", "--network", "none", "--log-driver", driver]
    container = engine.succeed("run", *options, busybox, "sh", "-c", PRINT)
    with ThreadPoolExecutor(watched) as pool:
        clients = []
        for kill in range(kills):
            if kill < watched:
                watching = attach(engine, container)
                # An engine that is killed just after its answer has not handed the client on.
                select.select([watching], [], [])
                clients.append(pool.submit(frames, watching))
            engine.kill()
            engine.start()
        engine.succeed("exec", container, "touch", "/stop")
        assert engine.succeed("wait", container) == "0"
        heard = [numbered(client.result(), since=-1) for client in clients]
    logged = numbered(engine.docker("logs", container).stdout)
    assert len(logged) >= LINES_EACH * kills
    assert all(numbers[-1] == logged[-1] for numbers in heard)
    engine.succeed("rm", container)


@pytest.mark.ordinary_user
def test_a_container_that_ends_while_no_engine_runs_is_known_to_the_next(
    engine: Engine, busybox: str
) -> None:
    engine.succeed("pull", "-q", busybox)
    code = "echo ready; read go; echo last words; exit 7"
    container = engine.succeed("run", "-d", "-i", "--network", "none", busybox, "sh", "-c", code)
    watching = attach(engine, container, stdin=1, logs=1)
    select.select([watching], [], [])  # handed on: an engine that is killed before has not
    engine.kill()
    watching.sendall(b"go\n")
    assert frames(watching) == b"ready\nlast words\n"
    engine.start()
    assert engine.succeed("wait", container) == "7"
    assert engine.succeed("logs", container) == "ready\nlast words"
    state = engine.succeed("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", container)
    assert state == "exited 7"
    engine.succeed("rm", container)
