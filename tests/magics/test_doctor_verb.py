"""`doctor` in a cell and on the command line, against our engine and against Docker's."""

import json
import subprocess
from collections.abc import Callable

from cells import Box, Shell

from ipycontainer.failures import Failure

Command = Callable[..., subprocess.CompletedProcess[bytes]]
NAMES = ["userns", "ids", "overlay", "cgroup", "seccomp", "survival", "disk"]


def test_a_cell_shows_a_table_of_what_the_machine_allows(box: Box, shell: Shell) -> None:
    ran = shell.run("%container doctor")
    if box.name == "dockerd":
        assert isinstance(ran.error, Failure)
        assert "is no engine of ipycontainer" in str(ran.error)
        return
    assert ran.error is None
    assert [check["Name"] for check in ran.value] == NAMES
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
    assert [line.split()[0] for line in lines] == NAMES
