"""Containers in the IPC and PID namespaces of others: `--ipc` and `--pid container:ID`."""

import os
from pathlib import Path
from typing import Any

import pytest

from support.calls import Make, call, ended, logged, state
from support.engines import Engine

pytestmark = [pytest.mark.needs("docker", "busybox"), pytest.mark.ordinary_user]
LINKS = "for kind in ipc pid; do readlink /proc/self/ns/$kind; done"


@pytest.fixture
def donor(run: Make) -> str:
    return run("sleep", "1000", HostConfig={"IpcMode": "shareable", "ShmSize": 1 << 20})


def joining(donor: str, *kinds: str) -> dict[str, Any]:
    return {f"{kind}Mode": f"container:{donor}" for kind in kinds or ("Ipc", "Pid")}


def test_what_one_writes_to_shared_memory_the_other_reads(
    shared_engine: Engine, run: Make, donor: str
) -> None:
    script = "echo given > /dev/shm/file; df -k /dev/shm | tail -1; grep /dev/shm /proc/mounts"
    container = run("sh", "-c", script, HostConfig=joining(donor, "Ipc"))
    assert ended(shared_engine, container) == 0
    assert shared_engine.succeed("exec", donor, "cat", "/dev/shm/file") == "given"
    size, mounted = logged(shared_engine, container).decode().splitlines()
    assert size.split()[1] == "1024"
    assert {"nosuid", "nodev", "noexec"} <= set(mounted.split()[3].split(","))


def test_the_first_process_and_execs_are_in_the_namespaces_of_the_donor(
    shared_engine: Engine, run: Make, donor: str
) -> None:
    container = run("sh", "-c", f"{LINKS}; exec sleep 1000", HostConfig=joining(donor))
    there = shared_engine.succeed("exec", donor, "sh", "-c", LINKS)
    assert shared_engine.succeed("exec", container, "sh", "-c", LINKS) == there
    assert logged(shared_engine, container).decode().strip() == there
    names = shared_engine.succeed("exec", donor, "ps", "-o", "args")
    assert names.count("sleep 1000") == 2


def test_without_it_they_are_in_none_of_another(
    shared_engine: Engine, run: Make, donor: str
) -> None:
    other = run("sleep", "1000")
    found = {shared_engine.succeed("exec", c, "sh", "-c", LINKS) for c in (donor, other)}
    assert len(found) == 2


def test_what_joined_ends_with_its_donor(shared_engine: Engine, run: Make, donor: str) -> None:
    container = run("sleep", "1000", HostConfig=joining(donor, "Pid"))
    call(shared_engine, "POST", f"/containers/{donor}/kill")
    assert ended(shared_engine, container) == 137


@pytest.mark.usefixtures("limits")  # without cgroups what it leaves ends with the donor
def test_what_joined_ends_alone_and_takes_its_own_processes_along(
    shared_engine: Engine, run: Make, donor: str
) -> None:
    container = run("sh", "-c", "sleep 777 & exit 3", HostConfig=joining(donor))
    assert ended(shared_engine, container) == 3
    assert state(shared_engine, donor)["Running"]
    assert "sleep 777" not in shared_engine.succeed("exec", donor, "ps", "-o", "args")


def test_a_donor_that_was_started_again_is_found(
    shared_engine: Engine, make: Make, donor: str
) -> None:
    container = make("sh", "-c", LINKS, HostConfig=joining(donor))
    shared_engine.succeed("restart", "-t", "0", donor)
    shared_engine.succeed("start", "-a", container)
    there = shared_engine.succeed("exec", donor, "sh", "-c", LINKS)
    assert logged(shared_engine, container).decode().strip() == there


def test_a_donor_has_to_run_and_to_share(shared_engine: Engine, make: Make, run: Make) -> None:
    off, private = make("true", HostConfig={"IpcMode": "shareable"}), run("sleep", "1000")
    refusals = [
        (joining(off, "Ipc"), f"can't join IPC of container {off}: container {off} is not running"),
        (joining(off, "Pid"), f"container {off} is not running"),
        (joining(private, "Ipc"), f"can't join IPC of container {private}: non-shareable IPC"),
    ]
    for settings, words in refusals:
        container = make("true", HostConfig=settings)
        reply = call(shared_engine, "POST", f"/containers/{container}/start")
        assert reply.status == 409
        assert words in reply.message


@pytest.mark.parametrize("kind", ["Ipc", "Pid"])
def test_a_donor_that_is_none_is_refused(shared_engine: Engine, busybox: str, kind: str) -> None:
    for mode, words in (
        ("container:absent", "No such container: absent"),
        ("container:", "its id"),
    ):
        body = {"Image": busybox, "HostConfig": {f"{kind}Mode": mode}}
        reply = call(shared_engine, "POST", "/containers/create", body)
        assert reply.status == 400
        assert words in reply.message


@pytest.mark.needs("root")
def test_a_donors_symbolic_link_is_not_followed(
    shared_engine: Engine, make: Make, run: Make
) -> None:
    # Fails without RESOLVE_NO_SYMLINKS in launch/root.py.
    script = "umount /dev/shm && rmdir /dev/shm && ln -s / /dev/shm && echo done"
    evil = {"IpcMode": "shareable", "Privileged": True}
    donor = run("sleep", "1000", HostConfig=evil)
    assert shared_engine.succeed("exec", "--privileged", donor, "sh", "-c", script) == "done"
    container = make("ls", "/dev/shm", HostConfig=joining(donor, "Ipc"))
    reply = call(shared_engine, "POST", f"/containers/{container}/start")
    assert reply.status >= 400
    assert "SharedMemory" in reply.message


@pytest.mark.needs("root")
def test_a_user_namespace_of_its_own_is_refused(
    shared_engine: Engine, make: Make, donor: str
) -> None:
    container = make("true", HostConfig={**joining(donor), "UsernsMode": "auto"})
    reply = call(shared_engine, "POST", f"/containers/{container}/start")
    assert reply.status == 400
    assert "user namespace of its own" in reply.message


def test_with_the_hosts_ipc_comes_its_shared_memory(shared_engine: Engine, run: Make) -> None:
    name = f"ipyc-{os.getpid()}"
    file = Path("/dev/shm", name)
    file.write_text("seen\n")
    try:
        script = f"cat /dev/shm/{name}; readlink /proc/self/ns/ipc"
        container = run("sh", "-c", script, HostConfig={"IpcMode": "host"})
        assert ended(shared_engine, container) == 0
        said = logged(shared_engine, container).decode().split()
        assert said == ["seen", os.readlink("/proc/self/ns/ipc")]
    finally:
        file.unlink()
