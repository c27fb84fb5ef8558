"""`doctor` in a cell and on the command line, against our engine and against Docker's."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cells import Box, Shell

from ipycontainer.failures import Failure

Command = Callable[..., subprocess.CompletedProcess[bytes]]
SOME = {"userns", "grade", "overlay", "limit memory", "seccomp", "network", "survival", "disk"}


def test_a_cell_shows_a_table_of_what_the_machine_allows(box: Box, shell: Shell) -> None:
    ran = shell.run("%container doctor")
    if box.name == "dockerd":
        assert isinstance(ran.error, Failure)
        assert "is no engine of ipycontainer" in str(ran.error)
        return
    assert ran.error is None
    names = {check["Name"] for check in ran.value}
    assert names >= SOME
    assert any(name.startswith("registry 127.0.0.1") for name in names)
    assert "<th scope='col'" in ran.value.html()
    for check in json.loads(json.dumps(ran.value)):
        assert (check["State"] == "ok") == (check["Cure"] == "")


def test_the_command_line_prints_the_same_lines(box: Box, command: Command) -> None:
    done = command("doctor")
    if box.name == "dockerd":
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        return
    assert done.returncode == 0, done.stderr
    head, *lines = done.stdout.decode().splitlines()
    assert head.split() == ["WHAT", "STATE", "SEEN", "COSTS", "CURE"]
    assert {line.split()[0] for line in lines} >= {name.split()[0] for name in SOME}


def test_where_no_engine_starts_the_machine_is_examined_without_one(
    box: Box, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if box.name == "dockerd":
        pytest.skip("it is no engine of ours that does not start")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    config = {"auths": {"127.0.0.1:9": {}}}  # the discard service, which nobody runs any more
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "file").touch()
    monkeypatch.setenv("IPYCONTAINER_ROOT", f"{tmp_path}/file/root")
    monkeypatch.setenv("IPYCONTAINER_RUN", f"{tmp_path}/run")
    done = command("doctor")
    assert done.returncode == 0, done.stderr
    assert b"the engine does not start: " in done.stderr
    lines = {line.split()[0]: line for line in done.stdout.decode().splitlines()}
    assert "cannot be written" in lines["disk"]
    assert "registry" in lines
