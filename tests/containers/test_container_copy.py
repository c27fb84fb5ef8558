"""Files out of containers and into them: archives, their names, what is followed, export."""

import bz2
import gzip
import lzma
import os
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from backports import zstd

from support import calls, copies
from support.calls import Make
from support.copies import archive, folder, get, hard_link, member, opened, put, symlink
from support.engines import Engine
from support.hosts import Host

pytestmark = pytest.mark.ordinary_user

TREE = archive(
    folder("d/", mode=0o1777, uid=5, gid=6),
    folder("d/x"),
    member("d/x/f", b"one"),
    member("d/x/g", b"two", mode=0o4755, uid=7),
    hard_link("d/h", "d/x/f"),
    symlink("d/l", "x"),
    symlink("l", "d"),
    symlink("dangling", "/nope/a"),
    member("fifo", type=b"6"),
    symlink("absolute", "/d/x"),
    member("long" * 40, b"x"),
)
PATHS = (
    *("/d", "/d/", "/d/.", "/l", "/l/", "/l/.", "/dangling", "/dangling/", "/fifo", "/absolute/f"),
    *(
        "/nope",
        "/nope/x",
        "/",
        "/.",
        ".",
        "d/x/../x",
        "/d/l/../x",
        "/proc",
        "/proc/version",
        "/dev",
    ),
    "../../etc",
)


def described(host: Host, container: str, path: str) -> list[object]:
    """All that two engines must agree on about one path."""
    found: list[object] = []
    for method in ("HEAD", "GET"):
        got = get(host, container, path, method)
        stat = {k: v for k, v in got.stat.items() if k not in ("mtime", "size")}
        entries = sorted(
            # Go puts the type into the mode as well.
            (name, e.type, e.mode & 0o7777, e.uid, e.gid, e.linkname)
            for name, e in got.members.items()
            if "etc/" not in name
        )
        found += [got.status, stat, entries, got.message.replace(container, "ID")]
    return found


@pytest.mark.needs("dockerd")
def test_paths_and_archives_are_those_of_docker(
    shared_engine: Engine, dockerd: Host, busybox: str, make: Make
) -> None:
    dockerd.succeed("pull", "-q", busybox)
    theirs, ours = calls.create(dockerd, busybox, "true"), make("true")
    assert put(dockerd, theirs, "/", TREE).status == put(shared_engine, ours, "/", TREE).status
    for path in PATHS:
        docker = described(dockerd, theirs, path)
        assert described(shared_engine, ours, path) == docker, path
    calls.remove(dockerd, theirs)


@pytest.mark.parametrize("running", [False, True], ids=["stopped", "running"])
def test_the_docker_command_copies_both_ways(
    shared_engine: Engine, run: Make, make: Make, tmp_path: Path, running: bool
) -> None:
    container = (run if running else make)("sleep", "1000")
    source = tmp_path / "source"
    (source / "deep/er").mkdir(parents=True)
    (source / "deep/er/file").write_text("content")
    (source / "link").symlink_to("deep/er/file")
    docker = shared_engine.succeed
    docker("cp", str(source), f"{container}:/new")
    docker("cp", f"{container}:/new", str(tmp_path / "back"))
    assert subprocess.run(["diff", "-r", source, tmp_path / "back"]).returncode == 0
    docker("cp", str(source / "deep/er/file"), f"{container}:/new/link")  # over what it leads to
    docker("cp", "-L", f"{container}:/new/link", str(tmp_path / "followed"))
    assert (tmp_path / "followed").read_text() == "content"
    docker("cp", f"{container}:/new/link", str(tmp_path / "link"))
    assert os.readlink(tmp_path / "link") == "deep/er/file"
    docker("cp", f"{source}/.", f"{container}:/tmp")
    assert get(shared_engine, container, "/tmp/deep/er/file").contents == {"file": b"content"}
    sent = archive(member("piped", b"from a pipe"))
    docker("cp", "-", f"{container}:/tmp", stdin=sent)
    assert opened(shared_engine.docker("cp", f"{container}:/tmp/piped", "-").stdout)[1] == {
        "piped": b"from a pipe"
    }
    if running:
        seen = docker("exec", container, "cat", "/tmp/piped", "/new/deep/er/file")
        assert seen == "from a pipecontent"


