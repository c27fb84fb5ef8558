"""The bundle that the engine composes: pure, so it is looked at without a container."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from ipycontainer_runtime.engine.cgroups import Cgroups
from ipycontainer_runtime.engine.create import check_host, complete
from ipycontainer_runtime.engine.hostfiles import write_host_files
from ipycontainer_runtime.engine.mounts import place
from ipycontainer_runtime.engine.mountspecs import asked, in_order
from ipycontainer_runtime.engine.security import security
from ipycontainer_runtime.engine.spec import build_spec, environment
from ipycontainer_runtime.linux.grade import RANGE, ROOT, Grade
from ipycontainer_runtime.oci.runtime import Mount, Spec
from ipycontainer_runtime.paths import Paths
from ipycontainer_runtime.store.records import Config, HostConfig, Record
from support.mounts import no_image

PATHS = Paths(Path("/no/root"), Path("/no/run"))


def record(host: dict[str, Any] | None = None, **config: Any) -> Record:
    made = Record(
        id=64 * "a",
        name="x",
        created="2024-01-01T00:00:00Z",
        created_ns=0,
        image="sha256:" + 64 * "b",
        chain=[],
        platform="linux",
        config=msgspec.convert({"Cmd": ["true"], **config}, Config),
        host_config=msgspec.convert(host or {}, HostConfig),
    )
    check_host(made.host_config)
    made.mounts = in_order(one.point for one in asked(made.host_config).values())
    complete(made.config, made.host_config, made.id)
    return made


def bundle(made: Record, *, rootless: bool = False) -> Spec:
    root = Mount("overlay", "overlay", "/")
    return build_spec(
        made,
        folder="/c",
        rootfs=[root],
        placed=place(made.mounts, PATHS, {}, no_image),
        security=security(made.host_config),
        seccomp="/f.bpf",
        cgroups=Cgroups(),
        grade=Grade(RANGE if rootless else ROOT),
    )


def mount_at(spec: Spec, destination: str) -> dict[str, Any]:
    (found,) = (mount for mount in spec["mounts"] if mount["destination"] == destination)
    return found


def test_no_mount_but_the_terminals_and_binds_lacks_nodev() -> None:
    # The launcher makes every bind nodev itself.
    lacking = {
        mount["destination"]
        for mount in bundle(record())["mounts"]
        if "nodev" not in mount["options"] and mount["type"] != "bind"
    }
    assert lacking == {"/dev/pts"}


def test_the_network_namespace_is_the_hosts_only_where_that_was_asked_for() -> None:
    def kinds(mode: str) -> set[str]:
        spec = bundle(record({"NetworkMode": mode}))
        return {namespace["type"] for namespace in spec["linux"]["namespaces"]}

    own = {"mount", "pid", "ipc", "uts", "cgroup"}
    assert kinds("none") == kinds("default") == own | {"network"}
    assert kinds("host") == own
    assert bundle(record({"NetworkMode": "none"}))["ipycontainer"]["loopback"]


def test_a_rootless_container_on_the_hosts_network_shows_the_hosts_sysfs() -> None:
    shared = record({"NetworkMode": "host"})
    assert mount_at(bundle(shared), "/sys")["type"] == "sysfs"
    sysfs = mount_at(bundle(shared, rootless=True), "/sys")
    assert sysfs["type"] == "bind"
    assert "ro" in sysfs["options"]


def test_rootless_means_no_new_privileges() -> None:
    assert bundle(record(), rootless=True)["process"]["noNewPrivileges"]
    assert not bundle(record())["process"]["noNewPrivileges"]


def test_nothing_is_inheritable_or_ambient() -> None:
    sets = bundle(record())["process"]["capabilities"]
    assert sets["inheritable"] == sets["ambient"] == []
    assert sets["bounding"] == sets["permitted"] == sets["effective"]


def test_the_hidden_paths_are_dockers_and_more() -> None:
    linux = bundle(record())["linux"]
    assert {"/proc/kcore", "/proc/keys", "/proc/interrupts", "/sys/firmware"} <= set(
        linux["maskedPaths"]
    )
    assert {"/proc/sys", "/proc/sysrq-trigger"} <= set(linux["readonlyPaths"])


def test_binds_and_tmpfs_come_after_the_system_and_by_depth(tmp_path: Path) -> None:
    host = {"Binds": [f"{tmp_path}:/a/b", f"{tmp_path}:/a:ro"], "Tmpfs": {"/t": "size=1m,exec"}}
    mounts = bundle(record(host))["mounts"]
    assert [mount["destination"] for mount in mounts][-3:] == ["/a", "/t", "/a/b"]
    assert "rro" in mounts[-3]["options"]
    assert "ro" not in mounts[-1]["options"]
    assert {"nosuid", "nodev", "size=1m"} == set(mounts[-2]["options"])


def test_shared_memory_has_its_size_and_can_be_left_out() -> None:
    shm = mount_at(bundle(record({"ShmSize": 1 << 20})), "/dev/shm")
    assert "size=1048576" in shm["options"]
    without = bundle(record({"IpcMode": "none"}))
    assert not [mount for mount in without["mounts"] if mount["destination"] == "/dev/shm"]


def test_limits_and_size_of_a_terminal_are_passed_on() -> None:
    host = {
        "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}],
        "ConsoleSize": [24, 80],
        "OomScoreAdj": 5,
        "Sysctls": {"net.ipv4.ip_forward": "1"},
        "GroupAdd": ["audio"],
    }
    spec = bundle(record(host, Tty=True, User="app:app"))
    assert spec["process"]["rlimits"] == [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2}]
    assert spec["process"]["consoleSize"] == {"height": 24, "width": 80}
    assert spec["process"]["oomScoreAdj"] == 5
    low_ports = {"net.ipv4.ip_unprivileged_port_start": "0"}
    assert spec["linux"]["sysctl"] == {**low_ports, "net.ipv4.ip_forward": "1"}
    assert spec["ipycontainer"]["groups"] == ["audio"]
    assert spec["ipycontainer"]["user"] == "app:app"


def test_the_environment_has_dockers_own_and_the_containers_over_them() -> None:
    made = record(Env=["A=1", "PATH=/mine", "HOSTNAME"], Hostname="h")
    assert environment(made, tty=True, extra=["A=2", "NEW=x"]) == [
        "PATH=/mine",
        "TERM=xterm",
        "A=2",
        "NEW=x",
    ]


@pytest.mark.parametrize("mode", ["none", "host"])
def test_host_files_say_what_was_asked_for(tmp_path: Path, mode: str) -> None:
    host = {
        "NetworkMode": mode,
        "Dns": ["192.0.2.1"],
        "DnsSearch": ["a.example", "b.example"],
        "DnsOptions": ["ndots:2"],
        "ExtraHosts": ["one:192.0.2.7", "two:2001:db8::1"],
    }
    write_host_files(record(host, Hostname="here"), str(tmp_path))
    assert (tmp_path / "hostname").read_text() == "here\n"
    resolver = (tmp_path / "resolv.conf").read_text()
    assert [line for line in resolver.splitlines() if line.startswith("nameserver")] == [
        "nameserver 192.0.2.1"
    ]
    assert "search a.example b.example\noptions ndots:2\n" in resolver
    hosts = (tmp_path / "hosts").read_text()
    assert "127.0.0.1" in hosts
    assert hosts.endswith("192.0.2.7\tone\n2001:db8::1\ttwo\n")
    assert (tmp_path / "hosts").stat().st_mode & 0o777 == 0o644
