"""The timeline of a container tells what the kernel tells, in the order in which it was done."""

import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from support import leftovers
from support.calls import Make, call, create, ended, logged, remove, start
from support.engines import Engine

pytestmark = [pytest.mark.needs("docker", "busybox"), pytest.mark.ordinary_user]

EXPLAIN = {"Annotations": {"io.ipycontainer.explain": "true"}}
NAMESPACES = "cgroup ipc mnt net pid time user uts"
LOOK = f"""
for kind in {NAMESPACES}; do readlink /proc/self/ns/$kind; done
echo; cat /proc/self/mountinfo
echo; cat /proc/self/uid_map
echo; grep -E '^(CapEff|CapBnd|Seccomp|NoNewPrivs):' /proc/self/status
"""


def timeline(host: Engine, container: str) -> dict[str, Any]:
    reply = call(host, "GET", f"/ipycontainer/containers/{container}/timeline")
    assert reply.status == 200, reply.body
    found = reply.body
    assert isinstance(found, dict)
    return found


def steps(document: dict[str, Any], who: str) -> list[str]:
    return [step["What"] for step in document["Steps"] if step["Who"] == who]


@pytest.fixture
def explained(shared_engine: Engine, run: Make) -> tuple[dict[str, Any], list[str]]:
    """The timeline of a container that has looked at itself, and what it saw, in four parts."""
    container = run("sh", "-c", LOOK, HostConfig=EXPLAIN)
    assert ended(shared_engine, container) == 0
    seen = logged(shared_engine, container).decode().split("\n\n")
    return timeline(shared_engine, container), seen


def test_inodes_are_those_that_the_container_sees(
    explained: tuple[dict[str, Any], list[str]],
) -> None:
    document, seen = explained
    told = {entry["Kind"]: entry["Inside"] for entry in document["Facts"]["Namespaces"]}
    assert {f"{kind}:[{inode}]" for kind, inode in told.items()} == set(seen[0].split())
    own = {entry["Kind"] for entry in document["Facts"]["Namespaces"] if entry["Own"]}
    assert own >= {"cgroup", "ipc", "mnt", "net", "pid", "uts"}


def test_mounts_are_those_of_the_container(explained: tuple[dict[str, Any], list[str]]) -> None:
    document, seen = explained
    lines = [line.split(" ") for line in seen[1].splitlines()]
    inside = [(fields[4], fields[fields.index("-") + 1]) for fields in lines]
    told = [(mount["Target"], mount["Type"]) for mount in document["Facts"]["Mounts"]]
    assert told == inside


def test_ids_and_privileges_are_those_of_the_container(
    explained: tuple[dict[str, Any], list[str]],
) -> None:
    document, seen = explained
    facts = document["Facts"]
    rows = [list(map(int, line.split())) for line in seen[2].splitlines()]
    assert [list(entry.values()) for entry in facts["IdMap"]["Users"]] == rows
    status = dict(line.split(":\t") for line in seen[3].splitlines())
    assert len(facts["Capabilities"]["Effective"]) == int(status["CapEff"], 16).bit_count()
    assert len(facts["Capabilities"]["Bounding"]) == int(status["CapBnd"], 16).bit_count()
    assert facts["SeccompMode"] == int(status["Seccomp"])
    assert facts["NoNewPrivileges"] == (status["NoNewPrivs"] == "1")


def test_every_mount_was_made_by_a_step_of_the_launcher(
    explained: tuple[dict[str, Any], list[str]],
) -> None:
    document, _ = explained
    launcher = [step for step in document["Steps"] if step["Who"] == "launcher"]
    words = "\n".join(f"{step['What']} {step['Detail']}" for step in launcher)
    targets = {mount["Target"] for mount in document["Facts"]["Mounts"]} - {"/"}
    below = {target for target in targets if "/sys/fs/cgroup/" in target}
    assert not [target for target in targets - below if target not in words]
    assert "it is not there" in words


def test_steps_follow_each_other_to_the_first_byte_and_the_end(
    explained: tuple[dict[str, Any], list[str]],
) -> None:
    document, _ = explained
    assert document["Steps"][0]["What"].startswith("find the image")
    assert all(step["Took"] >= 0 for step in document["Steps"])
    launcher = [step for step in document["Steps"] if step["Who"] == "launcher"]
    for before, after in pairwise(launcher):
        assert before["Begin"] + before["Took"] == after["Begin"]
    assert launcher[0]["What"] == "receive the bundle"
    assert launcher[-1]["What"].startswith("find the command")
    program = [step for step in document["Steps"] if step["Who"] == "program"]
    assert {step["What"] for step in program} == {
        "run until its first byte of output",
        "run until its end",
    }
    assert {step["Begin"] for step in program} == {launcher[-1]["Begin"] + launcher[-1]["Took"]}


