"""Lists, filters and inspection, compared with Docker's own engine."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from ipycontainer_runtime.engine.describe import command_text
from ipycontainer_runtime.engine.times import human_duration, parse_instant, rfc3339
from ipycontainer_runtime.errors import InvalidParameter
from support.calls import Make, call, create, ended, remove, start
from support.engines import Engine
from support.hosts import Host

pytestmark = pytest.mark.needs("docker", "busybox")


@pytest.fixture(scope="module")
def crowd(shared_engine: Engine, busybox: str) -> Iterator[dict[str, str]]:
    """Four containers: never started, ended with 0 and 3, running."""
    specs: dict[str, tuple[str, ...]] = {
        "fresh": ("true",),
        "good": ("true",),
        "bad": ("sh", "-c", "exit 3"),
        "busy": ("sleep", "1000"),
    }
    made = {}
    for name, command in specs.items():
        labels = {"kind": name, "all": ""}
        made[name] = create(shared_engine, busybox, *command, name=name, Labels=labels)
    for name in ("good", "bad", "busy"):
        start(shared_engine, made[name])
    for name in ("good", "bad"):
        ended(shared_engine, made[name])
    yield made
    for container in made.values():
        remove(shared_engine, container)


def names(engine: Engine, query: str = "", **filters: list[str]) -> list[str]:
    text = quote(json.dumps(filters))
    reply = call(engine, "GET", f"/containers/json?filters={text}&{query}")
    assert reply.status == 200, reply.body
    return [found["Names"][0][1:] for found in reply.body]


def test_only_what_runs_is_listed_unless_all_is_asked_for(
    shared_engine: Engine, crowd: dict[str, str]
) -> None:
    assert names(shared_engine) == ["busy"]
    assert names(shared_engine, "all=1") == ["busy", "bad", "good", "fresh"]
    assert names(shared_engine, "limit=2") == ["busy", "bad"]


def test_filters_choose(shared_engine: Engine, crowd: dict[str, str], busybox: str) -> None:
    for filters, expected in (
        ({"status": ["exited"]}, ["bad", "good"]),
        ({"status": ["created", "running"]}, ["busy", "fresh"]),
        ({"name": ["^/b"]}, ["busy", "bad"]),
        ({"name": ["good"]}, ["good"]),
        ({"id": [crowd["bad"][:12]]}, ["bad"]),
        ({"label": ["kind=bad"]}, ["bad"]),
        ({"label": ["all", "kind"]}, ["busy", "bad", "good", "fresh"]),
        ({"label": ["none"]}, []),
        ({"exited": ["3"]}, ["bad"]),
        ({"exited": ["0"]}, ["good"]),
        ({"ancestor": [busybox]}, ["busy", "bad", "good", "fresh"]),
        ({"ancestor": ["absent"]}, []),
        ({"before": ["bad"]}, ["good", "fresh"]),
        ({"since": ["good"]}, ["busy", "bad"]),
        ({"network": ["none"]}, ["busy", "bad", "good", "fresh"]),
        ({"network": ["host"]}, []),
        ({"volume": ["x"]}, []),
    ):
        assert names(shared_engine, "all=1", **filters) == expected, filters


@pytest.mark.parametrize(
    ("filters", "status"),
    [
        ({"what": ["x"]}, 400),
        ({"status": ["x"]}, 400),
        ({"exited": ["x"]}, 400),
        ({"name": ["("]}, 400),
        ({"before": ["absent"]}, 404),
    ],
)
def test_filters_that_mean_nothing_are_refused(
    shared_engine: Engine, crowd: dict[str, str], filters: dict[str, list[str]], status: int
) -> None:
    text = quote(json.dumps(filters))
    reply = call(shared_engine, "GET", f"/containers/json?all=1&filters={text}")
    assert reply.status == status


def test_a_container_is_found_by_name_id_or_its_beginning(
    shared_engine: Engine, crowd: dict[str, str]
) -> None:
    whole = crowd["busy"]
    for reference in ("busy", whole, whole[:12], whole[:10]):
        found = call(shared_engine, "GET", f"/containers/{reference}/json")
        assert found.body["Id"] == whole


def test_sizes_are_told_where_they_are_asked_for(shared_engine: Engine, run: Make) -> None:
    container = run("sh", "-c", "head -c 5000 /dev/zero > /file")
    ended(shared_engine, container)
    plain = call(shared_engine, "GET", f"/containers/{container}/json").body
    assert "SizeRw" not in plain
    sized = call(shared_engine, "GET", f"/containers/{container}/json?size=1").body
    assert sized["SizeRw"] == 5000
    assert sized["SizeRootFs"] > 1_000_000
    listed = call(shared_engine, "GET", "/containers/json?all=1&size=1").body[0]
    assert listed["SizeRw"] == 5000


def test_a_container_whose_tag_moved_shows_its_images_id(
    shared_engine: Engine, busybox: str
) -> None:
    shared_engine.succeed("tag", busybox, "moves:1")
    container = create(shared_engine, "moves:1", "true", name="mover")
    shared_engine.succeed("rmi", "moves:1")
    found = next(
        line
        for line in call(shared_engine, "GET", "/containers/json?all=1").body
        if line["Id"] == container
    )
    assert found["Image"] == found["ImageID"]
    remove(shared_engine, container)


# What Debian's engine (API 1.41) has and newer ones do not, or has for bridges alone.
OLD = {"KernelMemory", "KernelMemoryTCP"}


def test_inspection_has_all_that_dockers_has(
    shared_engine: Engine, dockerd: Host, busybox: str
) -> None:
    dockerd.succeed("pull", "-q", busybox)
    found: list[dict[str, Any]] = []
    for host in (shared_engine, dockerd):
        limits = {"Memory": 64 << 20, "NanoCpus": 10**9, "PidsLimit": 50, "CapDrop": ["KILL"]}
        container = create(host, busybox, "sh", "-c", "exit 3", HostConfig=limits)
        start(host, container)
        ended(host, container)
        version = "v1.41"
        reply = call(host, "GET", f"/containers/{container}/json?size=1", version=version)
        found.append(reply.body)
        remove(host, container)
    ours, dockers = found
    assert missing(ours, dockers) <= {f"HostConfig.{name}" for name in OLD}
    assert different(ours["State"], dockers["State"]) == set()
    assert different(ours["Config"], dockers["Config"]) == set()
    assert different(ours["HostConfig"], dockers["HostConfig"]) == {
        # namespaces are private here also on cgroup v1; another runtime; more paths are hidden
        "CgroupnsMode",
        "Runtime",
        "MaskedPaths",
    }


def missing(ours: Any, dockers: Any, at: str = "") -> set[str]:
    """Return the keys of Docker's that ours lacks, at any depth."""
    if not isinstance(dockers, dict):
        return set()
    lacking = {f"{at}{key}" for key in dockers if key not in ours}
    return lacking.union(
        *(missing(ours[key], value, f"{at}{key}.") for key, value in dockers.items() if key in ours)
    )


