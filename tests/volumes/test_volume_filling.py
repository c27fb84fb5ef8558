"""A new volume has what the image has at its place; and when it has not."""

import contextlib
import json
import os
import threading
import time
from http.client import HTTPException
from pathlib import Path

import pytest
from volumeroom import build, facts, mounts, refusal, volume, volumes

from support.calls import Make, call, create, ended, logged, start
from support.engines import Engine, running_engine

pytestmark = [pytest.mark.needs("docker", "busybox"), pytest.mark.ordinary_user]

LOOK = (
    "cd $0; stat -c '%n %A %u:%g %h %s' . * .wh.kept deep/er/f; readlink link out; cat file marked"
)


def data(engine: Engine, name: str) -> Path:
    return engine.paths.root / "volumes" / name / "_data"


def seen(engine: Engine, image: str, place: str, **fields: object) -> str:
    container = create(engine, image, "sh", "-c", LOOK, place, **fields)
    start(engine, container)
    assert ended(engine, container) == 0, logged(engine, container)
    return logged(engine, container).decode()


@pytest.fixture(scope="module")
def plain(shared_engine: Engine, busybox: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same image without volumes."""
    return build(shared_engine, busybox, tmp_path_factory.mktemp("plain"), name="plain")


def test_a_container_sees_in_its_volume_what_the_image_has(
    shared_engine: Engine, image: str, plain: str
) -> None:
    expected = seen(shared_engine, plain, "/data")
    assert seen(shared_engine, image, "/data") == expected
    binds = {"Binds": ["one:/data"]}
    assert seen(shared_engine, plain, "/data", HostConfig=binds) == expected
    mount = {"Type": "volume", "Source": "two", "Target": "/data"}
    assert seen(shared_engine, plain, "/data", HostConfig={"Mounts": [mount]}) == expected
    names = set(os.listdir(data(shared_engine, "one")))
    assert names == {
        *("file", "marked", "twin", "link", "out", "pipe", ".wh.kept", "empty", "deep")
    }


@pytest.mark.needs("root")
def test_files_keep_owners_modes_xattrs_and_links(shared_engine: Engine, image: str) -> None:
    create(shared_engine, image, "true", HostConfig={"Binds": ["one:/data"]})
    found = facts(data(shared_engine, "one"))
    mode, uid, gid, _, xattrs, _ = found["."]
    assert (oct(mode)[-4:], uid, gid, xattrs) == ("1755", 5, 6, {"user.top": b"blue"})
    assert oct(found["file"][0])[-4:] == "4751"
    assert found["file"][1:3] == (7, 8)
    assert found["marked"][4] == {"user.colour": b"green"}
    assert {found["file"][5], found["twin"][5]} == {"file"}
    assert found["out"][3] == "../../../etc/passwd"
    assert found["file"][3] == hash(b"one")


def test_an_empty_folder_gives_the_volume_its_owner_and_mode(
    shared_engine: Engine, image: str
) -> None:
    binds = {"Binds": ["one:/owned", "two:/data/empty"]}
    look = "stat -c '%a %u:%g' /owned /data/empty"
    container = create(shared_engine, image, "sh", "-c", look, HostConfig=binds)
    start(shared_engine, container)
    ended(shared_engine, container)
    assert logged(shared_engine, container).decode().split("\n")[1] == "700 0:0"
    first = logged(shared_engine, container).decode().split("\n")[0]
    assert first.startswith("770 ")


def test_what_is_not_filled(shared_engine: Engine, image: str, tmp_path: Path) -> None:
    volume(shared_engine, "full")
    (data(shared_engine, "full") / "mine").write_text("kept")
    nocopy = {"Type": "volume", "Source": "n", "Target": "/data"}
    settings = [
        {"Binds": ["full:/data"]},
        {"Binds": ["empty:/data:nocopy"]},
        {"Mounts": [{**nocopy, "Source": "named", "VolumeOptions": {"NoCopy": True}}]},
        {"Binds": [f"{tmp_path}:/data"]},
    ]
    for one in settings:
        create(shared_engine, image, "true", HostConfig=one)
    assert os.listdir(data(shared_engine, "full")) == ["mine"]
    for folder in (data(shared_engine, "empty"), data(shared_engine, "named"), tmp_path):
        assert os.listdir(folder) == []


def test_a_second_container_finds_what_the_first_one_left(
    shared_engine: Engine, image: str, run: Make
) -> None:
    binds = {"Binds": ["one:/data"]}
    container = create(shared_engine, image, "rm", "-r", "/data/deep", HostConfig=binds)
    start(shared_engine, container)
    ended(shared_engine, container)
    create(shared_engine, image, "true", HostConfig=binds)
    assert "deep" not in os.listdir(data(shared_engine, "one"))


@pytest.mark.parametrize("place", ["/there", "/climbs"])
def test_a_link_in_the_image_leads_inside_it(shared_engine: Engine, plain: str, place: str) -> None:
    # Fails where the image's folder is opened by a path of the host.
    create(shared_engine, plain, "true", HostConfig={"Binds": [f"one:{place}"]})
    assert (data(shared_engine, "one") / "marked").read_bytes() == b"two"


def test_a_volume_over_a_file_is_refused_and_leaves_nothing(
    shared_engine: Engine, plain: str
) -> None:
    for fields in ({"Volumes": {"/file": {}}}, {"HostConfig": {"Binds": ["one:/file"]}}):
        status, message = refusal(shared_engine, plain, **fields)
        assert status == 400
        assert message == "cannot mount volume over existing file, file exists /file"
    assert call(shared_engine, "GET", "/volumes").body["Volumes"] == []
    assert call(shared_engine, "GET", "/containers/json?all=1").body == []


@pytest.mark.parametrize("left", [".ipycontainer-filling", ".ipycontainer-filled"])
def test_what_is_half_filled_is_not_taken_for_filled(
    shared_engine: Engine, plain: str, left: str
) -> None:
    # As an engine leaves it that is killed while it fills: before all is there, and after.
    volume(shared_engine, "one")
    half = data(shared_engine, "one") / left / "folder"
    half.mkdir(parents=True)
    (half / "f").write_text("of the killed one")
    create(shared_engine, plain, "true", HostConfig={"Binds": ["one:/data"]})
    names = set(os.listdir(data(shared_engine, "one")))
    if left == ".ipycontainer-filling":
        assert "marked" in names
        assert "folder" not in names
    else:
        assert names == {"folder"}
    assert not names & {".ipycontainer-filling", ".ipycontainer-filled"}


@pytest.mark.long
def test_an_engine_that_is_killed_while_it_fills_leaves_it_to_the_next(
    busybox: str, tmp_path: Path
) -> None:
    with running_engine() as engine:
        engine.succeed("pull", "-q", busybox)
        (tmp_path / "big").mkdir()
        for number in range(1000):
            (tmp_path / f"big/{number}").write_text("x")
        image = build(engine, busybox, tmp_path, "COPY big /big", name="big")
        host = {"Binds": ["vol:/big"], "NetworkMode": "none"}
        body = {"Image": image, "HostConfig": host, "Volumes": {"/nobodys": {}}}
        asking = threading.Thread(target=lambda: _ask(engine, body))
        asking.start()
        half = data(engine, "vol") / ".ipycontainer-filling"
        while not half.exists() and asking.is_alive():
            pass
        engine.kill()
        asking.join()
        engine.start()
        # Its volume would stay as empty as it is: only who is created has them filled.
        assert call(engine, "GET", "/containers/json?all=1").body == []
        for _ in range(100):
            if volumes(engine) == {"vol"}:
                break
            time.sleep(0.05)  # undone beside the first requests
        assert volumes(engine) == {"vol"}
        assert call(engine, "POST", "/containers/create", body).status == 201
        found = {path.name for path in data(engine, "vol").iterdir()}
        assert found == {str(number) for number in range(1000)}


def _ask(engine: Engine, body: object) -> None:
    with contextlib.suppress(OSError, HTTPException):  # it is killed meanwhile
        call(engine, "POST", "/containers/create", body)


@pytest.mark.needs("root")
def test_a_container_with_ids_of_its_own_sees_them_in_its_volumes(
    shared_engine: Engine, plain: str
) -> None:
    auto = {"UsernsMode": "auto", "Binds": ["one:/data"]}
    expected = seen(shared_engine, plain, "/data")
    assert seen(shared_engine, plain, "/data", HostConfig=auto) == expected
    found = facts(data(shared_engine, "one"))
    assert found["file"][1:3] == (7, 8)
    assert found["."][1:3] == (5, 6)
    # Another one, with other ids, sees the same, and what it makes is root's.
    container = create(shared_engine, plain, "touch", "/data/new", HostConfig=auto)
    start(shared_engine, container)
    assert ended(shared_engine, container) == 0
    assert facts(data(shared_engine, "one"))["new"][1:3] == (0, 0)


def test_image_volumes_are_anonymous_and_in_inspect(shared_engine: Engine, image: str) -> None:
    container = create(shared_engine, image, "true", Volumes={"/more": {}})
    found = mounts(shared_engine, container)
    assert sorted(found) == ["/data", "/more", "/nothere"]
    for mount in found.values():
        assert len(mount["Name"]) == 64
        assert (mount["Type"], mount["Driver"], mount["Mode"]) == ("volume", "local", "")
        assert mount["RW"] is True
        labels = call(shared_engine, "GET", f"/volumes/{mount['Name']}").body["Labels"]
        assert labels == {"com.docker.volume.anonymous": ""}
    config = call(shared_engine, "GET", f"/containers/{container}/json").body["Config"]
    assert json.dumps(config["Volumes"]) == '{"/data": {}, "/nothere": {}, "/more": {}}'
