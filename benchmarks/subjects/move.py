"""Push and pull of 150 MB, and what one changed file costs in a small and in a large image."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from measure import RHYTHMS, Contender, Result, Timed, by_turns
from subjects.pull import by_api, by_podman
from support import images
from support.hosts import Host
from support.registry import Registry, running_registry
from table import Goal, Row
from world import COMMIT_BYTES, COMMIT_FILES, World, contents

GOAL = Goal(0.6, "docker", "≤ 0.6 of Docker's")
LARGE, SMALL = (6_000, 1000**3), (60, 10 * 1000**2)
"""Files and bytes of the images in which one file is changed."""


def rows(world: World, rounds: int) -> Iterator[Row]:
    """Yield a row for each direction, and one for each size."""
    name = world.pulled(filled("move", COMMIT_FILES, COMMIT_BYTES), "move")
    pushers = {column: pushing(host, name) for column, host in world.hosts.items()}
    pullers = {column: by_api(host, name) for column, host in world.hosts.items()}
    if shutil.which("podman"):
        pull = world.podman("pull", "-q", "--tls-verify=false", name)
        subprocess.run(pull, check=True, capture_output=True)
        pushers["podman"] = pushing_by_podman(world, name)
        pullers["podman"] = by_podman(world, name)
    for pause, rhythm in RHYTHMS:
        results = by_turns(pushers, rounds, pause, warm=1)
        yield Row(f"push of 150 MB in 9,000 files, {rhythm}", results, (GOAL,), "s")
    for host in world.hosts.values():
        host.client.images.remove(name)
    for pause, rhythm in RHYTHMS:
        results = by_turns(pullers, rounds, pause, warm=1)
        yield Row(f"pull of 150 MB in 9,000 files, {rhythm}", results, (GOAL,), "s")
    for pause, rhythm in RHYTHMS:
        yield from changes(world, rounds, pause, rhythm)


def changes(world: World, rounds: int, pause: float, rhythm: str) -> Iterator[Row]:
    """Yield what a commit and its push take after one file was changed."""
    small = changing(world, "changed-small", SMALL, rounds, pause)
    yield Row(f"commit and push after one changed file, image of 10 MB, {rhythm}", small)
    large = changing(world, "changed-large", LARGE, rounds, pause)
    goal = Goal(2 * small["ours"].median, "", "≤ 2 x that of 10 MB")
    yield Row(f"the same, image of 1 GB, {rhythm}", large, (goal, GOAL))


def changing(
    world: World, repository: str, size: tuple[int, int], rounds: int, pause: float
) -> dict[str, Result]:
    """Return what it took each engine; the image itself is in the registry."""
    name = world.pulled(filled(repository, *size), repository)
    contenders = {
        column: committing(host, name, f"{name}-{column}") for column, host in world.hosts.items()
    }
    results = by_turns(contenders, rounds, pause, warm=1)
    for host in world.hosts.values():
        host.client.images.remove(name, force=True)
    return results


def committing(host: Host, name: str, target: str) -> Contender:
    """Return the contender that commits a container in which one file is another one."""
    repository, _, tag = target.rpartition(":")
    command = ["sh", "-c", "head -c 10000 /dev/urandom > /data/00/0.py"]

    def run(clock: Timed) -> None:
        container = host.client.containers.create(name, command, network_mode="none")
        container.start()
        assert container.wait()["StatusCode"] == 0
        os.sync()
        with clock():
            image = container.commit(repository, tag)
            pushed(host.client, target)
        container.remove(force=True)
        host.client.images.remove(image.id, force=True)

    return run


def pushing(host: Host, name: str) -> Contender:
    """Return the contender that pushes to a registry in which there is nothing yet."""

    def run(clock: Timed) -> None:
        with running_registry() as fresh:
            target = _named(host.client, name, fresh)
            os.sync()
            with clock():
                pushed(host.client, target)
            host.client.images.remove(target)

    return run


def pushing_by_podman(world: World, name: str) -> Contender:
    """Return the contender that does so by the podman command."""

    def run(clock: Timed) -> None:
        with running_registry() as fresh:
            push = world.podman("push", "-q", "--tls-verify=false", name, fresh.name("move"))
            os.sync()
            with clock():
                subprocess.run(push, check=True, capture_output=True)

    return run


def pushed(client: Any, target: str) -> None:
    """Push to the end; whatever error there is ends the benchmark."""
    said = list(client.api.push(target, stream=True, decode=True))
    assert not any("error" in message for message in said), said[-1]


def _named(client: Any, name: str, registry: Registry) -> str:
    target = registry.name("move")
    assert client.images.get(name).tag(target)
    return target


def filled(name: str, files: int, size: int) -> Path:
    """Return the layout of a busybox with `files` files of `size` bytes together."""

    def write(out: BinaryIO) -> None:
        more = dict(contents(files, size))
        images.write_busybox(out, more)

    config = {"Cmd": ["sh"], "Env": [f"PATH={images.PATH}"]}
    return images.layout(f"bench-{name}", config, write)