def never(name: str) -> dict[str, Any]:
    """Return a restart policy that restarts nothing."""
    return {"Name": name, "MaximumRetryCount": 0}


def different(ours: dict[str, Any], dockers: dict[str, Any]) -> set[str]:
    """Return the keys with other values, but for what differs between any two containers."""
    changing = {"Hostname", "StartedAt", "FinishedAt", *OLD}
    # Docker does not tell an empty list from none at all consistently between its versions.
    empty = (
        None,
        [],
        {},
        {"Name": "", "MaximumRetryCount": 0},
        {"Name": "no", "MaximumRetryCount": 0},
    )
    return {
        key
        for key in dockers
        if key not in changing
        and ours[key] != dockers[key]
        and not (ours[key] in empty and dockers[key] in empty)
    }


def test_list_entries_have_all_that_dockers_have(
    shared_engine: Engine, dockerd: Host, busybox: str
) -> None:
    dockerd.succeed("pull", "-q", busybox)
    found: list[dict[str, Any]] = []
    for host in (shared_engine, dockerd):
        container = create(host, busybox, "echo", "a b", "c", Labels={"k": "v"})
        lines = call(host, "GET", "/containers/json?all=1").body
        found.append(next(line for line in lines if line["Id"] == container))
        remove(host, container)
    ours, dockers = found
    assert missing(ours, dockers) == set()
    for key in ("Image", "ImageID", "Command", "Ports", "Labels", "State", "Status", "Mounts"):
        assert ours[key] == dockers[key]


def test_mounts_are_described(shared_engine: Engine, make: Make, tmp_path: Any) -> None:
    settings = {"Binds": [f"{tmp_path}:/b:ro"], "Mounts": [{"Type": "tmpfs", "Target": "/t"}]}
    container = make("true", HostConfig=settings)
    found = call(shared_engine, "GET", f"/containers/{container}/json").body["Mounts"]
    assert [(m["Type"], m["Destination"], m["RW"]) for m in found] == [
        ("bind", "/b", False),
        ("tmpfs", "/t", True),
    ]
    assert found[0]["Source"] == str(tmp_path)


def test_commands_are_quoted_as_docker_quotes_them() -> None:
    assert command_text(["sh", "-c", "a b", "it's"]) == "sh -c 'a b' it's"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.5, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (150, "2 minutes"),
        (3600, "About an hour"),
        (9000, "3 hours"),
        (47 * 3600, "47 hours"),
        (48 * 3600, "2 days"),
        (14 * 86400, "2 weeks"),
        (61 * 86400, "2 months"),
        (800 * 86400, "2 years"),
    ],
)
def test_durations_are_words(seconds: float, words: str) -> None:
    assert human_duration(seconds) == words


def test_instants_are_read_in_all_their_forms() -> None:
    assert parse_instant("", "since") is None
    assert parse_instant("0", "since") is None
    assert parse_instant("7", "since") == 7_000_000_000
    assert parse_instant("7.5", "since") == 7_500_000_000
    assert parse_instant("1970-01-01T00:00:07.25Z", "since") == 7_250_000_000
    assert parse_instant("1970-01-01T01:00:07+01:00", "since") == 7_000_000_000
    assert parse_instant(rfc3339(1_700_000_000_123_456_789), "x") == 1_700_000_000_123_456_789
    with pytest.raises(InvalidParameter, match='invalid since "soon"'):
        parse_instant("soon", "since")
