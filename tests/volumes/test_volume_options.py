"""The driver `local` with options: mounted by the first that uses it, unmounted after the last."""

import os
import time
from pathlib import Path

import pytest
from volumeroom import volume

from support import leftovers
from support.calls import Make, call, ended, logged, remove, start
from support.engines import Engine

pytestmark = [pytest.mark.needs("docker", "busybox")]

TMPFS = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,uid=5,mode=700"}


def bind(folder: Path, *options: str) -> dict[str, str]:
    return {"type": "none", "device": str(folder), "o": ",".join(("bind", *options))}


def mounted(engine: Engine) -> list[str]:
    """Return what of the volumes' folders is mounted on the machine, once it settles."""
    return [point for point in leftovers.mounts(engine.paths.root) if "/volumes/" in point]


def settles(engine: Engine, count: int) -> bool:
    for _ in range(200):
        if len(mounted(engine)) == count:
            return True
        time.sleep(0.02)  # it is unmounted after the reply
    return False


def test_it_is_mounted_for_as_long_as_somebody_runs(shared_engine: Engine, run: Make) -> None:
    volume(shared_engine, "vol", DriverOpts=TMPFS)
    assert not mounted(shared_engine)
    binds = {"Binds": ["vol:/x"]}
    first = run("sh", "-c", "echo kept > /x/f; sleep 1000", HostConfig=binds)
    assert len(mounted(shared_engine)) == 1
    script = "until cat /x/f; do :; done 2>/dev/null; stat -c '%u %a' /x; df -k /x | tail -1"
    second = run("sh", "-c", script, HostConfig=binds)
    assert ended(shared_engine, second) == 0
    said = logged(shared_engine, second).decode()
    assert said.startswith("kept\n5 700\n")
    assert " 1024 " in said
    assert len(mounted(shared_engine)) == 1
    remove(shared_engine, first)
    assert settles(shared_engine, 0)
    third = run("ls", "-A", "/x", HostConfig=binds)
    assert ended(shared_engine, third) == 0
    assert logged(shared_engine, third) == b""  # a tmpfs of its own


def test_two_that_start_at_once_have_one_mount(shared_engine: Engine, make: Make) -> None:
    volume(shared_engine, "vol", DriverOpts=TMPFS)
    containers = [make("sleep", "1000", HostConfig={"Binds": ["vol:/x"]}) for _ in range(4)]
    for container in containers:
        start(shared_engine, container)
    assert len(mounted(shared_engine)) == 1
    for container in containers:
        remove(shared_engine, container)
    assert settles(shared_engine, 0)


def test_a_folder_of_the_host_is_bound(shared_engine: Engine, run: Make, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("of the host")
    volume(shared_engine, "vol", DriverOpts=bind(tmp_path))
    volume(shared_engine, "closed", DriverOpts=bind(tmp_path, "ro"))
    binds = {"Binds": ["vol:/x", "closed:/y"]}
    container = run("sh", "-c", "cat /x/f; touch /x/new; touch /y/no", HostConfig=binds)
    assert ended(shared_engine, container) == 1
    assert b"of the host" in logged(shared_engine, container)
    assert sorted(os.listdir(tmp_path)) == ["f", "new"]
    assert settles(shared_engine, 0)


def test_an_engine_that_was_killed_leaves_the_count_to_the_next(
    shared_engine: Engine, run: Make
) -> None:
    volume(shared_engine, "used", DriverOpts=TMPFS)
    volume(shared_engine, "ended", DriverOpts=TMPFS)
    keeps = run("sh", "-c", "echo kept > /x/f; sleep 1000", HostConfig={"Binds": ["used:/x"]})
    ends = run("sleep", "1000", HostConfig={"Binds": ["ended:/x"]})
    pid = call(shared_engine, "GET", f"/containers/{ends}/json").body["State"]["Pid"]
    shared_engine.kill()
    os.kill(pid, 9)  # while no engine is there
    assert not leftovers.outlived([pid])
    shared_engine.start()
    assert settles(shared_engine, 1)
    again = run("cat", "/x/f", HostConfig={"Binds": ["used:/x"]})
    assert ended(shared_engine, again) == 0
    assert logged(shared_engine, again) == b"kept\n"
    remove(shared_engine, keeps)
    assert settles(shared_engine, 0)


def test_copies_mount_it_too_and_leave_it_as_it_was(
    shared_engine: Engine, make: Make, tmp_path: Path
) -> None:
    (tmp_path / "f").write_text("of the host")
    volume(shared_engine, "vol", DriverOpts=bind(tmp_path))
    container = make("true", HostConfig={"Binds": ["vol:/x"]})
    done = shared_engine.docker("cp", f"{container}:/x/f", "-")
    assert b"of the host" in done.stdout
    assert not mounted(shared_engine)


def test_a_mount_that_fails_fails_the_start_and_is_tried_again(
    shared_engine: Engine, make: Make, tmp_path: Path
) -> None:
    volume(shared_engine, "vol", DriverOpts=bind(tmp_path / "later"))
    container = make("true", HostConfig={"Binds": ["vol:/x:nocopy"]})
    reply = call(shared_engine, "POST", f"/containers/{container}/start")
    assert reply.status == 400
    assert f"failed to mount local volume: mount {tmp_path}/later:" in reply.message
    assert "no such file or directory" in reply.message
    (tmp_path / "later").mkdir()
    start(shared_engine, container)
    assert ended(shared_engine, container) == 0


@pytest.mark.parametrize("own", ["root", "root/containers", "run", "."])
def test_the_engines_own_folders_are_no_device(shared_engine: Engine, own: str) -> None:
    # Fails without `_checked_device` in engine/volumes/local.py.
    device = shared_engine.paths.root.parent / own
    body = {"Name": "vol", "DriverOpts": bind(device)}
    reply = call(shared_engine, "POST", "/volumes/create", body)
    assert reply.status == 400
    assert "belongs to the engine" in reply.message or "holds the engine's own" in reply.message


def test_a_device_that_came_to_lead_to_the_engine_is_refused(
    shared_engine: Engine, make: Make, tmp_path: Path
) -> None:
    device = tmp_path / "device"
    device.mkdir()
    volume(shared_engine, "vol", DriverOpts=bind(device))
    device.rmdir()
    device.symlink_to(shared_engine.paths.root)
    container = make("true", HostConfig={"Binds": ["vol:/x:nocopy"]})
    reply = call(shared_engine, "POST", f"/containers/{container}/start")
    assert reply.status == 400
    assert "belongs to the engine" in reply.message
    assert not mounted(shared_engine)


@pytest.mark.ordinary_user
def test_an_ordinary_users_engine_mounts_what_a_user_may(
    shared_engine: Engine, run: Make, tmp_path: Path
) -> None:
    (tmp_path / "f").write_text("of the host")
    volume(shared_engine, "bound", DriverOpts=bind(tmp_path))
    volume(shared_engine, "memory", DriverOpts={"type": "tmpfs", "device": "tmpfs", "o": "size=1m"})
    binds = {"Binds": ["bound:/x", "memory:/y"]}
    container = run("sh", "-c", "cat /x/f; echo x > /y/f; cat /y/f", HostConfig=binds)
    assert ended(shared_engine, container) == 0
    assert logged(shared_engine, container) == b"of the hostx\n"
    if os.geteuid() != 0:
        options = {"type": "nfs", "device": ":/x", "o": "addr=127.0.0.1"}
        body = {"Name": "far", "DriverOpts": options}
        reply = call(shared_engine, "POST", "/volumes/create", body)
        assert reply.status == 400
        assert "only root may mount" in reply.message
