"""What belongs to no image and no container is deleted, and nothing else."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ipycontainer_runtime import client
from support.engines import Engine

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
