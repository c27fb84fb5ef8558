"""Every field of Config and HostConfig in the Engine API 1.44 works, or is refused by its name.

The lists are those of https://docs.docker.com/reference/api/engine/version/v1.44/, ContainerCreate.
"""

from typing import Any, NamedTuple

import msgspec
import pytest

from ipycontainer_runtime.store.records import Config, HostConfig
from support.calls import Make, call, ended, logged
from support.engines import Engine

pytestmark = pytest.mark.needs("docker", "busybox", "root")


class Works(NamedTuple):
    """With this value a container prints this; without a script, inspect gives the value back."""

    value: Any
    script: str = ""
    printed: str = ""


class Refused(NamedTuple):
    """With this value the creation fails with this status and the field's name."""

    value: Any
    status: int = 501
    words: str = ""


CGROUP = "cat /sys/fs/cgroup"
BLOCK = {"Path": "/dev/null", "Rate": 1}
NO_DISK = "is no block device"

CONFIG: dict[str, Works | Refused] = {
    "Hostname": Works("here", "hostname", "here"),
    "Domainname": Works("example.org", "cat /proc/sys/kernel/domainname", "example.org"),
    "User": Works("33:44", "id -u; id -g", "33\n44"),
    "AttachStdin": Works(True),
    "AttachStdout": Works(True),
    "AttachStderr": Works(True),
    "ExposedPorts": Works({"80/tcp": {}}),
    "Tty": Works(True, "tty", "/dev/pts/0"),
    "OpenStdin": Works(True),
    "StdinOnce": Works(True),
    "Env": Works(["A=b c"], 'echo "$A"', "b c"),
    "Cmd": Works(["echo", "words"], "", "words"),
    "Healthcheck": Works({"Test": ["CMD", "true"]}),
    "ArgsEscaped": Refused(True),
    "Image": Works("busybox"),
    "Volumes": Works({"/data": {}}),
    "WorkingDir": Works("/tmp", "pwd", "/tmp"),
    "Entrypoint": Works(["echo", "entered"], "", "entered true"),
    "NetworkDisabled": Works(True, "ip -o link | wc -l", "1"),
    "MacAddress": Works("02:42:ac:11:00:02"),
    "OnBuild": Works(["RUN true"]),
    "Labels": Works({"a": "b"}),
    "StopSignal": Works("SIGUSR1"),
    "StopTimeout": Works(7),
    "Shell": Works(["/bin/sh"]),
}
HOST: dict[str, Works | Refused] = {
    "CpuShares": Works(512),
    "Memory": Works(64 << 20),
    "CgroupParent": Refused("/other"),
    "BlkioWeight": Works(300),
    "BlkioWeightDevice": Refused([{"Path": "/dev/null", "Weight": 300}], 400, NO_DISK),
    "BlkioDeviceReadBps": Refused([BLOCK], 400, NO_DISK),
    "BlkioDeviceWriteBps": Refused([BLOCK], 400, NO_DISK),
    "BlkioDeviceReadIOps": Refused([BLOCK], 400, NO_DISK),
    "BlkioDeviceWriteIOps": Refused([BLOCK], 400, NO_DISK),
    "CpuPeriod": Works(50000),
    "CpuQuota": Works(20000),
    "CpuRealtimePeriod": Refused(1000),
    "CpuRealtimeRuntime": Refused(1000),
    "CpusetCpus": Works("0", "grep Cpus_allowed_list /proc/self/status", "Cpus_allowed_list:\t0"),
    "CpusetMems": Works("0"),
    "Devices": Works(
        [{"PathOnHost": "/dev/full", "PathInContainer": "/dev/mine", "CgroupPermissions": "rwm"}],
        "stat -c %t:%T /dev/mine",
        "1:7",
    ),
    "DeviceCgroupRules": Refused(["c 1:1 rwm"]),
    "DeviceRequests": Refused([{"Driver": "nvidia"}]),
    "KernelMemory": Refused(64 << 20),
    "KernelMemoryTCP": Refused(64 << 20),
    "MemoryReservation": Works(16 << 20),
    "MemorySwap": Refused(64 << 20, 400, "You should always set the Memory limit"),
    "MemorySwappiness": Works(0),
    "NanoCpus": Works(500_000_000),
    "OomKillDisable": Works(True),
    "Init": Works(True, "test $$ -gt 1 && echo child", "child"),
    "PidsLimit": Works(50),
    "Ulimits": Works([{"Name": "nofile", "Soft": 77, "Hard": 88}], "ulimit -n", "77"),
    "CpuCount": Refused(1),
    "CpuPercent": Refused(1),
    "IOMaximumIOps": Refused(1),
    "IOMaximumBandwidth": Refused(1),
    "Binds": Works(["/etc/os-release:/mine:ro"], "grep -c ^ID= /mine", "1"),
    "ContainerIDFile": Works("/tmp/id"),
    "LogConfig": Works({"Type": "local", "Config": {}}, "echo logged", "logged"),
    "NetworkMode": Works("host", "ls /sys/class/net | grep -c lo", "1"),
    "PortBindings": Works({"80/tcp": [{"HostPort": "80"}]}),
    "RestartPolicy": Works({"Name": "unless-stopped", "MaximumRetryCount": 0}),
    "AutoRemove": Works(True),
    "VolumeDriver": Works("local"),
    "VolumesFrom": Refused(["other"], 400, "No such container: other"),
    "Mounts": Works([{"Type": "tmpfs", "Target": "/t"}], "grep -c ' /t tmpfs' /proc/mounts", "1"),
    "ConsoleSize": Works([30, 90]),
    "Annotations": Works({"a": "b"}),
    "CapAdd": Works(["NET_ADMIN"], "grep CapEff /proc/self/status", "CapEff:\t00000000a80435fb"),
    "CapDrop": Works(["ALL"], "grep CapEff /proc/self/status", "CapEff:\t0000000000000000"),
    "CgroupnsMode": Works("host"),
    "Dns": Works(["192.0.2.1"], "cat /etc/resolv.conf", "nameserver 192.0.2.1"),
    "DnsOptions": Works(["ndots:3"], "grep -c 'options ndots:3' /etc/resolv.conf", "1"),
    "DnsSearch": Works(["example.org"], "grep -c 'search example.org' /etc/resolv.conf", "1"),
    "ExtraHosts": Works(["there:192.0.2.2"], "grep there /etc/hosts", "192.0.2.2\tthere"),
    "GroupAdd": Works(["55"], "id -G", "0 55"),
    "IpcMode": Works("host", "readlink /proc/self/ns/ipc | wc -l", "1"),
    "Cgroup": Refused("container:other"),
    "Links": Refused(["other:alias"], 400, "could not get container for other"),
    "OomScoreAdj": Works(500, "cat /proc/self/oom_score_adj", "500"),
    "PidMode": Works("host", "test $$ -gt 1 && echo many", "many"),
    "Privileged": Works(True, "grep Seccomp: /proc/self/status", "Seccomp:\t0"),
    "PublishAllPorts": Works(True),
    "ReadonlyRootfs": Works(True, "touch /x 2>&1", "touch: /x: Read-only file system"),
    "SecurityOpt": Works(["no-new-privileges"], "grep NoNew /proc/self/status", "NoNewPrivs:\t1"),
    "StorageOpt": Refused({"size": "1G"}, 400),
    "Tmpfs": Works({"/t": "size=1m"}, "grep -c ' /t tmpfs.*size=1024k' /proc/mounts", "1"),
    "UTSMode": Works("host"),
    "UsernsMode": Works("host"),
    "ShmSize": Works(1 << 20, "df -k /dev/shm | awk 'NR==2 {print $2}'", "1024"),
    "Sysctls": Works({"kernel.msgmax": "9000"}, "cat /proc/sys/kernel/msgmax", "9000"),
    "Runtime": Works("ipycontainer"),
    "Isolation": Refused("hyperv", 400, "Invalid isolation"),
    "MaskedPaths": Works(["/proc/version"], "wc -c < /proc/version", "0"),
    "ReadonlyPaths": Works(["/tmp"], "touch /tmp/x 2>&1", "touch: /tmp/x: Read-only file system"),
}
CASES = [("Config", name, case) for name, case in CONFIG.items()]
CASES += [("HostConfig", name, case) for name, case in HOST.items()]
WORKS = [case for case in CASES if isinstance(case[2], Works)]
REFUSED = [case for case in CASES if isinstance(case[2], Refused)]


