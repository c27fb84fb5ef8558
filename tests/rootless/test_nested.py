"""An engine inside a container of Debian's Docker Engine, as a notebook in one has it."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.hosts import Host

pytestmark = pytest.mark.needs("root", "dockerd", "docker", "busybox", "user_namespaces")

CHECKOUT = Path(__file__).parents[2]
NEST = Path(__file__).with_name("nest.py")
UNCONFINED = ("--security-opt", "seccomp=unconfined")
WHOLE = ("--security-opt", "systempaths=unconfined")


def shown() -> Iterator[str]:
    """The options that show the checkout and its Python at their own places."""
    for path in {CHECKOUT, (CHECKOUT / ".venv").resolve(), Path(sys.base_prefix)}:
        if path != Path("/usr"):
            yield from ("--volume", f"{path}:{path}:ro")


@contextmanager
def nested(dockerd: Host, image: str, *options: str, user: str = "0") -> Iterator[Any]:
    """Yield what runs `nest.py` as `user` with a busybox, in a container with these options."""
    own = ("--network", "host", "--env", f"PYTHONPATH={CHECKOUT / 'runtime'}", *shown())
    folders = ("--env", "IPYCONTAINER_ROOT=/tmp/root", "--env", "IPYCONTAINER_RUN=/tmp/run")
    name = dockerd.succeed("run", "-d", *own, *folders, *options, image, "sleep", "1000")
    dockerd.succeed("exec", name, "chmod", "755", "/root")  # where the Python may be
    python = str(CHECKOUT / ".venv/bin/python")

    def tell(busybox: str) -> dict[str, Any]:
        told = dockerd.docker("exec", "--user", user, name, python, str(NEST), busybox)
        log = dockerd.docker("exec", name, "cat", "/tmp/run/engine.log").stdout
        assert told.returncode == 0, told.stderr.decode() + log.decode()
        found = json.loads(told.stdout)
        assert isinstance(found, dict)
        return found

    try:
        yield tell
    finally:
        dockerd.succeed("rm", "--force", name)


@pytest.fixture(scope="module")
def outer(dockerd: Host, debian_python: str) -> str:
    dockerd.succeed("pull", "-q", debian_python)
    return debian_python


def check(told: dict[str, Any], name: str) -> dict[str, str]:
    (found,) = (line for line in told["doctor"] if line["Name"] == name)
    return dict(found)


@pytest.mark.parametrize("user", ["0", "1000"])
def test_under_dockers_filter_images_can_be_had_and_a_run_is_refused_with_the_cure(
    dockerd: Host, outer: str, busybox: str, user: str
) -> None:
    with nested(dockerd, outer, user=user) as tell:
        told = tell(busybox)
    assert told["images"] == [[busybox]]
    assert told["history"] == 1
    refusal = told["ran"]["error"]
    assert refusal.startswith("containers cannot be run here: cannot create a user namespace")
    assert "--security-opt seccomp=unconfined" in refusal
    assert len(refusal.splitlines()) == 1
    grade = check(told, "grade")
    assert grade["State"] == "missing"
    assert "--security-opt seccomp=unconfined" in grade["Cure"]


@pytest.mark.parametrize("user", ["0", "1000"])
def test_without_the_filter_containers_run_on_copies_with_the_proc_around_them(
    dockerd: Host, outer: str, busybox: str, user: str
) -> None:
    with nested(dockerd, outer, *UNCONFINED, user=user) as tell:
        told = tell(busybox)
    assert told["info"]["Driver"] == "copy"
    ran = told["ran"]
    assert "error" not in ran, ran
    assert (ran["code"], ran["output"]) == (0, "0\n")
    assert any("masks /proc" in warning for warning in ran["warnings"])
    assert any("one user id" in warning for warning in ran["warnings"]) == (user == "1000")
    assert told["diff"] == [
        {"Path": "/etc", "Kind": 0},
        {"Path": "/etc/group", "Kind": 2},
        {"Path": "/made", "Kind": 1},
    ]
    # Grade.ids: without a user namespace of its own each reads the environment of the others.
    assert told["spied"]["output"] == "end\n"
    assert told["execed"] == "0\n"
    lacking = {line["Name"] for line in told["doctor"] if line["State"] != "ok"}
    assert {"overlay", "proc", "survival"} <= lacking
    assert "copy of its image" in check(told, "overlay")["Cost"]
    assert "systempaths=unconfined" in check(told, "proc")["Cure"]
    assert check(told, "grade")["State"] == ("ok" if user == "0" else "limited")
    assert "one\none\n" in told["built"]
    assert "cannot access '/m'" in told["built"] or "/m: No such file" in told["built"]
    again = told["again"]["output"].splitlines()
    assert again[:2] == ["x", "ls: /etc/group: No such file or directory"]


def test_with_a_whole_proc_a_container_has_its_own(dockerd: Host, outer: str, busybox: str) -> None:
    with nested(dockerd, outer, *UNCONFINED, *WHOLE) as tell:
        told = tell(busybox)
    assert not any("masks /proc" in warning for warning in told["ran"]["warnings"])


def test_on_a_volume_an_overlay_can_be_had(
    dockerd: Host, outer: str, busybox: str, tmp_path: Path
) -> None:
    os.chmod(tmp_path, 0o755)
    with nested(dockerd, outer, *UNCONFINED, "--volume", "/tmp/root") as tell:
        told = tell(busybox)
    assert told["info"]["Driver"] == "overlay2"
    assert told["again"]["output"].startswith("x\n")
