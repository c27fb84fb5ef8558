"""What the engine costs when it does nothing; printed, and bounded only by benchmarks."""

import statistics
import time
from pathlib import Path

import raw

from ipycontainer_runtime import activation, client
from ipycontainer_runtime.paths import Paths


def test_figures_of_an_engine_at_rest(folders: Paths) -> None:
    starts = [cold_start(folders) for _ in range(3)]
    docker = client.connect()
    trips = [round_trip(docker) for _ in range(50)]
    pid = client.pid()
    memory = Path(f"/proc/{pid}/smaps_rollup").read_text().split()
    size = {name: int(memory[memory.index(name) + 1]) for name in ("Rss:", "Pss:")}
    docker.close()
    print(
        f"\nfirst reply of an engine started for it: {min(starts) * 1000:.0f} ms"
        f"\nround trip through docker-py: {statistics.median(trips) * 1000:.2f} ms"
        f"\nidle: RSS {size['Rss:'] / 1024:.1f} MB, PSS {size['Pss:'] / 1024:.1f} MB"
    )


def cold_start(where: Paths) -> float:
    client.stop(where)
    begin = time.perf_counter()
    with activation.activate(where) as sock:
        assert raw.ask(sock, "/_ping") == (200, b"OK")
    return time.perf_counter() - begin


def round_trip(docker: object) -> float:
    begin = time.perf_counter()
    assert docker.ping()  # type: ignore[attr-defined]  # a DockerClient
    return time.perf_counter() - begin
