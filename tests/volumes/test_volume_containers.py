"""Volumes, binds and tmpfs in containers: what is where, and what goes with its container."""

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
from volumeroom import mounts, refusal, volumes

from support.calls import Make, call, create, ended, logged, remove, start
from support.copies import archive, get, member, put
from support.engines import Engine
from support.hosts import Host

pytestmark = [pytest.mark.needs("docker", "busybox"), pytest.mark.ordinary_user]

_MOUNT = {"Type": "volume", "Source": "vol", "Target": "/b"}
REQUESTS: list[dict[str, Any]] = [
    {"Binds": ["vol:/x:zz"]},
    {"Binds": ["a:/x"]},
    {"Binds": ["vol:x"]},
    {"Binds": ["vol:/"]},
    {"Binds": ["vol:/x:ro,rw"]},
    {"Binds": ["vol:/x:ro,ro"]},
    {"Binds": ["/x:ro"]},
    {"Binds": ["/x:rslave"]},
    {"Binds": [":/x"]},
    {"Binds": [""]},
    {"Binds": ["/a:/b:ro:x"]},
    {"Binds": ["v!:/b"]},
    {"Binds": ["../x:/b"]},
    {"Binds": ["vol:/x:rshared"]},
    {"Binds": ["anonymous"]},
    {"Binds": ["vol:/b", "vol2:/b"]},
    {"Binds": ["vol:/b", "vol2:/b/"]},
    {"Binds": ["vol:/b"], "Tmpfs": {"/b": ""}},
    {"Mounts": [{"Type": "tmpfs", "Target": "/b"}], "Binds": ["vol:/b"]},
    {"Mounts": [{**_MOUNT, "Source": "", "ReadOnly": True}]},
    {"Mounts": [{**_MOUNT, "Target": "b"}]},
    {"Mounts": [{**_MOUNT, "Target": ""}]},
    {"Mounts": [{**_MOUNT, "Target": "/"}]},
    {"Mounts": [{**_MOUNT, "BindOptions": {}}]},
    {"Mounts": [{"Type": "bind", "Target": "/b"}]},
    {"Mounts": [{"Type": "bind", "Target": "/b", "Source": "x"}]},
    {"Mounts": [{"Type": "bind", "Target": "/b", "Source": "/none/such"}]},
    {"Mounts": [{"Type": "bind", "Target": "/b", "Source": "/tmp", "VolumeOptions": {}}]},
    {
        "Mounts": [
            {"Type": "bind", "Target": "/b", "Source": "/", "BindOptions": {"Propagation": "x"}}
        ]
    },
    {"Mounts": [{"Type": "tmpfs", "Target": "/b", "Source": "x"}]},
    {"Mounts": [{"Type": "what", "Target": "/b", "Source": "x"}]},
    {"Mounts": [{"Type": "", "Target": "/b", "Source": "x"}]},
    {"VolumesFrom": ["none"]},
    {"VolumesFrom": [""]},
    {"VolumesFrom": ["none:xx"]},
]


@pytest.mark.needs("dockerd")
def test_what_docker_refuses_is_refused_in_its_words(
    shared_engine: Engine, dockerd: Host, busybox: str
) -> None:
    dockerd.succeed("pull", "-q", busybox)
    for request in REQUESTS:
        their_status, theirs = refusal(dockerd, busybox, HostConfig=request)
        status, ours = refusal(shared_engine, busybox, HostConfig=request)
        # What is malformed is 400 by the API's text, where Docker's engine says 500; and by 404 a
        # client would take the image for missing.
        assert status == 400, (request, their_status)
        assert ours.startswith(theirs), request
        assert not volumes(shared_engine), request
    for name in sorted(volumes(dockerd)):
        call(dockerd, "DELETE", f"/volumes/{name}")


def test_an_unknown_driver_is_refused(shared_engine: Engine, busybox: str) -> None:
    driver = {"DriverConfig": {"Name": "none"}}
    for settings in (
        {"VolumeDriver": "none", "Binds": ["vol:/b"]},
        {"Mounts": [{**_MOUNT, "VolumeOptions": driver}]},
    ):
        status, message = refusal(shared_engine, busybox, HostConfig=settings)
        assert (status, 'plugin "none" not found' in message) == (400, True)