def test_layers_and_the_digest_are_those_of_the_image(
    shared_engine: Engine, busybox: str, explained: tuple[dict[str, Any], list[str]]
) -> None:
    image = explained[0]["Image"]
    inspected = call(shared_engine, "GET", f"/images/{busybox}/json").body
    assert image["Id"] == inspected["Id"]
    assert [layer["Digest"] for layer in image["Layers"]] == inspected["RootFS"]["Layers"]
    assert sum(layer["Size"] for layer in image["Layers"]) == inspected["Size"]
    assert any(name.endswith(image["Digest"]) for name in inspected["RepoDigests"])


def test_the_filter_is_counted_for_each_architecture(
    explained: tuple[dict[str, Any], list[str]],
) -> None:
    for entry in explained[0]["Filter"]["Architectures"]:
        fates = ("Allowed", "Conditional", "Refused", "Faked")
        assert sum(entry[fate] for fate in fates) == entry["Calls"]
        assert entry["Allowed"] > 200
        assert entry["Refused"] > 50


@pytest.mark.usefixtures("limits")
def test_limits_are_read_from_the_kernel(shared_engine: Engine, run: Make) -> None:
    asked = {**EXPLAIN, "Memory": 64 << 20, "NanoCpus": 500_000_000, "PidsLimit": 77}
    document = timeline(shared_engine, run("true", HostConfig=asked))
    limits = document["Facts"]["Limits"]
    assert limits["Memory"] == 64 << 20
    assert limits["Cpus"] == 0.5
    assert limits["Pids"] in (77, 78)  # the nursery is one of them, on v1
    assert limits["Files"]


def test_one_that_was_not_to_be_explained_has_coarse_steps_and_what_can_be_seen_now(
    shared_engine: Engine, run: Make
) -> None:
    container = run("sh", "-c", "echo up; exec sleep 1000", HostConfig={"Memory": 64 << 20})
    for _ in shared_engine.client.api.logs(container, stream=True, follow=True):
        break
    document = timeline(shared_engine, container)
    assert not document["Explained"]
    assert document["Seen"] == "now"
    assert len(steps(document, "launcher")) == 1
    assert steps(document, "program") == ["run until its first byte of output"]
    assert {m["Target"] for m in document["Facts"]["Mounts"]} >= {"/", "/proc", "/dev"}
    call(shared_engine, "POST", f"/containers/{container}/kill")
    ended(shared_engine, container)
    over = timeline(shared_engine, container)
    assert over["Facts"] is None
    assert "run until its end" in steps(over, "program")


def test_the_timeline_of_one_that_removes_itself_is_kept(
    shared_engine: Engine, busybox: str
) -> None:
    host = {**EXPLAIN, "AutoRemove": True}
    container = create(shared_engine, busybox, "echo", "hi", name="gone-soon", HostConfig=host)
    waiting = call(shared_engine, "GET", "/containers/json?all=1").body
    assert container in {entry["Id"] for entry in waiting}
    start(shared_engine, container)
    reply = call(shared_engine, "POST", f"/containers/{container}/wait?condition=removed")
    assert reply.status in (200, 404)
    for reference in (container, container[:12], "gone-soon"):
        assert timeline(shared_engine, reference)["Id"] == container
    missing = call(shared_engine, "GET", "/ipycontainer/containers/never-was/timeline")
    assert missing.status == 404


def test_a_start_that_fails_tells_how_far_it_came(shared_engine: Engine, make: Make) -> None:
    container = make("no-such-command", HostConfig=EXPLAIN)
    assert call(shared_engine, "POST", f"/containers/{container}/start").status == 400
    document = timeline(shared_engine, container)
    assert steps(document, "launcher")[-1].startswith("find the command")
    assert steps(document, "program") == []
    assert "no-such-command" in document["Error"]


def test_an_operation_that_fails_is_the_last_step(shared_engine: Engine, make: Make) -> None:
    host = {**EXPLAIN, "Sysctls": {"net.ipv4.ip_forward": "words"}}
    container = make("true", HostConfig=host)
    assert call(shared_engine, "POST", f"/containers/{container}/start").status == 500
    last = steps(timeline(shared_engine, container), "launcher")[-1]
    assert last == "set the kernel parameter net.ipv4.ip_forward to words"


