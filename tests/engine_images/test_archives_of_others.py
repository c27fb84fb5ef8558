"""Archives to and from dockerd, skopeo and podman; imports beside dockerd's."""

import gzip
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from support import archived, leftovers
from support.engines import Engine
from support.hosts import Host
from support.made import digest, image, tar

pytestmark = pytest.mark.needs("root", "docker", "busybox")

LOWER, UPPER = tar({"lower": b"1" * 100_000}), tar({"upper": b"2"})
MADE = image(LOWER, UPPER, LOWER, docker=True, config={"Env": ["A=b"], "Cmd": ["true"]})


@pytest.fixture
def saved(shared_engine: Engine, tmp_path: Path) -> Iterator[Path]:
    """An archive that this engine saved, of an image that has two names and one layer twice."""
    given = archived.pack(archived.layout([archived.entry(MADE, "ours:1")], MADE))
    shared_engine.succeed("load", stdin=given)
    shared_engine.succeed("tag", "ours:1", "ours:2")
    shared_engine.succeed("save", "-o", f"{tmp_path}/ours.tar", "ours")
    yield tmp_path / "ours.tar"
    shared_engine.docker("rmi", "-f", "ours:1", "ours:2")


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short name: Podman takes no run folder whose path has 50 characters."""
    folder = Path(tempfile.mkdtemp(prefix="ipyc-p", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


def shape(host: Host, name: str) -> dict[str, object]:
    """Return what an image is on any engine."""
    found = json.loads(host.succeed("image", "inspect", name))[0]
    kept = ("Id", "RepoTags", "RootFS", "Created", "Architecture", "Os", "Author", "Size")
    config = {
        key: found["Config"].get(key) or None for key in ("Env", "Cmd", "WorkingDir", "Labels")
    }
    return {key: found[key] for key in kept} | config


@pytest.mark.needs("dockerd")
def test_dockerd_loads_what_is_saved_and_the_other_way(
    shared_engine: Engine, dockerd: Host, saved: Path
) -> None:
    assert dockerd.succeed("load", "-i", str(saved)) == shared_engine.succeed(
        "load", "-i", str(saved)
    )
    theirs = shape(dockerd, "ours:2")
    assert shape(shared_engine, "ours:2") == theirs
    back = saved.with_name("theirs.tar")
    dockerd.succeed("save", "-o", str(back), "ours:1", "ours:2")
    dockerd.succeed("rmi", "-f", "ours:1", "ours:2")
    shared_engine.succeed("rmi", "-f", "ours:1", "ours:2")
    assert shared_engine.succeed("load", "-i", str(back)).splitlines() == [
        "Loaded image: ours:1",
        "Loaded image: ours:2",
    ]
    assert shape(shared_engine, "ours:2") == theirs


@pytest.mark.needs("skopeo")
@pytest.mark.parametrize("source", ["docker-archive:{}:ours:1", "oci-archive:{}:1"])
@pytest.mark.parametrize("target", ["docker-archive", "oci-archive"])
def test_skopeo_reads_what_is_saved_and_what_it_writes_is_loaded(
    shared_engine: Engine, saved: Path, source: str, target: str
) -> None:
    written = saved.with_name("skopeo.tar")
    copied = [source.format(saved), f"{target}:{written}:ours-by-skopeo:1"]
    subprocess.run(["skopeo", "copy", "-q", *copied], check=True, capture_output=True)
    assert shared_engine.succeed("load", "-i", str(written)) == "Loaded image: ours-by-skopeo:1"
    [layers] = json.loads(
        shared_engine.succeed("inspect", "-f", "[{{json .RootFS.Layers}}]", "ours-by-skopeo:1")
    )
    assert layers == [digest(LOWER), digest(UPPER), digest(LOWER)]
    shared_engine.succeed("rmi", "-f", "ours-by-skopeo:1")


@pytest.mark.needs("skopeo")
def test_skopeo_finds_the_manifest_that_came(shared_engine: Engine, saved: Path) -> None:
    command = ["skopeo", "inspect", "--raw", f"oci-archive:{saved}:1"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    [entry] = json.loads(told)["manifests"]
    assert entry["digest"] == MADE.digest


@pytest.mark.needs("podman")
def test_podman_loads_what_is_saved_and_the_other_way(
    shared_engine: Engine, saved: Path, short: Path
) -> None:
    folder = short
    # vfs needs no mount, so nothing stays that would have to be undone.
    podman = ["podman", "--root", f"{folder}/p", "--runroot", f"{folder}/r", "--storage-driver=vfs"]
    do = partial(subprocess.run, check=True, capture_output=True, text=True)
    assert "Loaded image: localhost/ours:2" in do([*podman, "load", "-i", str(saved)]).stdout
    for number, options in enumerate(([], ["--format", "oci-archive"], ["-m"])):
        back = folder / f"{number}.tar"
        do([*podman, "save", *options, "-o", str(back), "localhost/ours:1"])
        assert shared_engine.succeed("load", "-i", str(back)).splitlines()[-1] == (
            "Loaded image: localhost/ours:1"
        )
    shared_engine.succeed("rmi", "-f", "localhost/ours:1")


@pytest.mark.needs("dockerd")
def test_an_import_is_the_same_image_as_dockerds_but_for_its_time(
    shared_engine: Engine, dockerd: Host, tmp_path: Path
) -> None:
    (tmp_path / "root.tar.gz").write_bytes(gzip.compress(LOWER))
    changes = ["CMD echo hi", "ENV A=b C=d", "LABEL l=1", "EXPOSE 80", "WORKDIR /w", "USER 5"]
    flags = [word for change in changes for word in ("-c", change)]
    found = []
    for host in (dockerd, shared_engine):
        name = "imported:1"
        done = host.succeed("import", *flags, "-m", "said", f"{tmp_path}/root.tar.gz", name)
        one = json.loads(host.succeed("image", "inspect", name))[0]
        history = host.succeed("history", "--format", "{{.CreatedBy}}|{{.Comment}}", name)
        assert done == one["Id"]
        kept = ("RepoTags", "RootFS", "Comment", "Architecture", "Os", "Size")
        config = ("Cmd", "Env", "Labels", "ExposedPorts", "WorkingDir", "User")
        found.append(
            [history, *(one[key] for key in kept), *(one["Config"][key] for key in config)]
        )
        host.succeed("rmi", name)
    assert found[1] == found[0]


def test_an_import_from_a_url_tells_where_from(shared_engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "root.tar").write_bytes(LOWER)
    handler = partial(_Quiet, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever).start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            said = shared_engine.succeed("import", f"{url}/root.tar", "by-url:1")
            missing = shared_engine.docker("import", f"{url}/none.tar", "by-url:2")
            cut = shared_engine.docker("import", f"{url}/cut.tar", "by-url:4")
        finally:
            server.shutdown()
    assert f"Downloading from {url}/root.tar" in said
    assert shared_engine.succeed("inspect", "-f", "{{.Comment}}", "by-url:1") == (
        f"Imported from {url}/root.tar"
    )
    assert b"none.tar: the server answers 404" in missing.stderr
    assert b"cut.tar was cut off" in cut.stderr
    refused = shared_engine.docker("import", f"{url}/root.tar", "by-url:3")
    assert b"Connection refused" in refused.stderr
    shared_engine.succeed("rmi", "by-url:1")


class _Quiet(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        """Serve a file, or a part of one that was announced as larger."""
        if self.path != "/cut.tar":
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        self.wfile.write(LOWER[:1000])
        return None

    def log_message(self, *_: object) -> None:
        pass


def test_an_import_that_is_cut_leaves_nothing(shared_engine: Engine) -> None:
    places = ("images/blobs/sha256", "ingest", "layers", "trash")

    def content() -> set[str]:
        root = shared_engine.paths.root
        return {f"{place}/{path.name}" for place in places for path in (root / place).iterdir()}

    before = content()
    archive = gzip.compress(tar({"random": os.urandom(1 << 20)}))
    done = shared_engine.docker("import", "-", "cut:1", stdin=archive[:-1000])
    assert b"ends in the middle" in done.stderr
    assert leftovers.eventually(lambda: sorted(content() ^ before)) == []


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["-c", "RUN true"], b"RUN is not a valid change command"),
        (["--platform", "a/b/c/d"], b"invalid platform"),
    ],
)
def test_an_import_that_asks_for_what_cannot_be_leaves_nothing(
    shared_engine: Engine, flags: list[str], words: bytes
) -> None:
    done = shared_engine.docker("import", *flags, "-", "never:1", stdin=LOWER)
    assert done.returncode != 0
    assert words in done.stderr
    assert "never" not in shared_engine.succeed("images")


def test_an_archive_that_cannot_be_finished_is_cut_and_not_ended(shared_engine: Engine) -> None:
    made = image(*(tar({"random": os.urandom(3 << 20)}) for _ in range(2)))
    shared_engine.succeed(
        "load", stdin=archived.pack(archived.layout([archived.entry(made, "cut:1")], made))
    )
    # The last that is written, so that the answer has begun.
    last = max([made.digest, made.config_digest, *made.layer_digests])
    blob = shared_engine.paths.root / "images/blobs" / last.replace(":", "/")
    content = blob.read_bytes()
    blob.write_bytes(content[:-1])
    try:
        done = shared_engine.docker("save", "cut:1")
    finally:
        blob.write_bytes(content)
        shared_engine.succeed("rmi", "cut:1")
    assert done.returncode != 0
    assert b"unexpected EOF" in done.stderr
