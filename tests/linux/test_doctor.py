from pathlib import Path

from ipycontainer_runtime.linux import doctor, userns
from ipycontainer_runtime.linux.probes import Probe
from ipycontainer_runtime.linux.subids import IdRange


def test_every_line_that_is_not_ok_tells_its_cost_and_its_cure(tmp_path: Path) -> None:
    checks = doctor.examine(tmp_path)
    names = [check.name for check in checks]
    assert names == ["userns", "ids", "overlay", "cgroup", "seccomp", "survival", "disk"]
    for check in checks:
        assert check.detail
        assert check.state in ("ok", "limited", "missing")
        assert (check.state == "ok") == (not check.cost) == (not check.cure)
    assert list(tmp_path.iterdir()) == []


def test_few_ids_are_said() -> None:
    assert doctor.ids(userns.WHOLE).state == "ok"
    assert doctor.ids((IdRange(0, 1000, 1), IdRange(1, 100000, 65536))).state == "ok"
    assert doctor.ids((IdRange(0, 1000, 1),)).state == "limited"


def test_an_engine_in_a_service_ends_with_it_and_one_in_a_session_does_not() -> None:
    hub = "4:memory:/x.service\n1:name=systemd:/system.slice/jupyterhub.service\n"
    assert "jupyterhub.service" in doctor.survival(hub).cure
    assert "a.service" in doctor.survival("0::/user.slice/a.service\n").detail
    assert doctor.survival("0::/user.slice/user-1.slice/session-3.scope\n").state == "ok"


def test_an_engine_in_the_systemd_of_a_user_ends_with_his_last_session_unless_he_lingers() -> None:
    path = "0::/user.slice/user-7.slice/user@7.service/app.slice/ipycontainer-1.scope/init\n"
    check = doctor.survival(path, lambda uid: False)
    assert check.state == "limited"
    assert check.cure == "as root run `loginctl enable-linger 7`"
    assert doctor.survival(path, lambda uid: uid == 7).state == "ok"


def test_why_systemd_gave_no_cgroup_is_said() -> None:
    lacking = Probe("cgroup", False, "nothing there is ours to write", "be root")
    check = doctor.cgroups(lacking, "there is no session")
    assert check.detail == "nothing there is ours to write; there is no session"
    assert doctor.cgroups(lacking, "").detail == "nothing there is ours to write"


def test_a_file_system_without_room_is_said() -> None:
    assert doctor.disk(Path("/proc")).state == "missing"
