"""What belongs to no image and no container is deleted, and nothing else."""

import json
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ipycontainer_runtime import client
from support import archived, leftovers
from support.engines import Engine
from support.made import tar

pytestmark = [pytest.mark.needs("docker", "busybox"), pytest.mark.ordinary_user]


def blobs(engine: Engine) -> set[str]:
    return {path.name for path in (engine.paths.root / "images/blobs/sha256").iterdir()}


def layers(engine: Engine) -> set[str]:
    return {path.name for path in (engine.paths.root / "layers").iterdir()} - {"init"}


def created(engine: Engine, image: str, *command: str) -> str:
    return engine.succeed("create", "--network", "none", image, *command)


def test_an_engine_deletes_what_a_killed_one_had_fetched_and_not_named(
    engine: Engine, busybox: str
) -> None:
    engine.succeed("pull", "-q", busybox)
    assert blobs(engine)
    assert layers(engine)
    client.stop(engine.paths)
    # As when it was killed just before it named the image.
    index: Path = engine.paths.root / "images/index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "manifests": []}))
    engine.start()
    assert (blobs(engine), layers(engine)) == (set(), set())


def test_an_engine_keeps_the_layers_of_a_container_whose_image_is_gone(
    engine: Engine, busybox: str
) -> None:
    engine.succeed("pull", "-q", busybox)
    container = created(engine, busybox, "true")
    engine.succeed("rmi", "-f", busybox)
    client.stop(engine.paths)
    engine.start()
    engine.succeed("start", "-a", container)
    assert layers(engine)
    engine.succeed("rm", container)
    assert layers(engine) == set()


def test_a_commit_that_is_refused_leaves_no_blob(engine: Engine, busybox: str) -> None:
    engine.succeed("pull", "-q", busybox)
    before = blobs(engine), layers(engine)
    script = "mkdir /many; for i in $(seq 1500); do echo $i > /many/$i; done"
    for _ in range(2):  # the removal comes before, after or, mostly, in between
        container = created(engine, busybox, "sh", "-c", script)
        engine.succeed("start", "-a", container)
        with ThreadPoolExecutor(2) as pool:
            committed = pool.submit(engine.docker, "commit", container, "met")
            pool.submit(engine.docker, "rm", container).result()
        if committed.result().returncode == 0:
            engine.succeed("rmi", "met")
        assert (blobs(engine), layers(engine)) == before


def content(engine: Engine) -> set[str]:
    """Return all that is in the folders of images."""
    places = ("images/blobs/sha256", "ingest", "layers", "trash")
    return {f"{p}/{x.name}" for p in places for x in (engine.paths.root / p).iterdir()}


def test_an_engine_that_is_killed_in_the_middle_of_a_load_leaves_nothing_of_it(
    engine: Engine,
) -> None:
    layers = [tar({f"random-{n}": os.urandom(3 << 20)}) for n in range(3)]
    archive = archived.pack(archived.of_old(*layers, tags=["killed:1"]))
    before = content(engine)
    # While the layers come, when all have come, and while they are unpacked.
    for length in (4 << 20, len(archive) - 4096, len(archive)):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(engine.socket))
            head = (
                f"POST /images/load HTTP/1.1\r\nHost: x\r\nContent-Length: {len(archive)}\r\n\r\n"
            )
            connection.sendall(head.encode() + archive[:length])
            # What it has written tells that it has read so far.
            while len(content(engine) - before) < 2:
                time.sleep(0.01)
            engine.kill()
        engine.start()
        if length == len(archive) and engine.succeed("images", "-q"):  # it was named just before
            engine.succeed("create", "--name", "whole", "--network", "none", "killed:1", "true")
            engine.succeed("rm", "whole")
            engine.succeed("rmi", "killed:1")
        assert leftovers.eventually(lambda: sorted(content(engine) ^ before)) == []
        assert engine.succeed("images", "-aq") == ""


def test_an_engine_that_is_killed_in_the_middle_of_a_save_keeps_the_image(
    engine: Engine, busybox: str
) -> None:
    engine.succeed("pull", "-q", busybox)
    archive = archived.pack(archived.of_old(tar({"r": os.urandom(30 << 20)}), tags=["large:1"]))
    engine.succeed("load", stdin=archive)
    before = content(engine)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(engine.socket))
        connection.sendall(b"GET /images/large:1/get HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(1 << 16)
        engine.kill()
        received = b"".join(iter(lambda: connection.recv(1 << 20), b""))
    assert not received.endswith(b"0\r\n\r\n")  # so a client knows that it was cut
    engine.start()
    assert "large" in engine.succeed("images")
    assert content(engine) == before
    assert engine.docker("save", "large:1").returncode == 0
