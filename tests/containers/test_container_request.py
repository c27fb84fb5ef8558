"""A creation request and an image become a container's configuration, or are refused by name."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from ipycontainer_runtime.engine.create import (
    check_host,
    complete,
    creation_warnings,
    merged,
    parse_body,
)
from ipycontainer_runtime.engine.mounts import place
from ipycontainer_runtime.engine.mountspecs import asked
from ipycontainer_runtime.engine.names import checked_name, random_name
from ipycontainer_runtime.engine.resources import limits
from ipycontainer_runtime.engine.security import security
from ipycontainer_runtime.engine.signals import signal_number
from ipycontainer_runtime.errors import ContainerError, InvalidParameter, NotImplementedHere
from ipycontainer_runtime.oci.model import ContainerConfig, Healthcheck
from ipycontainer_runtime.paths import Paths
from ipycontainer_runtime.store.records import Config, HostConfig
from support.mounts import no_image

ID = "0123456789ab" + 52 * "c"
IMAGE = ContainerConfig(
    user="app",
    exposed_ports={"80/tcp": {}},
    env=["PATH=/bin", "A=image", "B=image"],
    entrypoint=["/entry"],
    cmd=["image-command"],
    working_dir="/srv",
    labels={"a": "image", "b": "image"},
    stop_signal="SIGINT",
    healthcheck=Healthcheck(test=["CMD", "true"], retries=3),
)


def merge(**fields: Any) -> Config:
    return merged(parse_body(msgspec.json.encode(fields)), IMAGE)


def host(**fields: Any) -> HostConfig:
    return msgspec.convert(fields, HostConfig)


def refusal(paths: Paths, **fields: Any) -> ContainerError:
    with pytest.raises(ContainerError) as caught:
        check(paths, host(**fields))
    return caught.value


def check(paths: Paths, given: HostConfig) -> None:
    check_host(given)
    place([one.point for one in asked(given).values()], paths, {}, no_image)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "root", tmp_path / "run")


def test_what_is_not_given_is_the_images() -> None:
    config = merge()
    assert config.command == ["/entry", "image-command"]
    assert (config.user, config.working_dir, config.stop_signal) == ("app", "/srv", "SIGINT")
    assert config.healthcheck == IMAGE.healthcheck


def test_a_command_keeps_the_entrypoint_and_an_entrypoint_resets_the_command() -> None:
    assert merge(Cmd=["mine"]).command == ["/entry", "mine"]
    assert merge(Entrypoint=["sh"]).command == ["sh"]
    assert merge(Entrypoint=["sh"], Cmd=["-c", "x"]).command == ["sh", "-c", "x"]
    assert merge(Entrypoint="sh").command == ["sh"]


def test_an_empty_entrypoint_takes_the_images_away() -> None:
    config = merge(Entrypoint=[""], Cmd=["mine"])
    assert config.entrypoint is None
    assert config.command == ["mine"]


def test_environment_labels_and_ports_are_merged_by_name() -> None:
    config = merge(Env=["A=mine", "C"], Labels={"a": "mine"}, ExposedPorts={"53/udp": {}})
    assert config.env == ["A=mine", "C", "PATH=/bin", "B=image"]
    assert config.labels == {"a": "mine", "b": "image"}
    assert config.exposed_ports == {"80/tcp": {}, "53/udp": {}}


def test_a_health_check_is_filled_in_from_the_images() -> None:
    check = merge(Healthcheck={"Interval": 5}).healthcheck
    assert isinstance(check, Healthcheck)
    assert (check.test, check.interval, check.retries) == (["CMD", "true"], 5, 3)


def test_null_means_not_given_for_any_field() -> None:
    body = parse_body(b'{"User": null, "Tty": null, "HostConfig": {"Memory": null}, "Cmd": ["x"]}')
    assert (body.user, body.tty, body.cmd) == ("", False, ["x"])
    assert body.host_config == HostConfig()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"Tty": 3}', b'{"Env": {"A": "b"}}'])
def test_a_body_that_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidParameter, match="invalid JSON"):
        parse_body(body)


def test_no_command_at_all_is_refused() -> None:
    with pytest.raises(InvalidParameter, match=r"^No command specified$"):
        complete(Config(), HostConfig(), ID)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"WorkingDir": "here"}, "working directory 'here' is invalid"),
        ({"Env": ["=x"]}, "invalid environment variable: =x"),
        ({"StopSignal": "SIGFOO"}, "Invalid signal: SIGFOO"),
        ({"Hostname": "-x"}, "invalid hostname format: -x"),
        ({"Hostname": "a\nb"}, "invalid hostname format"),
    ],
)
def test_a_configuration_that_cannot_run_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        complete(merge(**config), HostConfig(), ID)


def test_what_docker_fills_in_is_filled_in() -> None:
    config, given = merge(), host()
    complete(config, given, ID)
    assert config.hostname == "0123456789ab"
    assert given.shm_size == 64 << 20
    assert given.log_config.type == "json-file"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("Devices", [{"PathOnHost": "/dev/null", "CgroupPermissions": "r"}]),
        ("DeviceRequests", [{"Count": -1}]),
        ("CgroupParent", "/x"),
        ("LogConfig", {"Type": "syslog"}),
    ],
)
def test_what_is_not_supported_is_refused_by_name(paths: Paths, field: str, value: object) -> None:
    error = refusal(paths, **{field: value})
    assert isinstance(error, NotImplementedHere)
    assert f"HostConfig.{field}" in str(error)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"Memory": 5 << 20}, "Minimum memory limit allowed is 6MB"),
        ({"Memory": 9 << 20, "MemorySwap": 8 << 20}, "Minimum memoryswap limit should be larger"),
        ({"MemorySwap": 8 << 20}, "You should always set the Memory limit"),
        ({"Memory": 9 << 20, "MemorySwappiness": 101}, "valid memory swappiness range is 0-100"),
        ({"NanoCpus": 10**9, "CpuPeriod": 1000}, "Nano CPUs and CPU Period cannot both be set"),
        ({"NanoCpus": 10**15}, "Range of CPUs is from 0.01 to"),
        ({"CpuPeriod": 1}, "CPU cfs period can not be less than 1ms"),
        ({"CpuQuota": 1}, "CPU cfs quota can not be less than 1ms"),
        ({"CpusetCpus": "a"}, "Invalid value a for cpuset cpus"),
        ({"CpusetCpus": "4000"}, "Requested CPUs are not available - requested 4000"),
        ({"OomScoreAdj": 1001}, "range for oom score adj is"),
        ({"ShmSize": -1}, "SHM size can not be less than 0"),
        ({"CapAdd": ["FLY"]}, "invalid capability"),
        ({"SecurityOpt": ["what"]}, "invalid --security-opt 2"),
        ({"SecurityOpt": ["no-new-privileges=maybe"]}, "invalid --security-opt 2"),
        ({"Binds": ["/a:ro"]}, "invalid volume specification: '/a:ro'"),
        ({"Binds": ["/a:b"]}, "mount path must be absolute"),
        ({"Binds": ["/a:/"]}, "destination can't be '/'"),
        ({"Binds": ["/tmp:/b:what"]}, "invalid mode: what"),
        ({"Binds": ["/tmp:/b", "/etc:/b"]}, "Duplicate mount point: /b"),
        ({"Mounts": [{"Type": "bind", "Source": "/none/x", "Target": "/b"}]}, "does not exist"),
        ({"Mounts": [{"Type": "bind", "Target": "/b"}]}, "Source must not be empty"),
        ({"ExtraHosts": ["nonsense"]}, "bad format for add-host"),
        ({"NanoCpus": 10**5}, "Range of CPUs is from 0.01 to"),
        ({"Dns": ["nonsense"]}, "nonsense is not an ip address"),
        ({"Ulimits": [{"Name": "nosuch"}]}, "invalid ulimit type: nosuch"),
        ({"Ulimits": [{"Name": "nofile", "Soft": 5, "Hard": 4}]}, "soft limit must be less than"),
        ({"Ulimits": [{"Name": "core", "Soft": -1, "Hard": 4}]}, "soft limit must be less than"),
        ({"Sysctls": {"kernel.core_pattern": "|/x"}}, "not in a separate kernel namespace"),
        ({"Sysctls": {"vm.overcommit_memory": "1"}}, "not in a separate kernel namespace"),
        ({"Sysctls": {"net/../kernel/core_pattern": "|/x"}}, "has dots and no slashes"),
        ({"Sysctls": {"net...kernel.core_pattern": "|/x"}}, "has dots and no slashes"),
        ({"Sysctls": {"net.core.somaxconn": "1"}, "NetworkMode": "host"}, "host's network"),
        ({"Sysctls": {"kernel.msgmax": "1"}, "IpcMode": "host"}, "host's ipc namespace"),
    ],
)
def test_what_cannot_be_is_refused_in_dockers_words(
    paths: Paths, fields: dict[str, Any], message: str
) -> None:
    error = refusal(paths, **fields)
    assert error.status == 400
    assert message in str(error)


@pytest.mark.parametrize("folder", ["root", "run", "root/containers", "run/engine.sock"])
def test_the_engines_own_folders_cannot_be_mounted(paths: Paths, folder: str) -> None:
    # Fails without `refuse_own` in engine/mounts.py.
    own = paths.root.parent / folder
    error = refusal(paths, Binds=[f"{own}:/x"])
    assert "belongs to the engine" in str(error)


def test_a_link_to_the_engines_own_folder_cannot_be_mounted(paths: Paths, tmp_path: Path) -> None:
    paths.root.mkdir()
    (tmp_path / "link").symlink_to(paths.root)
    assert "belongs to the engine" in str(refusal(paths, Binds=[f"{tmp_path}/link:/x"]))


def test_a_binds_missing_source_is_made(paths: Paths, tmp_path: Path) -> None:
    check(paths, host(Binds=[f"{tmp_path}/new/folder:/x"]))
    assert (tmp_path / "new/folder").is_dir()


def test_swap_follows_memory() -> None:
    given = host(Memory=64 << 20)
    check_host(given)
    assert limits(given)["memory"] == {"limit": 64 << 20, "swap": 128 << 20}


def test_cpus_are_counted_in_quotas() -> None:
    assert limits(host(NanoCpus=1_500_000_000))["cpu"] == {"quota": 150_000, "period": 100_000}


def test_nothing_is_limited_unless_it_is_asked_for() -> None:
    given = host(PidsLimit=0, MemorySwappiness=-1)
    check_host(given)
    assert limits(given) == {}
    assert given.pids_limit is None


def test_swappiness_zero_is_a_limit() -> None:
    assert limits(host(MemorySwappiness=0)) == {"memory": {"swappiness": 0}}


def test_the_default_capabilities_are_dockers_fourteen() -> None:
    allowed = security(HostConfig())
    assert len(allowed.capabilities) == 14
    assert allowed.confined
    assert not allowed.no_new_privileges


def test_security_options_are_read() -> None:
    allowed = security(host(SecurityOpt=["seccomp=unconfined", "no-new-privileges:true"]))
    assert not allowed.confined
    assert allowed.no_new_privileges
    assert security(host(CapDrop=["ALL"], CapAdd=["chown"])).capabilities == {"CAP_CHOWN"}


def test_ports_of_a_container_on_the_hosts_network_are_said_to_be_discarded() -> None:
    published = {"80/tcp": [{"HostPort": "80"}]}
    assert creation_warnings(Config(), host(PortBindings=published)) == []
    [warning] = creation_warnings(Config(), host(NetworkMode="host", PortBindings=published))
    assert warning == "Published ports are discarded when using host network mode"


@pytest.mark.parametrize("name", ["a", "", "/", "-ab", "a b", "a/b", "ab\n", "ä" * 3, ".ab"])
def test_names_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(InvalidParameter, match=r"Invalid container name \("):
        checked_name(name)


def test_a_name_may_begin_with_a_slash() -> None:
    assert checked_name("/ab.c-d_1") == "ab.c-d_1"


def test_random_names_are_names_and_free() -> None:
    taken = {random_name(lambda _: False) for _ in range(200)}
    assert all(checked_name(name) for name in taken)
    assert random_name(lambda name: name in taken) not in taken


@pytest.mark.parametrize(
    ("text", "number"),
    [("", 15), ("KILL", 9), ("SIGKILL", 9), ("sigkill", 9), ("9", 9), ("RTMIN+2", 36), ("CLD", 17)],
)
def test_signals_are_named_as_people_name_them(text: str, number: int) -> None:
    assert signal_number(text, 15) == number


@pytest.mark.parametrize("text", ["0", "65", "-1", "SIGFOO", "9 "])
def test_what_is_no_signal_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter, match="Invalid signal"):
        signal_number(text, 15)
