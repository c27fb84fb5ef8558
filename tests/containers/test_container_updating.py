"""Update: other limits bind at once and at the next start, and what cannot be is refused."""

from typing import Any

import pytest

from support.calls import Make, Reply, call, start
from support.engines import Engine

MEGABYTE = 1 << 20
SLEEP = ("sleep", "1000")

pytestmark = [
    pytest.mark.cgroup2,
    pytest.mark.needs("docker", "busybox"),
    pytest.mark.usefixtures("limits"),
]

# By the cgroup's version: the file of each limit, and what is in it after `WANTED`.
WANTED = {
    "Memory": 48 * MEGABYTE,
    "MemorySwap": 64 * MEGABYTE,
    "MemoryReservation": 8 * MEGABYTE,
    "CpuShares": 512,
    "NanoCpus": 500_000_000,
    "PidsLimit": 30,
}
FILES = {
    "1": {
        "memory/memory.limit_in_bytes": str(48 * MEGABYTE),
        "memory/memory.soft_limit_in_bytes": str(8 * MEGABYTE),
        "cpu/cpu.shares": "512",
        "cpu/cpu.cfs_quota_us": "50000",
        "pids/pids.max": "31",  # one is the engine's own
    },
    "2": {
        "memory.max": str(48 * MEGABYTE),
        "memory.low": str(8 * MEGABYTE),
        "cpu.weight": "20",
        "cpu.max": "50000 100000",
        "pids.max": "30",
    },
}


def update(engine: Engine, container: str, **asked: Any) -> Reply:
    return call(engine, "POST", f"/containers/{container}/update", asked)


def host_config(engine: Engine, container: str) -> dict[str, Any]:
    found = call(engine, "GET", f"/containers/{container}/json").body["HostConfig"]
    assert isinstance(found, dict)
    return found


def seen(engine: Engine, container: str) -> dict[str, str]:
    """Return what the container reads of its own limits."""
    files = FILES[call(engine, "GET", "/info").body["CgroupVersion"]]
    done = engine.docker("exec", container, "sh", "-c", f"cd /sys/fs/cgroup; cat {' '.join(files)}")
    return dict(zip(files, done.stdout.decode().splitlines(), strict=True))


def wanted(engine: Engine) -> dict[str, str]:
    return FILES[call(engine, "GET", "/info").body["CgroupVersion"]]


def test_limits_of_a_running_container_bind_at_once(shared_engine: Engine, run: Make) -> None:
    container = run(*SLEEP, HostConfig={"Memory": 200 * MEGABYTE, "PidsLimit": 100})
    assert update(shared_engine, container, **WANTED).status == 200
    assert seen(shared_engine, container) == wanted(shared_engine)
    assert WANTED.items() <= host_config(shared_engine, container).items()


def test_limits_of_a_stopped_container_bind_at_its_start(shared_engine: Engine, make: Make) -> None:
    container = make(*SLEEP)
    assert update(shared_engine, container, **WANTED).status == 200
    start(shared_engine, container)
    assert seen(shared_engine, container) == wanted(shared_engine)


def test_limits_can_be_lifted(shared_engine: Engine, run: Make) -> None:
    container = run(*SLEEP, HostConfig={"PidsLimit": 5, "CpuQuota": 20000})
    assert update(shared_engine, container, PidsLimit=0, CpuQuota=-1).status == 200
    found = seen(shared_engine, container)
    assert "max" in (found.get("pids.max"), found.get("pids/pids.max"))
    assert (found.get("cpu.max"), found.get("cpu/cpu.cfs_quota_us")) in [
        ("max 100000", None),
        (None, "-1"),
    ]


def test_a_running_container_gets_other_processors(shared_engine: Engine, run: Make) -> None:
    info = call(shared_engine, "GET", "/info").body
    if not info["CPUSet"] or info["NCPU"] < 2:
        pytest.skip("one processor, or no cpuset")
    # Many processes, which come and go while they are moved.
    container = run("sh", "-c", "while :; do true & true & wait; done")
    assert update(shared_engine, container, CpusetCpus="0").status == 200
    # An exec is a child of the shim, whose cgroup is the container's.
    status = ("cat", "/proc/1/status", "/proc/self/status")
    told = shared_engine.succeed("exec", container, *status)
    allowed = [line.split()[1] for line in told.splitlines() if "Cpus_allowed_list" in line]
    assert allowed == ["0", "0"]


