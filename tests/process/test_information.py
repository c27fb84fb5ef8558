"""What `info` and `version` tell has every field that Docker's engine tells, in its types."""

import json
from typing import Any

import pytest

from support.calls import call
from support.engines import Engine
from support.hosts import Host

# Docker's newer engines have no such limit any more, nor have we.
GONE = {"KernelMemory"}

pytestmark = pytest.mark.needs("docker", "dockerd")


def told(host: Host, path: str) -> dict[str, Any]:
    found = call(host, "GET", path).body
    assert isinstance(found, dict)
    return found


def shape(value: object) -> object:
    """Return the types of a document's fields; a list and nothing are one, as for Go."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    return "list" if value is None or isinstance(value, list) else type(value).__name__


def test_info_has_every_field_in_its_type(engine: Engine, dockerd: Host) -> None:
    ours, docker = told(engine, "/info"), told(dockerd, "/info")
    assert set(docker) - set(ours) - GONE == set()
    plain = [n for n in docker if n in ours and not isinstance(docker[n], dict)]
    assert {n: shape(ours[n]) for n in plain} == {n: shape(docker[n]) for n in plain}
    assert set(docker["Swarm"]) - set(ours["Swarm"]) == {"Cluster"} & set(docker["Swarm"])


def test_info_tells_the_same_of_the_machine(engine: Engine, dockerd: Host) -> None:
    ours, docker = told(engine, "/info"), told(dockerd, "/info")
    same = (
        *("NCPU", "MemTotal", "KernelVersion", "OperatingSystem", "OSVersion", "OSType", "Name"),
        *("Architecture", "CgroupVersion", "IPv4Forwarding", "MemoryLimit", "SwapLimit"),
        *("CpuCfsPeriod", "CpuCfsQuota", "CPUShares", "CPUSet", "PidsLimit", "LoggingDriver"),
    )
    assert {name: ours[name] for name in same} == {name: docker[name] for name in same}


def test_version_has_every_field(engine: Engine, dockerd: Host) -> None:
    ours, docker = told(engine, "/version"), told(dockerd, "/version")
    assert set(docker) <= set(ours)
    [own] = ours["Components"]
    assert set(docker["Components"][0]["Details"]) == set(own["Details"])


@pytest.mark.parametrize("verb", ["info", "version"])
def test_the_docker_command_prints_every_line(engine: Engine, dockerd: Host, verb: str) -> None:
    ours = engine.succeed(verb).splitlines()
    assert not [line for line in ours if "<no value>" in line]
    assert json.loads(engine.succeed(verb, "--format", "{{json .}}"))
    own = {line.split(":")[0] for line in dockerd.succeed(verb).splitlines()}
    missing = own - {line.split(":")[0] for line in ours}
    # Parts that Docker's engine is made of, and its networks' kernel settings.
    parts = {" containerd", " runc", " docker-init", "  GitCommit", "Server", "  127.0.0.0/8"}
    assert missing - parts == set()


def test_containers_are_counted_by_their_state(engine: Engine, busybox: str) -> None:
    engine.succeed("pull", "-q", busybox)
    for name in ("running", "paused"):
        engine.succeed("run", "-d", "--network", "none", "--name", name, busybox, "sleep", "60")
    engine.succeed("create", "--network", "none", busybox)
    engine.succeed("pause", "paused")
    info = told(engine, "/info")
    counts = [info[f"Containers{kind}"] for kind in ("", "Running", "Paused", "Stopped")]
    assert counts == [3, 1, 1, 1]