def names(cases: list[tuple[str, str, Works | Refused]]) -> list[str]:
    return [f"{part}.{name}" for part, name, _ in cases]


def body(part: str, name: str, case: Works | Refused, image: str) -> dict[str, Any]:
    host = {"NetworkMode": "none"}
    value = image if name == "Image" else case.value
    script = getattr(case, "script", "")
    asked: dict[str, Any] = {"Image": image, "HostConfig": host}
    asked["Cmd"] = ["sh", "-c", script] if script else ["true"]
    (asked if part == "Config" else host)[name] = value
    return asked


@pytest.mark.parametrize(("part", "name", "case"), WORKS, ids=names(WORKS))
def test_a_field_works(
    shared_engine: Engine, run: Make, make: Make, busybox: str, part: str, name: str, case: Works
) -> None:
    asked = body(part, name, case, busybox)
    image_free = {key: value for key, value in asked.items() if key != "Image"}
    if case.script or case.printed:
        container = run(**image_free)
        ended(shared_engine, container)
        said = logged(shared_engine, container).decode().replace("\r\n", "\n").strip()
        assert said == case.printed
        return
    container = make(**image_free)
    found = call(shared_engine, "GET", f"/containers/{container}/json").body
    given = found["Config"] if part == "Config" else found["HostConfig"]
    assert given[name] == (busybox if name == "Image" else case.value)


