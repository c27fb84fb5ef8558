"""What the doctor says of a machine, and that each lack has its cost and its cure."""

import json
import os
import socket
from pathlib import Path

import pytest

from ipycontainer_runtime import client
from ipycontainer_runtime.engine.doctor import registries
from ipycontainer_runtime.errors import Unavailable
from ipycontainer_runtime.linux import checks, doctor, userns
from ipycontainer_runtime.linux.grade import NONE, ONE_ID, Grade
from ipycontainer_runtime.linux.probes import Probe
from ipycontainer_runtime.linux.subids import IdRange
from ipycontainer_runtime.linux.survival import survival
from ipycontainer_runtime.paths import Paths
from support.registry import Registry

LIMITS = [f"limit {name}" for name in ("memory", "swap", "cpu", "cpuset", "pids", "io", "freezer")]
NAMES = ["userns", "namespaces", "grade", "ids", "proc", "overlay", "cgroup", *LIMITS]
NAMES += ["seccomp", "survival", "disk"]


@pytest.mark.ordinary_user
def test_every_line_that_is_not_ok_tells_its_cost_and_its_cure(tmp_path: Path) -> None:
    found = doctor.examine(tmp_path)
    assert [check.name for check in found] == NAMES
    for check in found:
        assert check.detail
        assert check.state in ("ok", "limited", "missing")
        assert (check.state == "ok") == (not check.cost) == (not check.cure)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.ordinary_user
def test_without_an_engine_the_same_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"auths": {nobody(): {}}}))
    found = client.doctor(Paths(tmp_path / "not/there", tmp_path / "run"))
    names = [check["Name"] for check in found]
    assert names[: len(NAMES)] == NAMES
    assert names[len(NAMES) :] != []
    assert not (tmp_path / "not").exists()
    told = next(check for check in found if check["Name"] == "grade")["Detail"]
    assert told.startswith("root" if os.getuid() == 0 else "rootless")


def nobody() -> str:
    """The address of a registry that is not there."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return "127.0.0.1:" + str(sock.getsockname()[1])


def test_a_registry_that_answers_and_one_that_does_not(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    there, not_there = registries([registry.address]), registries([nobody()])
    assert [(check.name, check.state) for check in there] == [
        (f"registry {registry.address}", "ok")
    ]
    assert not_there[0].state == "limited"
    assert not_there[0].cost == "its images cannot be pulled"


def test_trials_that_end_in_an_error_are_told(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="the machine cannot be examined"):
        doctor.examine(tmp_path, (1, 2, 3, 4, 5, 6, 7, 8))  # type: ignore[arg-type] # a defect


@pytest.mark.needs("root")
def test_a_data_root_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setuid(65534)
        os.write(writer, checks.disk(tmp_path / "root").state.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        assert file.read() == b"missing"
    os.waitpid(pid, 0)


def test_few_ids_are_said() -> None:
    assert checks.ids(userns.WHOLE).state == "ok"
    assert checks.ids((IdRange(0, 1000, 1), IdRange(1, 100000, 65536))).state == "ok"
    assert checks.ids((IdRange(0, 1000, 1),)).state == "limited"


def test_the_grades_are_told_apart() -> None:
    told = [checks.grade(Grade(name, "why: do this")) for name in ("root", "range", ONE_ID, NONE)]
    assert [check.state for check in told] == ["ok", "ok", "limited", "missing"]
    assert {check.cure for check in told[2:]} == {"why: do this"}


def test_each_limit_is_told_by_itself() -> None:
    told = checks.limits(frozenset({"memory", "pids"}), "")
    assert [check.name for check in told if check.state == "ok"] == ["limit memory", "limit pids"]
    assert "swapaccount=1" in next(check for check in told if check.name == "limit swap").cure
    assert {check.cure for check in checks.limits(frozenset(), "be root")} == {"be root"}


def test_a_masked_proc_is_said() -> None:
    assert "systempaths=unconfined" in checks.proc(True).cure


def control_group(unit: str) -> str:
    return "control-group"


def test_an_engine_in_a_service_ends_with_it_and_one_in_a_session_does_not() -> None:
    hub = "4:memory:/x.service\n1:name=systemd:/system.slice/jupyterhub.service\n"
    assert "jupyterhub.service" in survival(hub, kill_mode=control_group).cure
    ours = survival("0::/user.slice/a.service\n", kill_mode=control_group)
    assert "a.service, KillMode=control-group" in ours.detail
    session = "0::/user.slice/user-1.slice/session-3.scope\n"
    assert survival(session, ends_sessions=lambda: False).state == "ok"
    ended = survival(session, ends_sessions=lambda: True)
    assert "session-3.scope, and logind has KillUserProcesses=yes" in ended.detail
    spawned = "0::/system.slice/jupyter-ann-singleuser.service\n"
    cure = survival(spawned, kill_mode=control_group).cure
    assert "c.SystemdSpawner.unit_extra_properties" in cure


def test_an_engine_outlives_a_service_that_ends_its_first_process_alone() -> None:
    assert survival("0::/system.slice/a.service\n", kill_mode=lambda unit: "process").state == "ok"


def test_an_engine_in_a_container_ends_with_it() -> None:
    assert "volume" in survival("0::/\n", contained=True).cure


def test_an_engine_in_the_systemd_of_a_user_ends_with_his_last_session_unless_he_lingers() -> None:
    path = "0::/user.slice/user-7.slice/user@7.service/app.slice/ipycontainer-1.scope/init\n"
    check = survival(path, lambda uid: False)
    assert check.state == "limited"
    assert check.cure == "as root run `loginctl enable-linger 7`"
    assert survival(path, lambda uid: uid == 7).state == "ok"


def test_why_systemd_gave_no_cgroup_is_said() -> None:
    lacking = Probe("cgroup", False, "nothing there is ours to write", "be root")
    check = checks.cgroups(lacking, "there is no session")
    assert check.detail == "nothing there is ours to write; there is no session"
    assert checks.cgroups(lacking, "").detail == "nothing there is ours to write"


def test_a_file_system_without_room_is_said() -> None:
    assert checks.disk(Path("/proc")).state == "missing"
