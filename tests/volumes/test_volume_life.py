"""Volumes by themselves: made, looked at, listed, removed, pruned; and told of."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from volumeroom import mounts, refusal, volume, volumes

from support.calls import Make, call, create, ended, remove
from support.engines import Engine
from support.hosts import Host

pytestmark = [pytest.mark.needs("docker", "busybox"), pytest.mark.ordinary_user]


def listed(engine: Host, **filters: list[str]) -> list[str]:
    reply = call(engine, "GET", f"/volumes?filters={quote(json.dumps(filters))}")
    assert reply.status == 200, reply.body
    return [found["Name"] for found in reply.body["Volumes"]]


def told(engine: Host, since: str, until: str) -> list[tuple[str, str]]:
    events = engine.client.api.events(
        since=since,  # type: ignore[arg-type] # the stubs know no text, which the engine reads
        until=until,  # type: ignore[arg-type] # as above
        filters={"type": "volume"},
        decode=True,
    )
    return [(event["Action"], event["Actor"]["ID"]) for event in events]


def test_a_volume_is_made_looked_at_and_removed(shared_engine: Engine) -> None:
    made = volume(shared_engine, "one", Labels={"a": "b"})
    assert made["Mountpoint"] == f"{shared_engine.paths.root}/volumes/one/_data"
    assert {k: made[k] for k in ("Name", "Driver", "Labels", "Options", "Scope")} == {
        "Name": "one",
        "Driver": "local",
        "Labels": {"a": "b"},
        "Options": None,
        "Scope": "local",
    }
    assert call(shared_engine, "GET", "/volumes/one").body == made
    assert volume(shared_engine, "one", Labels={"other": "label"}) == made
    assert call(shared_engine, "DELETE", "/volumes/one").status == 204
    gone = call(shared_engine, "GET", "/volumes/one")
    assert (gone.status, gone.message) == (404, "get one: no such volume")
    assert call(shared_engine, "DELETE", "/volumes/one").status == 404
    assert call(shared_engine, "DELETE", "/volumes/one?force=1").status == 204


def test_a_volume_without_a_name_is_anonymous(shared_engine: Engine) -> None:
    made = volume(shared_engine)
    assert len(made["Name"]) == 64
    assert made["Labels"] == {"com.docker.volume.anonymous": ""}


@pytest.mark.needs("dockerd")
@pytest.mark.parametrize(
    "body",
    [
        {"Name": "a"},
        {"Name": "a!"},
        {"Name": "-ab"},
        {"Name": "../x"},
        {"Name": "two", "DriverOpts": {"size": "1m"}},
        {"Name": "two", "DriverOpts": {"type": "tmpfs"}},
        {"Name": "two", "DriverOpts": {"device": "/tmp"}},
        {"Name": "two", "DriverOpts": {"foo": "1"}},
    ],
    ids=str,
)
def test_what_docker_refuses_is_refused_in_its_words(
    shared_engine: Engine, dockerd: Host, body: dict[str, Any]
) -> None:
    theirs = call(dockerd, "POST", "/volumes/create", body, "v1.41")
    ours = call(shared_engine, "POST", "/volumes/create", body, "v1.41")
    assert ours.status == theirs.status
    assert ours.message.startswith(theirs.message)
    assert not volumes(shared_engine)


def test_an_unknown_driver_is_named(shared_engine: Engine) -> None:
    # Docker's engine says so after 15 s.
    reply = call(shared_engine, "POST", "/volumes/create", {"Name": "two", "Driver": "zork"})
    assert reply.status == 404
    said = 'create two: error looking up volume plugin zork: plugin "zork" not found'
    assert reply.message.startswith(said)
    assert not volumes(shared_engine)


@pytest.mark.parametrize("name", ["../x", "a/b", "..", "a\n", ".hidden", "ä" * 3])
def test_a_name_is_no_path(shared_engine: Engine, name: str) -> None:
    reply = call(shared_engine, "POST", "/volumes/create", {"Name": name})
    assert reply.status == 400
    assert "invalid characters" in reply.message
    assert not volumes(shared_engine)


def test_names_are_bounded(shared_engine: Engine) -> None:
    reply = call(shared_engine, "POST", "/volumes/create", {"Name": "a" * 256})
    assert reply.status == 400
    volume(shared_engine, "a" * 255)


def test_a_body_that_is_none_is_refused(shared_engine: Engine) -> None:
    assert call(shared_engine, "POST", "/volumes/create").status == 400
    assert call(shared_engine, "POST", "/volumes/create", {"Labels": 3}).status == 400
    assert call(shared_engine, "POST", "/volumes/create", {"DriverOpts": None}).status == 201


def test_lists_are_filtered_as_dockers(shared_engine: Engine, make: Make) -> None:
    volume(shared_engine, "one", Labels={"a": "b"})
    volume(shared_engine, "none")
    make("true", HostConfig={"Binds": ["one:/x"]})
    assert listed(shared_engine) == ["none", "one"]
    assert listed(shared_engine, dangling=["true"]) == ["none"]
    assert listed(shared_engine, dangling=["0"]) == ["one"]
    assert listed(shared_engine, label=["a=b"]) == ["one"]
    assert listed(shared_engine, label=["a=c"]) == []
    assert listed(shared_engine, name=["on"]) == ["none", "one"]
    assert listed(shared_engine, name=["^on"]) == ["one"]
    assert listed(shared_engine, driver=["local"]) == ["none", "one"]
    assert listed(shared_engine, driver=["other"]) == []
    for filters in ({"zz": ["a"]}, {"dangling": ["a"]}):
        reply = call(shared_engine, "GET", f"/volumes?filters={quote(json.dumps(filters))}")
        assert reply.status == 400


def test_a_volume_in_use_stays_and_says_who_has_it(shared_engine: Engine, make: Make) -> None:
    volume(shared_engine, "one")
    users = [make("true", HostConfig={"Binds": ["one:/x"]}) for _ in range(2)]
    for force in ("", "?force=1"):
        reply = call(shared_engine, "DELETE", f"/volumes/one{force}")
        assert reply.status == 409
        assert reply.message == f"remove one: volume is in use - [{', '.join(users)}]"
    for user in users:
        remove(shared_engine, user)
    assert call(shared_engine, "DELETE", "/volumes/one").status == 204


def test_prune_removes_what_is_anonymous_and_unused(
    shared_engine: Engine, make: Make, image: str
) -> None:
    volume(shared_engine, "named")
    volume(shared_engine, "labelled", Labels={"keep": ""})
    container = create(shared_engine, image, "true")
    held = {mount["Name"] for mount in mounts(shared_engine, container).values()}
    assert call(shared_engine, "POST", "/volumes/prune").body["VolumesDeleted"] == []
    remove(shared_engine, container)
    pruned = call(shared_engine, "POST", "/volumes/prune").body
    assert set(pruned["VolumesDeleted"]) == held
    assert pruned["SpaceReclaimed"] > 70000
    filters = quote(json.dumps({"all": ["true"], "label!": ["keep"]}))
    pruned = call(shared_engine, "POST", f"/volumes/prune?filters={filters}").body
    assert pruned["VolumesDeleted"] == ["named"]
    assert call(shared_engine, "POST", '/volumes/prune?filters={"until":["1"]}').status == 400
    # Before 1.42 there was no difference.
    pruned = call(shared_engine, "POST", "/volumes/prune", version="v1.41").body
    assert pruned["VolumesDeleted"] == ["labelled"]


def test_prune_leaves_what_is_mounted_from_elsewhere(shared_engine: Engine) -> None:
    # Fails without `_has_files_here`: such a volume stands for a disk, or another machine's files.
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}
    volume(shared_engine, "elsewhere", DriverOpts=options)
    everything = quote(json.dumps({"all": ["true"]}))
    pruned = call(shared_engine, "POST", f"/volumes/prune?filters={everything}").body
    assert pruned["VolumesDeleted"] == []
    assert "elsewhere" in volumes(shared_engine)


def test_usage_agrees_with_du(shared_engine: Engine, image: str) -> None:
    create(shared_engine, image, "true", HostConfig={"Binds": ["one:/owned"]})
    found = call(shared_engine, "GET", "/system/df?type=volume").body["Volumes"]
    assert len(found) == 3
    for one in found:
        data = shared_engine.paths.root / "volumes" / one["Name"] / "_data"
        found_files = [p.lstat() for p in data.rglob("*") if p.is_file() and not p.is_symlink()]
        sizes = {status.st_ino: status.st_size for status in found_files}
        assert one["UsageData"] == {"RefCount": 1, "Size": sum(sizes.values())}


def test_events_tell_of_a_volumes_life(shared_engine: Engine, run: Make) -> None:
    begin = call(shared_engine, "GET", "/info").body["SystemTime"]
    container = run("true", HostConfig={"Binds": ["one:/x:ro"], "AutoRemove": False})
    ended(shared_engine, container)
    remove(shared_engine, container)
    call(shared_engine, "DELETE", "/volumes/one")
    end = call(shared_engine, "GET", "/info").body["SystemTime"]
    assert told(shared_engine, begin, end) == [
        (action, "one") for action in ("create", "mount", "unmount", "destroy")
    ]


def test_the_drivers_are_in_info(shared_engine: Engine) -> None:
    assert "local" in call(shared_engine, "GET", "/info").body["Plugins"]["Volume"]


def test_a_swarms_volume_is_refused(shared_engine: Engine, busybox: str) -> None:
    body = {"Name": "one", "ClusterVolumeSpec": {"Group": "x"}}
    assert call(shared_engine, "POST", "/volumes/create", body).status == 400
    mount = {"Type": "cluster", "Source": "one", "Target": "/x"}
    assert refusal(shared_engine, busybox, HostConfig={"Mounts": [mount]})[0] == 501
