"""The engine of a user who is logged in has a scope of systemd's, with cgroups of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipycontainer_runtime import client
from support import leftovers
from support.engines import Engine

pytestmark = [pytest.mark.cgroup2, pytest.mark.needs("user_session", "docker", "busybox")]

LIMITED = ("--memory", "32m", "--network", "none")


def unit(pid: int) -> str:
    """Return where in the tree of systemd's units a process is."""
    return Path(f"/proc/{pid}/cgroup").read_text().strip().rpartition("app.slice/")[2]


def checks(engine: Engine) -> dict[str, dict[str, str]]:
    api = engine.client.api
    found = api._result(api._get(api._url("/ipycontainer/doctor")), True)
    return {check["Name"]: check for check in found}


def scopes() -> str:
    command = ["systemctl", "--user", "list-units", "--all", "--plain", "--no-legend"]
    return subprocess.run(
        [*command, "ipycontainer-*.scope"], capture_output=True, text=True, check=True
    ).stdout


def elsewhere(engine: Engine, *command: str, **variables: str) -> str:
    """Start the engine as another command does, and return whether it has memory limits."""
    client.stop(engine.paths)
    code = "from ipycontainer_runtime import client; print(client.connect().info()['MemoryLimit'])"
    done = subprocess.run(
        [*command, sys.executable, "-c", code],
        env={**engine.variables, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def engine(shared_engine: Engine) -> Iterator[Engine]:
    """The file's engine, started in this process's own session."""
    shared_engine.start()
    yield shared_engine
    shared_engine.remove_containers()
    if not unit(shared_engine.pid).startswith("ipycontainer-"):
        client.stop(shared_engine.paths)


def test_an_engine_has_a_scope_of_its_own_in_which_limits_bind(engine: Engine) -> None:
    scope, _, leaf = unit(engine.pid).partition("/")
    assert scope.startswith("ipycontainer-")
    assert (scope.endswith(".scope"), leaf) == (True, "init")
    info = engine.client.api.info()
    assert (info["CgroupDriver"], info["CgroupVersion"]) == ("cgroupfs", "2")
    assert info["MemoryLimit"]
    assert info["PidsLimit"]
    assert info["CpuCfsQuota"]
    found = checks(engine)
    assert found["cgroup"]["State"] == "ok"
    assert f"/{scope}/ipycontainer" in found["cgroup"]["Detail"]
    assert scope in found["survival"]["Detail"]
    assert found["survival"]["Cure"] == f"as root run `loginctl enable-linger {os.getuid()}`"


def test_the_next_engine_joins_the_scope_in_which_containers_run(
    engine: Engine, busybox: str
) -> None:
    container = engine.succeed("run", "-d", *LIMITED, busybox, "sleep", "1000")
    before = unit(engine.pid)
    engine.kill()
    engine.start()
    assert unit(engine.pid) == before
    # It can clone into the container's cgroup and into new ones.
    shown = engine.succeed("exec", container, "cat", "/sys/fs/cgroup/memory.max")
    again = engine.succeed("run", "--rm", *LIMITED, busybox, "cat", "/sys/fs/cgroup/memory.max")
    assert shown == again == str(32 << 20)


def test_the_scope_goes_with_the_last_process(engine: Engine) -> None:
    pid = engine.pid
    scope = unit(pid).partition("/")[0]
    assert scope in scopes()
    client.stop(engine.paths)
    assert not leftovers.outlived([pid])
    deadline = time.monotonic() + leftovers.PATIENCE
    while scope in scopes():
        assert time.monotonic() < deadline
    engine.start()


def test_an_engine_stays_in_a_unit_that_was_delegated_to_it(engine: Engine) -> None:
    run = ["systemd-run", "--user", "--scope", "--quiet", "--property=Delegate=yes"]
    assert elsewhere(engine, *run, "--unit=ours") == "True"
    assert unit(engine.pid) == "ours.scope/init"


def test_without_a_session_the_doctor_says_why_limits_do_not_bind(engine: Engine) -> None:
    nowhere = engine.home / "nowhere"
    assert elsewhere(engine, XDG_RUNTIME_DIR=str(nowhere)) == "False"
    check = checks(engine)["cgroup"]
    assert check["State"] == "limited"
    assert f"there is no user session of systemd's ({nowhere}/bus is not there)" in check["Detail"]
    assert "loginctl enable-linger" in check["Cure"]
    assert engine.client.api.info()["CgroupDriver"] == "none"
