"""What a container shares with its host when asked: namespaces, devices, privileges."""

import os
from pathlib import Path

import pytest

from support.calls import Make, call, ended, logged
from support.engines import Engine

CAPABILITIES = "grep -E '^(CapEff|CapBnd|Seccomp):' /proc/self/status | cut -f2"

pytestmark = [pytest.mark.needs("docker", "busybox", "root")]


def printed(engine: Engine, run: Make, script: str, **host: object) -> list[str]:
    """Return the lines that a script prints in a container."""
    container = run("sh", "-c", script, HostConfig={"NetworkMode": "none", **host})
    assert ended(engine, container) == 0, logged(engine, container)
    return logged(engine, container).decode().splitlines()


def own_capabilities(engine: Engine) -> str:
    status = Path(f"/proc/{engine.pid}/status").read_text()
    return next(line for line in status.splitlines() if line.startswith("CapPrm")).split()[1]


@pytest.mark.parametrize(
    ("field", "kind"),
    [("PidMode", "pid"), ("IpcMode", "ipc"), ("UTSMode", "uts"), ("CgroupnsMode", "cgroup")],
)
def test_a_mode_of_the_host_shares_that_namespace_alone(
    shared_engine: Engine, run: Make, field: str, kind: str
) -> None:
    kinds = ["pid", "ipc", "uts", "cgroup", "net", "mnt"]
    script = "; ".join(f"readlink /proc/self/ns/{name}" for name in kinds)
    found = dict(zip(kinds, printed(shared_engine, run, script, **{field: "host"}), strict=True))
    shared = {name for name in kinds if found[name] == os.readlink(f"/proc/self/ns/{name}")}
    assert shared == {kind}


def test_an_exec_is_where_its_container_is(shared_engine: Engine, run: Make) -> None:
    host = {"NetworkMode": "none", "PidMode": "host", "UTSMode": "host"}
    container = run("sleep", "1000", HostConfig=host)
    found = shared_engine.succeed(
        "exec", container, "sh", "-c", "hostname; cd /proc/self/ns; readlink pid; readlink ipc"
    ).split()
    assert found[:2] == [os.uname().nodename, os.readlink("/proc/self/ns/pid")]
    assert found[2] != os.readlink("/proc/self/ns/ipc")


def test_the_hosts_names_and_an_own_one_contradict_each_other(
    shared_engine: Engine, busybox: str
) -> None:
    host = {"NetworkMode": "none", "UTSMode": "host"}
    body = {"Image": busybox, "Hostname": "mine", "Cmd": ["true"], "HostConfig": host}
    reply = call(shared_engine, "POST", "/containers/create", body)
    assert reply.status == 400
    assert reply.message == "conflicting options: hostname and the UTS mode"


def test_a_container_is_privileged_only_when_asked(shared_engine: Engine, run: Make) -> None:
    effective, bounding, seccomp = printed(shared_engine, run, CAPABILITIES)
    assert (effective, bounding, seccomp) == ("00000000a80425fb", "00000000a80425fb", "2")


def test_a_privileged_container_may_what_its_engine_may(shared_engine: Engine, run: Make) -> None:
    effective, bounding, seccomp = printed(shared_engine, run, CAPABILITIES, Privileged=True)
    own = own_capabilities(shared_engine)
    assert (effective, bounding, seccomp) == (own, own, "0")


def test_a_privileged_container_mounts_and_sets_kernel_parameters(
    shared_engine: Engine, run: Make
) -> None:
    script = (
        "mkdir /m && mount -t tmpfs x /m && echo 17 > /proc/sys/net/ipv4/ip_default_ttl && "
        "cat /proc/sys/net/ipv4/ip_default_ttl"
    )
    assert printed(shared_engine, run, script, Privileged=True) == ["17"]


def test_a_privileged_container_has_the_hosts_devices(shared_engine: Engine, run: Make) -> None:
    of_host = {
        entry.name
        for entry in os.scandir("/dev")
        if not entry.is_symlink() and not entry.is_dir() and entry.name not in ("console", "ptmx")
    }
    assert of_host <= set(printed(shared_engine, run, "ls /dev", Privileged=True))


def test_a_privileged_exec_may_more_than_its_container(shared_engine: Engine, run: Make) -> None:
    container = run("sleep", "1000", HostConfig={"NetworkMode": "none"})
    found = shared_engine.succeed("exec", "--privileged", container, "sh", "-c", CAPABILITIES)
    assert found.split() == [own_capabilities(shared_engine)] * 2 + ["0"]


def test_a_device_is_shown_where_it_was_asked_for(shared_engine: Engine, run: Make) -> None:
    asked = {"PathOnHost": "/dev/zero", "PathInContainer": "/dev/deep/nought"}
    script = "head -c 3 /dev/deep/nought | od -An -tx1; stat -c %t:%T /dev/deep/nought"
    found = printed(shared_engine, run, script, Devices=[asked])
    assert [line.strip() for line in found] == ["00 00 00", "1:5"]


def test_a_device_node_made_inside_cannot_be_opened(shared_engine: Engine, run: Make) -> None:
    script = "mknod /tmp/z c 1 5 && head -c 1 /tmp/z 2>&1; true"
    (line,) = printed(shared_engine, run, script, Devices=[{"PathOnHost": "/dev/zero"}])
    assert "Permission denied" in line


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"PathOnHost": "/dev/none-such"}, "no such device of the host"),
        ({"PathOnHost": "/etc/passwd"}, "no such device of the host"),
        ({"PathOnHost": "/dev/zero", "PathInContainer": "/dev/null"}, "every container's own"),
        ({"PathOnHost": "/dev/zero", "CgroupPermissions": "rwx"}, "bad mode"),
        ({"PathOnHost": "/dev/zero", "CgroupPermissions": "r"}, "given whole"),
    ],
)
def test_a_device_that_cannot_be_is_refused(
    shared_engine: Engine, busybox: str, asked: dict[str, str], words: str
) -> None:
    host = {"NetworkMode": "none", "Devices": [asked]}
    body = {"Image": busybox, "Cmd": ["true"], "HostConfig": host}
    reply = call(shared_engine, "POST", "/containers/create", body)
    assert reply.status in (400, 501)
    assert words in reply.message
    assert asked["PathOnHost"] in reply.message or "PathInContainer" in asked


def test_a_kernel_parameter_of_its_own_namespaces_can_be_set(
    shared_engine: Engine, run: Make
) -> None:
    asked = {"net.core.somaxconn": "77", "kernel.msgmax": "4321"}
    script = "cat /proc/sys/net/core/somaxconn /proc/sys/kernel/msgmax"
    assert printed(shared_engine, run, script, Sysctls=asked) == ["77", "4321"]


def test_a_kernel_parameter_that_is_none_is_named_at_the_start(
    shared_engine: Engine, make: Make
) -> None:
    container = make("true", HostConfig={"NetworkMode": "none", "Sysctls": {"net.none.such": "1"}})
    reply = call(shared_engine, "POST", f"/containers/{container}/start")
    assert "cannot set sysctl net.none.such=1: no such file or directory" in reply.message