def test_a_running_container_shows_its_root_and_no_mount_of_its_own(
    shared_engine: Engine, run: Make, tmp_path: Path
) -> None:
    (tmp_path / "shown").write_text("of the host")
    binds = [f"{tmp_path}:/bound", f"{tmp_path}:/readonly:ro"]
    settings = {"Binds": binds, "Tmpfs": {"/scratch": ""}}
    container = run("sh", "-c", "echo x >/scratch/x; exec sleep 1000", HostConfig=settings)
    assert get(shared_engine, container, "/bound/shown").contents == {"shown": b"of the host"}
    assert b"localhost" in get(shared_engine, container, "/etc/hosts").contents["hosts"]
    for path in ("/proc/1", "/sys/kernel", "/dev/null", "/scratch/x"):
        assert get(shared_engine, container, path).status == 404
    assert put(shared_engine, container, "/bound", archive(member("made"))).status == 200
    assert (tmp_path / "made").exists()
    refused = put(shared_engine, container, "/readonly", archive(member("no")))
    assert (refused.status, refused.message) == (403, "mounted volume is marked read-only")


@pytest.mark.needs("root")
def test_a_paused_container_is_copied_from_and_into(shared_engine: Engine, run: Make) -> None:
    container = run("sleep", "1000")
    shared_engine.succeed("pause", container)
    assert put(shared_engine, container, "/", archive(member("f", b"x"))).status == 200
    assert get(shared_engine, container, "/f").contents == {"f": b"x"}
    shared_engine.succeed("unpause", container)


def test_nothing_is_written_into_a_read_only_root(shared_engine: Engine, make: Make) -> None:
    container = make("true", HostConfig={"ReadonlyRootfs": True})
    refused = put(shared_engine, container, "/", archive(member("no")))
    assert (refused.status, refused.message) == (403, "container rootfs is marked read-only")


@pytest.mark.parametrize(
    "compress",
    [gzip.compress, bz2.compress, lzma.compress, zstd.compress],
    ids=["gzip", "bzip2", "xz", "zstd"],
)
def test_an_archive_may_be_compressed(
    shared_engine: Engine, make: Make, compress: Callable[[bytes], bytes]
) -> None:
    container = make("true")
    large = os.urandom(1 << 20)
    assert put(shared_engine, container, "/", compress(archive(member("f", large)))).status == 200
    assert get(shared_engine, container, "/f").contents["f"] == large


def test_attributes_survive_the_way_in_and_out(shared_engine: Engine, make: Make) -> None:
    container = make("true")
    sent = member(
        "f", b"x", mode=0o6755, uid=30_000, gid=44, pax_headers={"SCHILY.xattr.user.a": "b"}
    )
    assert put(shared_engine, container, "/", archive(folder("d", mode=0o2750), sent)).status == 200
    found = get(shared_engine, container, "/f").members["f"]
    assert (found.mode, found.uid, found.gid, found.mtime) == (0o6755, 30_000, 44, 1_700_000_000)
    assert found.pax_headers["SCHILY.xattr.user.a"] == "b"
    assert get(shared_engine, container, "/d").members["d"].mode == 0o2750


def test_what_is_made_inherits_no_group_from_its_folder(shared_engine: Engine, make: Make) -> None:
    container = make("true")
    put(shared_engine, container, "/", archive(folder("d", mode=0o2775, gid=77)))
    put(shared_engine, container, "/d", archive(folder("inner"), member("f")))
    found = get(shared_engine, container, "/d").members
    assert (found["d/inner"].gid, found["d/inner"].mode, found["d/f"].gid) == (0, 0o755, 0)


@pytest.mark.parametrize("user", ["34:44", "nobody", ""])
def test_files_may_be_given_to_the_containers_user(
    shared_engine: Engine, make: Make, user: str
) -> None:
    container = make("true", User=user)
    put(shared_engine, container, "/", archive(member("f", uid=9, gid=9)), copyUIDGID="1")
    found = get(shared_engine, container, "/f").members["f"]
    assert (found.uid, found.gid) == {"34:44": (34, 44), "nobody": (65534, 65534), "": (9, 9)}[user]


def test_a_folder_and_a_file_replace_each_other_only_where_that_is_allowed(
    shared_engine: Engine, make: Make
) -> None:
    container = make("true")
    put(shared_engine, container, "/", archive(folder("a"), member("a/in/side"), member("b")))
    swapped = archive(member("a", b"file"), folder("b"), member("b/x"))
    refused = put(shared_engine, container, "/", swapped, noOverwriteDirNonDir="true")
    assert refused.status == 400
    assert 'cannot overwrite directory "/a" with non-directory' in refused.message
    assert put(shared_engine, container, "/", swapped).status == 200
    assert get(shared_engine, container, "/a").contents == {"a": b"file"}
    assert set(get(shared_engine, container, "/b").members) == {"b", "b/x"}