@pytest.mark.parametrize(
    "mount",
    [
        {"Type": 5},
        {**_MOUNT, "Target": ["/b"]},
        {**_MOUNT, "ReadOnly": "yes"},
        {**_MOUNT, "VolumeOptions": {"Subpath": 5}},
        {**_MOUNT, "VolumeOptions": {"DriverConfig": "local"}},
        {"Type": "tmpfs", "Target": "/b", "TmpfsOptions": {"SizeBytes": -1}},
        {"Type": "tmpfs", "Target": "/b", "TmpfsOptions": {"Options": [["suid"]]}},
        {"Type": "tmpfs", "Target": "/b", "TmpfsOptions": {"Options": [["size", "1"]]}},
        {
            "Type": "bind",
            "Source": "/tmp",
            "Target": "/b",
            "BindOptions": {"ReadOnlyNonRecursive": True},
        },
        "text",
    ],
    ids=str,
)
def test_a_mount_that_is_none_is_refused(
    shared_engine: Engine, busybox: str, mount: object
) -> None:
    status, message = refusal(shared_engine, busybox, HostConfig={"Mounts": [mount]})
    assert status == 400
    assert "invalid mount config" in message


def test_a_mount_says_null_where_it_says_nothing(shared_engine: Engine, make: Make) -> None:
    mount = {**_MOUNT, "BindOptions": None, "VolumeOptions": None, "ReadOnly": None}
    container = make("true", HostConfig={"Mounts": [mount]})
    assert mounts(shared_engine, container)["/b"]["Name"] == "vol"


@pytest.mark.needs("dockerd")
def test_inspect_tells_mounts_as_docker_does(
    shared_engine: Engine, dockerd: Host, busybox: str, tmp_path: Path
) -> None:
    dockerd.succeed("pull", "-q", busybox)
    settings = {
        "Binds": [
            "vol:/a",
            "vol:/b:ro",
            "vol:/c:nocopy",
            f"{tmp_path}:/d",
            f"{tmp_path}:/e:ro,z",
            "/anonymous",
        ],
        "Mounts": [
            {**_MOUNT, "Target": "/f"},
            {**_MOUNT, "Target": "/g", "Source": "", "VolumeOptions": {"Labels": {"a": "b"}}},
            {
                "Type": "bind",
                "Source": f"{tmp_path}/../{tmp_path.name}",
                "Target": "/h/",
                "ReadOnly": True,
            },
            {"Type": "tmpfs", "Target": "/i", "TmpfsOptions": {"SizeBytes": 1 << 20}},
        ],
        "Tmpfs": {"/j": "size=1m"},
    }
    shapes = []
    for host in (dockerd, shared_engine):
        container = create(host, busybox, "true", HostConfig=settings, Volumes={"/k": {}})
        # Docker's engine takes a tmpfs of another container's Mounts for a volume without a name.
        donor = create(host, busybox, "true", HostConfig={"Binds": settings["Binds"]})
        other = create(host, busybox, "true", HostConfig={"VolumesFrom": [f"{donor}:ro"]})
        shape = []
        for one in (container, other):
            found = mounts(host, one)
            for mount in found.values():
                if mount["Type"] == "volume":
                    mount["Source"] = mount["Source"].endswith(f"/volumes/{mount['Name']}/_data")
                    mount["Name"] = mount["Name"] if mount["Name"] == "vol" else len(mount["Name"])
            shape.append(dict(sorted(found.items())))
        shapes.append(shape)
        for one in (container, other, donor):
            call(host, "DELETE", f"/containers/{one}?v=1")
        call(host, "DELETE", "/volumes/vol")
    for ours, theirs in zip(shapes[1], shapes[0], strict=True):
        assert ours.keys() == theirs.keys()
        for place, mount in theirs.items():
            assert ours[place] == mount


def test_nested_mounts_are_all_there_whatever_their_order(shared_engine: Engine, run: Make) -> None:
    binds = ["deep:/x/y/z", "top:/x", "mid:/x/y:ro"]
    script = "touch /x/t /x/y/z/d; touch /x/y/m; ls -d /x/* /x/y/*"
    settings = {"Binds": binds, "Tmpfs": {"/x/t2": ""}, "ReadonlyRootfs": True}
    volumes_first = create(
        shared_engine, _busybox(shared_engine), "mkdir", "/m/z", HostConfig={"Binds": ["mid:/m"]}
    )
    start(shared_engine, volumes_first)
    assert ended(shared_engine, volumes_first) == 0
    container = run("sh", "-c", script, HostConfig=settings)
    ended(shared_engine, container)
    said = logged(shared_engine, container).decode()
    assert "touch: /x/y/m: Read-only file system" in said
    assert {"/x/t", "/x/t2", "/x/y", "/x/y/z"} <= set(said.split())


def _busybox(engine: Engine) -> str:
    (image,) = [
        tag
        for found in call(engine, "GET", "/images/json").body
        for tag in found["RepoTags"]
        if "busybox" in tag
    ]
    assert isinstance(image, str)
    return image


