"""Commit of a container that wrote 150 MB in 9,000 files."""

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from measure import Contender, Timed, by_turns
from support import images
from table import Goal, Row
from world import COMMIT_BYTES, COMMIT_FILES, World, contents


def rows(world: World, rounds: int) -> Iterator[Row]:
    """Yield the one row. The files come out of an archive in the image, so both write the same."""
    name = world.pulled(archive_layout(), "archive")
    containers = {
        column: host.client.containers.create(
            name, ["tar", "-x", "-f", "/archive.tar"], network_mode="none"
        )
        for column, host in world.hosts.items()
    }
    for container in containers.values():
        container.start()
        assert container.wait()["StatusCode"] == 0
    contenders = {
        column: committing(world, column, container) for column, container in containers.items()
    }
    goal = Goal(1.0, "docker", "≤ 1.0 of Docker's, which does not compress")
    results = by_turns(contenders, rounds, warm=1)
    for container in containers.values():
        container.remove(force=True)
    yield Row("commit of 150 MB in 9,000 files", results, (goal,), "s")


def committing(world: World, column: str, container: Any) -> Contender:
    """Return the contender that commits `container`, and removes the image after the clock."""
    client = world.hosts[column].client

    def run(clock: Timed) -> None:
        os.sync()
        with clock():
            image = container.commit("committed")
        client.images.remove(image.id, force=True)

    return run


def archive_layout() -> Path:
    """Return the layout of a busybox with /archive.tar."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in contents(COMMIT_FILES, COMMIT_BYTES):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    more = {"archive.tar": archive.getvalue()}
    config = {"Cmd": ["sh"], "Env": [f"PATH={images.PATH}"]}
    return images.layout("bench-archive", config, lambda out: images.write_busybox(out, more))
