"""Limits bind, on whatever cgroups the machine has, and what meets them is told."""

import re

import pytest

from support.calls import Make, begin, call, ended, logged, state
from support.engines import Engine

MEGABYTE = 1 << 20


pytestmark = [
    pytest.mark.cgroup2,
    pytest.mark.needs("docker", "busybox"),
    pytest.mark.usefixtures("limits"),
]


def first_line(engine: Engine, container: str) -> bytes:
    """Wait for a line of output, which is said when the container is where a test wants it."""
    connection, response = begin(engine, "GET", f"/containers/{container}/logs?follow=1&stdout=1")
    response.read(8)
    line = response.readline()
    connection.close()
    return line


def unified(engine: Engine) -> None:
    if call(engine, "GET", "/info").body["CgroupVersion"] != "2":
        pytest.skip("the machine runs cgroup v1")


def test_a_container_that_needs_more_memory_than_it_may_have_says_so(
    shared_engine: Engine, run: Make
) -> None:
    limits = {"Memory": 16 * MEGABYTE, "MemorySwap": 16 * MEGABYTE}
    container = run("sh", "-c", "exec tail < /dev/zero", HostConfig=limits)
    assert ended(shared_engine, container) == 137
    assert state(shared_engine, container)["OOMKilled"]


def test_memory_enough_is_not_told_as_too_little(shared_engine: Engine, run: Make) -> None:
    container = run("sh", "-c", "exit 3", HostConfig={"Memory": 64 * MEGABYTE})
    assert ended(shared_engine, container) == 3
    assert not state(shared_engine, container)["OOMKilled"]


def test_there_are_as_many_processes_as_the_limit_says(shared_engine: Engine, run: Make) -> None:
    # The shell is one; it leaves at the first that it cannot have.
    script = "for i in 1 2 3 4 5 6 7; do sleep 100 & echo $i; done"
    container = run("sh", "-c", script, HostConfig={"PidsLimit": 5})
    ended(shared_engine, container)
    said = logged(shared_engine, container)
    assert said.startswith(b"1\n2\n3\n4\n")
    assert b"5\n" not in said
    assert b"can't fork" in said


def test_an_exec_is_bound_by_the_containers_limits(shared_engine: Engine, run: Make) -> None:
    script = "sleep 100 & sleep 100 & echo ready; wait"
    container = run("sh", "-c", script, HostConfig={"PidsLimit": 4})
    assert first_line(shared_engine, container) == b"ready\n"
    # The exec's shell is the fourth.
    fork = ("sh", "-c", "true & wait; echo no")
    done = shared_engine.docker("exec", container, *fork)
    assert b"no" not in done.stdout
    assert b"can't fork" in done.stderr


def test_a_quota_holds_a_container_back(shared_engine: Engine, run: Make) -> None:
    limits = {"CpuQuota": 5000, "CpuPeriod": 50000}
    container = run("sh", "-c", "while :; do :; done", HostConfig=limits)
    found = call(shared_engine, "GET", f"/containers/{container}/stats?stream=0").body
    throttling = found["cpu_stats"]["throttling_data"]
    assert throttling["periods"] >= throttling["throttled_periods"] > 0
    assert throttling["throttled_time"] > 0


def test_a_container_sees_its_own_limits_and_cannot_change_them(
    shared_engine: Engine, run: Make
) -> None:
    unified(shared_engine)
    files = "memory.max memory.swap.max memory.low pids.max cpu.max cpu.weight"
    script = (
        f"cd /sys/fs/cgroup; for name in {files}; do cat $name; done; cat /proc/self/cgroup;"
        " echo max > memory.max; mkdir below; ls -d /sys/fs/cgroup/../ipycontainer"
    )
    limits = {
        "Memory": 32 * MEGABYTE,
        "MemorySwap": 48 * MEGABYTE,
        "MemoryReservation": 8 * MEGABYTE,
        "PidsLimit": 20,
        "CpuQuota": 50000,
        "CpuShares": 512,
    }
    container = run("sh", "-c", script, HostConfig=limits)
    ended(shared_engine, container)
    told = logged(shared_engine, container).decode()
    mebibytes = [f"{size * MEGABYTE}\n" for size in (32, 16, 8)]
    # The weight is what Docker's engine makes of 512 shares.
    assert told.startswith("".join(mebibytes) + "20\n50000 100000\n20\n0::/\n")
    assert len(re.findall("Read-only file system", told)) == 2
    assert "No such file" in told


def test_what_a_machine_cannot_bind_is_told(shared_engine: Engine, make: Make) -> None:
    info = call(shared_engine, "GET", "/info").body
    unbound = not info["CPUSet"]
    body = {
        "Image": "busybox",
        "HostConfig": {"CpusetCpus": "0", "NetworkMode": "none"},
    }
    reply = call(shared_engine, "GET", f"/containers/{make('true')}/json").body
    body["Image"] = reply["Image"]
    made = call(shared_engine, "POST", "/containers/create", body).body
    call(shared_engine, "DELETE", f"/containers/{made['Id']}")
    assert any("cpuset" in warning for warning in made["Warnings"]) == unbound
