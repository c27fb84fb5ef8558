"""Whose the files are that containers make, in volumes and in folders of the host."""

import os
from pathlib import Path

import pytest

from support.calls import Make, ended, logged, start
from support.engines import Engine

pytestmark = [pytest.mark.needs("docker", "busybox"), pytest.mark.ordinary_user]


def test_what_container_root_makes_in_a_persons_folder_is_the_persons(
    shared_engine: Engine, run: Make, tmp_path: Path
) -> None:
    binds = {"Binds": [f"{tmp_path}:/x"]}
    (tmp_path / "mine").write_text("before")
    script = "stat -c %u:%g /x /x/mine; echo changed > /x/mine; mkdir /x/d; touch /x/d/f"
    container = run("sh", "-c", script, HostConfig=binds)
    assert ended(shared_engine, container) == 0
    assert logged(shared_engine, container) == b"0:0\n0:0\n"
    for name in ("mine", "d", "d/f"):
        status = (tmp_path / name).stat()
        assert (status.st_uid, status.st_gid) == (os.getuid(), os.getgid())
    assert (tmp_path / "mine").read_text() == "changed\n"
    (tmp_path / "d/f").unlink()


def test_what_is_in_a_volume_keeps_the_containers_ids(
    shared_engine: Engine, run: Make, make: Make
) -> None:
    binds = {"Binds": ["vol:/x"]}
    first = run("sh", "-c", "touch /x/f; chown 33:34 /x/f; chmod 4750 /x/f", HostConfig=binds)
    assert ended(shared_engine, first) == 0
    second = make("stat", "-c", "%u:%g %a", "/x/f", HostConfig=binds)
    start(shared_engine, second)
    assert ended(shared_engine, second) == 0
    assert logged(shared_engine, second) == b"33:34 4750\n"