@pytest.mark.parametrize(("part", "name", "case"), REFUSED, ids=names(REFUSED))
def test_a_field_is_refused_by_name(
    shared_engine: Engine, busybox: str, part: str, name: str, case: Refused
) -> None:
    reply = call(shared_engine, "POST", "/containers/create", body(part, name, case, busybox))
    assert reply.status == case.status, reply.body
    assert case.words in reply.message
    assert case.words or name in reply.message


def test_the_engine_knows_every_field_and_no_others() -> None:
    assert {field.encode_name for field in msgspec.structs.fields(Config)} == set(CONFIG)
    assert {field.encode_name for field in msgspec.structs.fields(HostConfig)} == set(HOST)


@pytest.mark.parametrize(
    ("endpoints", "status", "words"),
    [
        ({"none": {"Aliases": ["x"]}}, 400, "network-scoped alias"),
        ({"none": {"IPAMConfig": {"IPv4Address": "10.0.0.2"}}}, 400, "user specified IP address"),
        ({"none": {"MacAddress": "zz"}}, 400, "zz is not a valid mac address"),
        ({"none": {"DriverOpts": {"a": "b"}}}, 501, "DriverOpts of endpoints (a)"),
        ({"other": {}}, 400, "private (none) mode"),
    ],
)
def test_settings_of_an_endpoint_are_checked(
    shared_engine: Engine, busybox: str, endpoints: dict[str, Any], status: int, words: str
) -> None:
    asked = {"Image": busybox, "Cmd": ["true"], "HostConfig": {"NetworkMode": "none"}}
    networking = {"NetworkingConfig": {"EndpointsConfig": endpoints}}
    reply = call(shared_engine, "POST", "/containers/create", {**asked, **networking})
    assert reply.status == status, reply.body
    assert words in reply.message


def test_a_seccomp_profile_of_ones_own_is_applied(shared_engine: Engine, run: Make) -> None:
    profile = (
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls":'
        ' [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}'
    )
    container = run("mkdir", "/new", HostConfig={"SecurityOpt": [f"seccomp={profile}"]})
    assert ended(shared_engine, container) == 1
    assert b"Operation not permitted" in logged(shared_engine, container)


def test_what_is_no_seccomp_profile_is_refused(shared_engine: Engine, busybox: str) -> None:
    host = {"NetworkMode": "none", "SecurityOpt": ["seccomp={"]}
    asked = {"Image": busybox, "Cmd": ["true"], "HostConfig": host}
    reply = call(shared_engine, "POST", "/containers/create", asked)
    assert (reply.status, "Decoding seccomp profile failed" in reply.message) == (400, True)
