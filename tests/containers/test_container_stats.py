"""What containers use, over the API and through the real docker command."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from support.calls import Make, begin, call
from support.engines import Engine

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
    fill = "head -c 8000000 /dev/zero > /dev/shm/x; sleep 1000 & echo full; wait"
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


def test_a_sample_tells_what_went_in_and_out(shared_engine: Engine, run: Make) -> None:
    container = run("sleep", "1000", HostConfig={"NetworkMode": "bridge"})
    found = call(shared_engine, "GET", f"/containers/{container}/json").body
    nobody = f"http://{found['NetworkSettings']['Gateway']}:9/"
    assert shared_engine.docker("exec", container, "wget", "-qO-", nobody).returncode
    [(name, figures)] = sampled(shared_engine, container)["networks"].items()
    assert name == "eth0"
    assert figures["rx_packets"] > 0
    assert figures["tx_bytes"] > 0
    alone = run("sleep", "1000", HostConfig={"NetworkMode": "none"})
    assert "networks" not in sampled(shared_engine, alone)


def test_two_samples_tell_how_busy_a_container_is(shared_engine: Engine, run: Make) -> None:
    container = run("sh", "-c", "while :; do :; done")
    found = sampled(shared_engine, container, "stream=0")
    now, before = found["cpu_stats"], found["precpu_stats"]
    used = now["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    passed = now["system_cpu_usage"] - before["system_cpu_usage"]
    # No more than that: a machine that is itself kept waiting loses ticks, and so time that passed.
    assert used > 0
    assert passed > 0


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


def disk_below(engine: Engine) -> str:
    """Return `major:minor` of the disk on which containers write."""
    if os.geteuid() and call(engine, "GET", "/info").body["CgroupVersion"] == "2":
        pytest.skip("systemd delegates no io controller to users")
    device = os.stat(engine.paths.root).st_dev
    if os.major(device) == 0:
        pytest.skip("containers write to no disk here")
    number = f"{os.major(device)}:{os.minor(device)}"
    partition = Path(f"/sys/dev/block/{number}")
    if (partition / "partition").exists():
        number = (partition.resolve().parent / "dev").read_text().strip()
    return number


def test_what_went_to_a_disk_is_told(shared_engine: Engine, run: Make) -> None:
    disk = disk_below(shared_engine)
    script = "dd if=/dev/zero of=/x bs=1M count=2 conv=fsync 2>/dev/null; echo full; sleep 1000"
    container = run("sh", "-c", script)
    connection, response = begin(
        shared_engine, "GET", f"/containers/{container}/logs?follow=1&stdout=1"
    )
    assert response.read(13)[8:] == b"full\n"
    connection.close()
    found = sampled(shared_engine, container)["blkio_stats"]
    for kind, least in (("io_service_bytes_recursive", 2 * MEGABYTE), ("io_serviced_recursive", 1)):
        entries = [e for e in found[kind] or () if f"{e['major']}:{e['minor']}" == disk]
        assert sum(e["value"] for e in entries if e["op"].lower() == "write") >= least
    told = shared_engine.succeed("stats", "--no-stream", "--format", "{{.BlockIO}}", container)
    assert not told.endswith(" 0B")


def test_the_rates_of_a_disk_reach_the_kernel(shared_engine: Engine, run: Make) -> None:
    disk = disk_below(shared_engine)
    path = f"/dev/{Path(f'/sys/dev/block/{disk}').resolve().name}"
    if not Path(path).exists():
        pytest.skip("the disk has no device node here")
    host = {
        "BlkioDeviceWriteBps": [{"Path": path, "Rate": MEGABYTE}],
        "BlkioDeviceReadIOps": [{"Path": path, "Rate": 50}],
        "NetworkMode": "none",
    }
    container = run("sleep", "1000", HostConfig=host)
    pid = call(shared_engine, "GET", f"/containers/{container}/json").body["State"]["Pid"]
    if call(shared_engine, "GET", "/info").body["CgroupVersion"] == "2":
        told = shared_engine.succeed("exec", container, "cat", "/sys/fs/cgroup/io.max")
        assert told == f"{disk} rbps=max wbps={MEGABYTE} riops=50 wiops=max"
        return
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    [below] = [line.split(":")[2] for line in lines if line.split(":")[1] == "blkio"]
    folder = Path("/sys/fs/cgroup/blkio" + below)
    written = folder / "blkio.throttle.write_bps_device"
    assert written.read_text().strip() == f"{disk} {MEGABYTE}"
    assert (folder / "blkio.throttle.read_iops_device").read_text().strip() == f"{disk} 50"
