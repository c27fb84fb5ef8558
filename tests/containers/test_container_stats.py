"""What containers use, over the API and through the real docker command."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from support.calls import begin, call
from support.engines import Engine

Make = Callable[..., str]
MEGABYTE = 1 << 20

pytestmark = [
    pytest.mark.cgroup2,
    pytest.mark.needs("docker", "busybox"),
    pytest.mark.usefixtures("limits"),
]


def sampled(engine: Engine, container: str, query: str = "stream=0&one-shot=1") -> dict[str, Any]:
    reply = call(engine, "GET", f"/containers/{container}/stats?{query}")
    assert reply.status == 200
    found: dict[str, Any] = reply.body
    return found


def test_a_sample_tells_memory_processes_and_processor(shared_engine: Engine, run: Make) -> None:
    host = {"NetworkMode": "none", "Memory": 64 * MEGABYTE, "PidsLimit": 50}
    fill = "head -c 8000000 /dev/zero > /dev/shm/x; echo full; sleep 1000 & wait"
    container = run("sh", "-c", fill, HostConfig=host)
    connection, response = begin(
        shared_engine, "GET", f"/containers/{container}/logs?follow=1&stdout=1"
    )
    assert response.read(13)[8:] == b"full\n"
    connection.close()
    found = sampled(shared_engine, container)
    memory = found["memory_stats"]
    assert 8_000_000 < memory["usage"] <= memory["max_usage"] < memory["limit"]
    assert memory["limit"] == 64 * MEGABYTE
    assert found["pids_stats"] == {"current": 2, "limit": 50}
    assert found["cpu_stats"]["cpu_usage"]["total_usage"] > 0
    assert found["cpu_stats"]["system_cpu_usage"] > 10**9
    assert found["precpu_stats"]["cpu_usage"]["total_usage"] == 0


def test_two_samples_tell_how_busy_a_container_is(shared_engine: Engine, run: Make) -> None:
    container = run("sh", "-c", "while :; do :; done")
    found = sampled(shared_engine, container, "stream=0")
    now, before = found["cpu_stats"], found["precpu_stats"]
    used = now["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    passed = now["system_cpu_usage"] - before["system_cpu_usage"]
    assert 0 < used <= passed


def test_a_stream_of_samples_ends_with_the_container(shared_engine: Engine, run: Make) -> None:
    container = run("sleep", "1000")
    connection, response = begin(shared_engine, "GET", f"/containers/{container}/stats")
    first = json.loads(response.readline())
    second = json.loads(response.readline())
    assert second["preread"] == first["read"] < second["read"]
    assert second["precpu_stats"] == first["cpu_stats"]
    call(shared_engine, "DELETE", f"/containers/{container}?force=1")
    while response.readline():
        pass
    connection.close()


def test_what_does_not_run_uses_nothing(shared_engine: Engine, make: Make) -> None:
    found = sampled(shared_engine, make("true"), "stream=0")
    assert (found["memory_stats"], found["pids_stats"]) == ({}, {})
    assert found["cpu_stats"]["cpu_usage"]["total_usage"] == 0


def test_an_unknown_container_has_no_statistics(shared_engine: Engine) -> None:
    assert call(shared_engine, "GET", "/containers/none-such/stats").status == 404


def test_the_docker_command_shows_them(shared_engine: Engine, run: Make) -> None:
    container = run("sleep", "1000", HostConfig={"NetworkMode": "none", "Memory": 32 * MEGABYTE})
    line = shared_engine.succeed(
        "stats", "--no-stream", "--format", "{{.MemUsage}} {{.PIDs}} {{.CPUPerc}}", container
    )
    used, _, limit, pids, processor = line.split()
    assert limit == "32MiB"
    assert used.endswith(("KiB", "MiB"))
    assert pids == "1"
    assert processor.endswith("%")