def test_the_next_engine_knows_the_timeline(shared_engine: Engine, make: Make) -> None:
    container = make("true", HostConfig=EXPLAIN)
    start(shared_engine, container)
    ended(shared_engine, container)
    before = timeline(shared_engine, container)
    pid = shared_engine.pid
    call(shared_engine, "POST", "/ipycontainer/stop")
    assert not leftovers.outlived([pid])
    shared_engine.start()

    after = timeline(shared_engine, container)
    assert (after["Steps"], after["Facts"]) == (before["Steps"], before["Facts"])


def test_nothing_in_proc_of_the_container_can_make_its_launcher_wait(
    shared_engine: Engine, make: Make, tmp_path: Path
) -> None:
    """A folder of the person's, mounted over what the launcher looks at, has a FIFO in it."""
    fifos = [tmp_path / name for name in ("memory.limit_in_bytes", "memory.max")]
    for fifo in fifos:
        os.mkfifo(fifo)
    tmp_path.chmod(0o755)
    binds = [f"{tmp_path}:/sys/fs/cgroup/memory", f"{tmp_path}:/sys/fs/cgroup"]
    container = make("true", HostConfig={**EXPLAIN, "Binds": binds})
    try:
        start(shared_engine, container)
    finally:
        for fifo in fifos:  # one that waits would hinder its own removal
            os.close(os.open(fifo, os.O_RDWR | os.O_NONBLOCK))
    assert ended(shared_engine, container) == 0
    assert timeline(shared_engine, container)["Facts"]["Limits"]["Memory"] is None


@pytest.mark.needs("root")
def test_a_user_namespace_is_told_with_its_ids(shared_engine: Engine, run: Make) -> None:
    container = run("readlink", "/proc/self/ns/user", HostConfig={**EXPLAIN, "UsernsMode": "auto"})
    ended(shared_engine, container)
    document = timeline(shared_engine, container)
    (users,) = document["Facts"]["IdMap"]["Users"]
    assert users["Outside"] >= 1 << 31
    assert users["Count"] == 1 << 16
    user = next(e for e in document["Facts"]["Namespaces"] if e["Kind"] == "user")
    assert user["Own"]
    assert logged(shared_engine, container).decode() == f"user:[{user['Inside']}]\n"
    assert "enter the user namespace" in steps(document, "launcher")


def test_a_terminal_and_an_init_are_steps(shared_engine: Engine, run: Make) -> None:
    container = run("true", Tty=True, HostConfig={**EXPLAIN, "Init": True})
    ended(shared_engine, container)
    told = steps(timeline(shared_engine, container), "launcher")
    assert {"make the terminal its standard streams", "fork the command"} <= set(told)


@pytest.mark.needs("root", "crun")
def test_what_another_runtime_does_is_not_made_up(shared_engine: Engine, run: Make) -> None:
    container = run("true", HostConfig={**EXPLAIN, "Runtime": "crun"})
    ended(shared_engine, container)
    document = timeline(shared_engine, container)
    assert document["Runtime"] == "crun"
    assert not document["Explained"]
    assert document["Facts"] is None
    assert len(steps(document, "launcher")) == 1


def test_another_run_has_a_timeline_of_its_own(shared_engine: Engine, make: Make) -> None:
    container = make("true", HostConfig=EXPLAIN)
    documents = []
    for _ in range(2):
        start(shared_engine, container)
        ended(shared_engine, container)
        documents.append(timeline(shared_engine, container))
    first, second = ([s["Begin"] for s in d["Steps"] if s["Who"] == "shim"] for d in documents)
    assert second[0] > max(first)
    assert steps(documents[0], "launcher") == steps(documents[1], "launcher")


def test_another_value_of_the_annotation_is_refused(shared_engine: Engine, busybox: str) -> None:
    body = {"Image": busybox, "HostConfig": {"Annotations": {"io.ipycontainer.explain": "yes"}}}
    reply = call(shared_engine, "POST", "/containers/create", body)
    assert reply.status == 400
    assert "write true or false" in reply.message


def test_what_the_launcher_is_told_to_be_is_data(shared_engine: Engine, run: Make) -> None:
    hostile = "<script>\x1b[31m'\"&"
    container = run("echo", hostile, HostConfig=EXPLAIN)
    ended(shared_engine, container)
    document = timeline(shared_engine, container)
    assert document["Command"] == ["echo", hostile]
    assert json.loads(json.dumps(document)) == document
    remove(shared_engine, container)