@pytest.mark.parametrize(
    ("data", "path", "status", "words"),
    [
        (b"garbage" * 200, "/", 400, "no tar archive"),
        (archive(member("f", b"x" * 5000))[:2000], "/", 400, "ends in the middle"),
        (gzip.compress(archive(member("f")), mtime=0)[:-9], "/", 400, "gzip stream"),
        (archive(hard_link("h", "missing")), "/", 400, "not in it"),
        (archive(member("f")), "/bin/busybox", 400, "not a directory"),
        (archive(member("f")), "/nope", 404, "Could not find the file /nope in container"),
        (archive(member("f")), "", 400, "path cannot be empty"),
    ],
)
def test_a_bad_archive_or_place_is_refused_in_words(
    shared_engine: Engine, make: Make, data: bytes, path: str, status: int, words: str
) -> None:
    refused = put(shared_engine, make("true"), path, data)
    assert refused.status == status
    assert words in refused.message


def test_a_refusal_is_read_although_the_client_has_much_to_send(
    shared_engine: Engine, make: Make
) -> None:
    refused = put(shared_engine, make("true"), "/nope", archive(member("f", bytes(8 << 20))))
    assert refused.status == 404
    absent = put(shared_engine, "no-such", "/", archive(member("f", bytes(8 << 20))))
    assert (absent.status, absent.message) == (404, "No such container: no-such")


def test_an_export_is_the_root_alone(shared_engine: Engine, run: Make, tmp_path: Path) -> None:
    (tmp_path / "host").touch()
    container = run("sleep", "1000", HostConfig={"Binds": [f"{tmp_path}:/bound"]})
    put(shared_engine, container, "/", archive(member("made", b"x" * 100)))
    exported, contents = opened(shared_engine.docker("export", container).stdout)
    assert contents["made"] == b"x" * 100
    assert {"bin/busybox", "bound", "proc", "etc/hosts"} <= set(exported)
    assert not {"bound/host", "proc/1", ".", ""} & set(exported)


def test_a_container_that_is_copied_from_can_be_started_afterwards(
    shared_engine: Engine, make: Make
) -> None:
    container = make("cat", "/in")
    put(shared_engine, container, "/", archive(member("in", b"was copied")))
    calls.start(shared_engine, container)
    assert calls.ended(shared_engine, container) == 0
    assert calls.logged(shared_engine, container) == b"was copied"
    assert get(shared_engine, container, "/in").contents == {"in": b"was copied"}


def test_a_client_that_goes_away_lets_the_container_go(shared_engine: Engine, make: Make) -> None:
    container = make("true")
    whole = archive(member("large", bytes(40 << 20)))
    assert put(shared_engine, container, "/", whole).status == 200
    copies.begin_put(shared_engine, container, "/", whole[: 20 << 20], len(whole)).close()
    reading, _ = calls.begin(shared_engine, "GET", f"/containers/{container}/archive?path=/large")
    reading.close()
    calls.start(shared_engine, container)  # would wait for a copy that goes on
    assert calls.ended(shared_engine, container) == 0


def test_copies_leave_no_descriptor_open(shared_engine: Engine, run: Make, make: Make) -> None:
    settings = {"Binds": ["/tmp:/host"]}  # shows the engine's folders, which are hidden
    containers = [run("sleep", "1000", HostConfig=settings), make("true", HostConfig=settings)]
    descriptors = Path(f"/proc/{shared_engine.pid}/fd")

    def copy() -> list[str]:
        for container in containers:
            put(shared_engine, container, "/", archive(folder("d"), member("d/f")))
            put(shared_engine, container, "/d", b"garbage" * 200)
            for path in ("/d", "/d/f", "/nope", "/d/f/g"):
                get(shared_engine, container, path)
        links = [os.readlink(path) for path in descriptors.iterdir() if path.is_symlink()]
        # Of the shims that wait for the next container, which come and go.
        return sorted(link for link in links if not link.startswith(("socket:", "net:")))

    assert copy() == copy()


def test_events_tell_of_copies(shared_engine: Engine, make: Make) -> None:
    with closing(shared_engine.client.events(decode=True)) as events:
        container = make("true")
        put(shared_engine, container, "/", archive(member("f")))
        get(shared_engine, container, "/f")
        calls.call(shared_engine, "GET", f"/containers/{container}/export")
        heard = []
        for event in events:
            if event.get("id") == container:
                heard.append(event["Action"])
            if heard[-1:] == ["export"]:
                break
    assert heard == ["create", "extract-to-dir", "archive-path", "export"]