def test_volumes_are_shared_and_taken_from_other_containers(
    shared_engine: Engine, run: Make, tmp_path: Path
) -> None:
    (tmp_path / "of-host").write_text("seen")
    binds = {"Binds": ["vol:/v", f"{tmp_path}:/h:ro"]}
    donor = run("sh", "-c", "echo hello > /v/f; sleep 1000", HostConfig=binds)
    script = "until cat /v/f; do sleep 0.1; done 2>/dev/null; cat /h/of-host; touch /v/new"
    for mode, code in (("", 0), (":rw", 0), (":ro", 1), (":ro,z", 1)):
        taker = run("sh", "-c", script, HostConfig={"VolumesFrom": [f"{donor}{mode}"]})
        assert ended(shared_engine, taker) == code
        assert b"seen" in logged(shared_engine, taker)
        assert mounts(shared_engine, taker)["/v"]["RW"] is (code == 0)
        assert mounts(shared_engine, taker)["/h"]["RW"] is False


def test_what_is_asked_for_goes_before_volumes_from_and_the_images(
    shared_engine: Engine, image: str
) -> None:
    donor = create(shared_engine, image, "true", HostConfig={"Binds": ["theirs:/x"]})
    settings = {"VolumesFrom": [donor], "Binds": ["mine:/x"], "Tmpfs": {"/nothere": ""}}
    taker = create(shared_engine, image, "true", HostConfig=settings)
    found = mounts(shared_engine, taker)
    assert found["/x"]["Name"] == "mine"
    assert found["/data"]["Name"] == mounts(shared_engine, donor)["/data"]["Name"]


def test_anonymous_volumes_go_with_their_container_where_that_is_asked(
    shared_engine: Engine, image: str
) -> None:
    binds = {"Binds": ["named:/x"]}
    first = create(shared_engine, image, "true", HostConfig=binds)
    anonymous = {m["Name"] for m in mounts(shared_engine, first).values()} - {"named"}
    second = create(shared_engine, image, "true", HostConfig={"VolumesFrom": [first]})
    remove(shared_engine, first)  # without v
    assert volumes(shared_engine) == {"named", *anonymous}
    third = create(shared_engine, image, "true", HostConfig={"VolumesFrom": [second]})
    assert call(shared_engine, "DELETE", f"/containers/{second}?v=1").status == 204
    assert volumes(shared_engine) == {"named", *anonymous}  # the third has them
    assert call(shared_engine, "DELETE", f"/containers/{third}?v=1").status == 204
    assert volumes(shared_engine) == {"named"}


def test_a_container_that_removes_itself_takes_its_anonymous_volumes_along(
    shared_engine: Engine, image: str
) -> None:
    for command, code in (("true", 0), ("no-such-program", 127)):
        flags = ["--rm", "--network", "none", "-v", "named:/x"]
        assert shared_engine.docker("run", *flags, image, command).returncode == code
        assert volumes(shared_engine) == {"named"}


def test_containers_are_found_by_their_volumes(shared_engine: Engine, make: Make) -> None:
    container = make("true", HostConfig={"Binds": ["vol:/x"]})
    make("true")
    for value in ("vol", "/x"):
        found = shared_engine.client.api.containers(all=True, filters={"volume": value})
        assert [one["Id"] for one in found] == [container]
        assert found[0]["Mounts"][0]["Name"] == "vol"
    assert shared_engine.client.api.containers(all=True, filters={"volume": "none"}) == []


def test_commits_and_exports_leave_volumes_out(shared_engine: Engine, image: str) -> None:
    script = "echo new > /data/new; echo root > /root-file"
    container = create(shared_engine, image, "sh", "-c", script)
    start(shared_engine, container)
    ended(shared_engine, container)
    whole = io.BytesIO(b"".join(shared_engine.client.api.export(container)))
    with tarfile.open(fileobj=whole) as exported:
        names = exported.getnames()
    assert "root-file" in names
    assert "data/new" not in names
    made = call(shared_engine, "POST", f"/commit?container={container}").body["Id"]
    look = create(shared_engine, made, "sh", "-c", "ls /data/new; cat /root-file /data/marked")
    start(shared_engine, look)
    ended(shared_engine, look)
    said = logged(shared_engine, look).decode()
    assert "root\ntwo" in said
    assert "No such file" in said
    config = call(shared_engine, "GET", f"/images/{made}/json").body["Config"]
    assert set(config["Volumes"]) == {"/data", "/nothere"}


