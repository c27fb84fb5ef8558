"""500 MB of lines of 80 bytes from a container to an attached client, and into its log."""

import struct
from collections.abc import Iterator
from typing import Any

from docker.types import LogConfig

from measure import Contender, Timed, by_turns
from support.hosts import Host
from table import Goal, Row
from world import LINES_BYTES, World, lines_image

TIMES = 10
SIZE = TIMES * LINES_BYTES
PRINT = ["sh", "-c", f"for i in $(seq {TIMES}); do cat /lines; done"]


def rows(world: World, rounds: int) -> Iterator[Row]:
    """Yield ours with its `local` log beside Docker's default and Docker's own `local`."""
    name = world.pulled(lines_image(), "lines")
    what = "500 MB of 80-byte lines to the client"
    goal = Goal(1 / 8, "docker", "≥ 8 x Docker's rate")
    local = {"ours": printing(world.ours, name, "local")}
    json = {"ours": printing(world.ours, name, "json-file")}
    if world.docker:
        local["docker"] = printing(world.docker, name, "json-file")
        json["docker"] = printing(world.docker, name, "local")
    # Docker takes half a minute a round: a third of the rounds will do.
    few = max(3, rounds // 3)
    results = by_turns(local, few, warm=0)
    yield Row(f"{what}; ours logs as `local`, Docker as json-file", results, (goal,), "s")
    results = by_turns(json, few, warm=0)
    yield Row(f"{what}; ours logs as json-file, Docker as `local`", results, (), "s")


def printing(host: Host, name: str, driver: str) -> Contender:
    """Return the contender that starts the container and reads all that it prints."""
    client = host.client

    def run(clock: Timed) -> None:
        container = client.containers.create(
            name, PRINT, network_mode="none", log_config=LogConfig(type=driver)
        )
        attached = client.api.attach_socket(container.id, {"stdout": 1, "stderr": 1, "stream": 1})
        with clock():
            container.start()
            count = received(attached)
            assert container.wait()["StatusCode"] == 0
        assert count == SIZE, f"{count} bytes came, not {SIZE}"
        attached.close()
        container.remove()

    return run


def received(attached: Any) -> int:
    """Read multiplexed frames until the end, and return how many bytes they held."""
    sock = getattr(attached, "_sock", attached)
    buffer = memoryview(bytearray(1 << 20))
    header, rest, total = b"", 0, 0
    while count := sock.recv_into(buffer):
        at = 0
        while at < count:
            step = min(rest, count - at)
            at, rest, total = at + step, rest - step, total + step
            if rest == 0 and at < count:
                taken = bytes(buffer[at : min(count, at + 8 - len(header))])
                header, at = header + taken, at + len(taken)
                if len(header) == 8:
                    rest, header = struct.unpack(">4xI", header)[0], b""
    return total