def test_limits_outlive_the_engine(shared_engine: Engine, make: Make) -> None:
    container = make(*SLEEP)
    update(shared_engine, container, **WANTED)
    shared_engine.kill()
    shared_engine.start()
    assert WANTED.items() <= host_config(shared_engine, container).items()


def test_what_is_not_given_stays(shared_engine: Engine, make: Make) -> None:
    container = make(*SLEEP, HostConfig={"CpuShares": 300, "PidsLimit": 9})
    before = host_config(shared_engine, container)
    assert update(shared_engine, container, Memory=0, CpusetCpus="").body == {"Warnings": None}
    assert host_config(shared_engine, container) == before


def test_less_memory_than_is_in_use_is_refused_on_v1(shared_engine: Engine, run: Make) -> None:
    if call(shared_engine, "GET", "/info").body["CgroupVersion"] != "1":
        pytest.skip("the machine runs cgroup v2, which kills instead")
    script = "head -c 40000000 /dev/zero > /dev/shm/x; echo; sleep 1000"
    limits = {"Memory": 100 * MEGABYTE, "MemorySwap": 100 * MEGABYTE, "PidsLimit": 9}
    container = run("sh", "-c", script, HostConfig=limits)
    logs = shared_engine.client.containers.get(container).logs(follow=True, stream=True)
    assert next(iter(logs)) == b"\n"
    before = host_config(shared_engine, container)
    less = 8 * MEGABYTE
    reply = update(shared_engine, container, Memory=less, MemorySwap=less, PidsLimit=5)
    assert reply.status == 409
    assert "more is in use now" in reply.message
    assert host_config(shared_engine, container) == before
    assert seen(shared_engine, container)["pids/pids.max"] == "10"


def test_a_restart_policy_is_changed(shared_engine: Engine, run: Make) -> None:
    container = run("sleep", "0.2")
    policy = {"Name": "on-failure", "MaximumRetryCount": 2}
    assert update(shared_engine, container, RestartPolicy=policy).status == 200
    assert host_config(shared_engine, container)["RestartPolicy"] == policy


@pytest.mark.parametrize(
    ("has", "asked", "status", "words"),
    [
        ({}, {"Memory": 1 << 20}, 400, "Minimum memory limit allowed is 6MB"),
        ({}, {"CpuShares": 1}, 400, "Invalid value 1 for CPU shares"),
        ({}, {"CpusetCpus": "999"}, 400, "Requested CPUs are not available"),
        ({}, {"RestartPolicy": {"Name": "often"}}, 400, "invalid restart policy"),
        ({}, {"Ulimits": [{"Name": "nofile"}]}, 400, "HostConfig.Ulimits cannot be updated"),
        ({}, {"Binds": ["/:/x"]}, 400, "HostConfig.Binds cannot be updated"),
        ({}, {"KernelMemory": 1 << 30}, 501, "HostConfig.KernelMemory is not supported"),
        ({}, {"Memory": "much"}, 400, "invalid JSON"),
        ({"NanoCpus": 10**9}, {"CpuQuota": 5000}, 409, "CPU Quota cannot be updated as NanoCPUs"),
        ({"CpuPeriod": 5000}, {"NanoCpus": 10**9}, 409, "Nano CPUs cannot be updated as CPU Pe"),
        ({"Memory": 20 << 20}, {"Memory": 100 << 20}, 409, "update the memoryswap at the same"),
        ({"Memory": 20 << 20}, {"MemorySwap": 10 << 20}, 409, "update the memory limit at the sa"),
        ({"AutoRemove": True}, {"RestartPolicy": {"Name": "always"}}, 409, "AutoRemove is enabled"),
    ],
)
def test_what_cannot_be_is_refused(
    shared_engine: Engine,
    make: Make,
    has: dict[str, Any],
    asked: dict[str, Any],
    status: int,
    words: str,
) -> None:
    container = make(*SLEEP, HostConfig=has)
    reply = update(shared_engine, container, **asked)
    assert (reply.status, words in reply.message) == (status, True), reply.message


def test_docker_and_docker_py_update(shared_engine: Engine, run: Make) -> None:
    container = run(*SLEEP)
    told = shared_engine.succeed("update", "--cpus", "0.5", "--pids-limit", "30", container)
    assert told.strip() == container
    shared_engine.client.containers.get(container).update(
        mem_limit=48 << 20, memswap_limit=64 << 20
    )
    found = host_config(shared_engine, container)
    assert (found["NanoCpus"], found["PidsLimit"], found["Memory"]) == (500_000_000, 30, 48 << 20)