def test_copies_go_into_volumes_and_out_of_them(shared_engine: Engine, make: Make) -> None:
    binds = {"Binds": ["vol:/x", "vol:/closed:ro"]}
    container = make("sleep", "1000", HostConfig=binds)
    for word in ("stopped", "running"):
        tree = archive(member(word, word.encode(), uid=3))
        assert put(shared_engine, container, "/x", tree).status == 200
        got = get(shared_engine, container, f"/closed/{word}")
        assert got.contents[word] == word.encode()
        assert got.members[word].uid == 3
        assert put(shared_engine, container, "/closed", tree).status == 403
        if word == "stopped":
            start(shared_engine, container)
    data = shared_engine.paths.root / "volumes/vol/_data"
    assert sorted(path.name for path in data.iterdir()) == ["running", "stopped"]


@pytest.mark.needs("root")
def test_copies_of_a_container_with_ids_of_its_own_keep_the_volumes_ids(
    shared_engine: Engine, make: Make
) -> None:
    container = make("sleep", "1000", HostConfig={"Binds": ["vol:/x"], "UsernsMode": "auto"})
    for word in ("stopped", "running"):
        put(shared_engine, container, "/x", archive(member(word, uid=3, gid=4)))
        assert get(shared_engine, container, f"/x/{word}").members[word].uid == 3
        status = (shared_engine.paths.root / "volumes/vol/_data" / word).stat()
        assert (status.st_uid, status.st_gid) == (3, 4)
        if word == "stopped":
            start(shared_engine, container)


@pytest.mark.needs("root")
@pytest.mark.parametrize("runtime", ["runc", "crun"])
def test_other_runtimes_mount_the_same(shared_engine: Engine, run: Make, runtime: str) -> None:
    if runtime not in call(shared_engine, "GET", "/info").body["Runtimes"]:
        pytest.skip(f"{runtime} is not installed")
    run("sh", "-c", "mkdir -p /x/a/b; touch /x/a/b/f", HostConfig={"Binds": ["vol:/x"]})
    part = {**_MOUNT, "Target": "/y", "VolumeOptions": {"Subpath": "a/b"}, "ReadOnly": True}
    settings = {"Binds": ["vol:/x"], "Mounts": [part], "Runtime": runtime}
    script = "until ls /x/a/b/f; do sleep 0.1; done; ls /y/f; touch /y/g"
    container = run("sh", "-c", script, HostConfig=settings)
    assert ended(shared_engine, container) == 1
    assert b"/x/a/b/f\n/y/f\n" in logged(shared_engine, container)
    assert b"Read-only file system" in logged(shared_engine, container)


def test_a_new_engine_knows_volumes_and_who_has_them(shared_engine: Engine, run: Make) -> None:
    container = run("sleep", "1000", HostConfig={"Binds": ["vol:/x"]})
    before = mounts(shared_engine, container)
    shared_engine.kill()
    shared_engine.start()
    assert mounts(shared_engine, container) == before
    reply = call(shared_engine, "DELETE", "/volumes/vol")
    assert (reply.status, container in reply.message) == (409, True)


@pytest.mark.parametrize(
    ("kind", "target", "said"),
    [
        ("folder", "/bin/busybox", "is a folder and cannot be mounted at /bin/busybox, where"),
        (
            "file",
            "/bin",
            "is a file and cannot be mounted at /bin, where the container has a folder",
        ),
    ],
)
def test_a_folder_over_a_file_is_told_as_that(
    shared_engine: Engine, busybox: str, tmp_path: Path, kind: str, target: str, said: str
) -> None:
    source = tmp_path / "source"
    source.mkdir() if kind == "folder" else source.touch()
    container = create(shared_engine, busybox, "true", HostConfig={"Binds": [f"{source}:{target}"]})
    reply = call(shared_engine, "POST", f"/containers/{container}/start")
    assert said in reply.message


@pytest.mark.parametrize(
    "option", ["colour", "colour=red", "size", "size=", "noexec=1", "ro,x", "ro,"]
)
def test_an_option_that_no_tmpfs_has_is_named_with_its_cure(
    shared_engine: Engine, busybox: str, option: str
) -> None:
    status, message = refusal(shared_engine, busybox, HostConfig={"Tmpfs": {"/b": option}})
    assert status == 400
    assert message.startswith(f"Invalid tmpfs option {option.rpartition(',')[2]!r}: use gid, mode")


def test_a_container_has_no_more_volumes_than_can_be_kept_in_hand(
    shared_engine: Engine, busybox: str
) -> None:
    many = {f"/volume{number}": {} for number in range(501)}
    status, message = refusal(shared_engine, busybox, Volumes=many)
    assert (status, "500 is the most" in message) == (400, True)
    assert not volumes(shared_engine)
