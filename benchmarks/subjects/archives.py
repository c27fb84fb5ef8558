"""Save and load of an image of 150 MB, and the engine's memory at one layer of 1 GB."""

import contextlib
import os
import random
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from measure import RHYTHMS, Contender, Result, Timed, by_turns
from support import images
from support.hosts import Host
from table import Goal, Row
from world import COMMIT_BYTES, COMMIT_FILES, World, write_contents

LARGE_FILES, LARGE_BYTES = 64, 16 << 20
ARCHIVE = "150 MB in 9,000 files"


def rows(world: World, rounds: int) -> Iterator[Row]:
    """Yield save, load of what each has saved, and load of what Docker's engine has saved."""
    name = world.pulled(images.layout("bench-150", {"Cmd": ["sh"]}, _write), "archived")
    saved = {column: world.folder / f"{column}.tar" for column in world.hosts}
    saving = {column: save(host, name, saved[column]) for column, host in world.hosts.items()}
    podman = shutil.which("podman") is not None
    if podman:
        saved["podman"] = world.folder / "podman.tar"
        pull = world.podman("pull", "-q", "--tls-verify=false", name)
        subprocess.run(pull, check=True, capture_output=True)
        saving["podman"] = save_by_podman(world, name, saved["podman"])
    goal = Goal(1.0, "docker", "≤ 1.0 of Docker's")
    for pause, rhythm in RHYTHMS:
        results = by_turns(saving, rounds, pause, warm=1)
        yield Row(f"save of {ARCHIVE}, {rhythm}", results, (goal,), "s")
    loading = {column: load(host, name, saved[column]) for column, host in world.hosts.items()}
    if podman:
        loading["podman"] = load_by_podman(world, name, saved["podman"])
    for pause, rhythm in RHYTHMS:
        results = by_turns(loading, rounds, pause, warm=1)
        yield Row(f"load of {ARCHIVE}, its own, {rhythm}", results, (goal,), "s")
    if "docker" in saved:
        theirs = saved["docker"]
        loading = {column: load(host, name, theirs) for column, host in world.hosts.items()}
        if podman:
            loading["podman"] = load_by_podman(world, name, theirs)
        for pause, rhythm in RHYTHMS:
            results = by_turns(loading, rounds, pause, warm=1)
            yield Row(f"load of {ARCHIVE}, Docker's, {rhythm}", results, (goal,), "s")
    for host in world.hosts.values():
        host.succeed("rmi", "-f", name)


def peaks(world: World, _rounds: int) -> Iterator[Row]:
    """Yield the most that the engine's memory reaches while it moves a layer of 1 GB."""
    host, name = world.ours, world.registry.name("large")
    plain, saved = world.folder / "large.tar", world.folder / "saved.tar"
    _write_large(plain)
    run = ("run", "--network", "none", "--name", "large", name, "cp", "-r", "/data", "/copy")
    deeds: dict[str, Callable[[], Any]] = {
        "import": lambda: host.succeed("import", str(plain), name),
        "save": lambda: host.succeed("save", "-o", str(saved), name),
        "push": lambda: host.succeed("push", "-q", name),
        "load": lambda: host.succeed("load", "-q", "-i", str(saved)),
        "pull": lambda: host.succeed("pull", "-q", name),
        "commit": lambda: host.succeed("commit", "large", "large:committed"),
    }
    goal = Goal(150 << 20, "", "≤ 150 MB")
    for deed, do in deeds.items():
        if deed in ("load", "pull"):
            host.succeed("rmi", name)
        if deed == "commit":
            host.succeed(*run)
        Path(f"/proc/{world.ours.pid}/clear_refs").write_text("5")  # proc(5): resets VmHWM
        do()
        figures = {"ours": Result((float(_peak(world.ours.pid)),))}
        yield Row(f"{deed} of one layer of 1 GB, the engine's peak memory", figures, (goal,), "MB")
    host.succeed("rm", "large")
    host.succeed("rmi", name, "large:committed")


def _peak(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


def _write(out: BinaryIO) -> None:
    write_contents(out, COMMIT_FILES, COMMIT_BYTES)


def _write_large(path: Path) -> None:
    """Write an archive of a busybox and 1 GB beside it, which compresses to a half."""
    chance = random.Random(20240103)
    with path.open("wb") as out:
        images.write_busybox(out, {"data/0": b""})
    with tarfile.open(path, "a") as archive:
        for number in range(LARGE_FILES):
            half = chance.randbytes(LARGE_BYTES // 2)
            file = path.with_name("large-part")
            file.write_bytes(half + bytes(LARGE_BYTES // 2))
            archive.add(file, f"data/{number}")
            file.unlink()


def save(host: Host, name: str, path: Path) -> Contender:
    """Return the contender that saves through the Engine API into a file."""

    def run(clock: Timed) -> None:
        os.sync()
        with path.open("wb") as file, clock():
            for chunk in host.client.api.get_image(name):
                file.write(chunk)

    return run


def load(host: Host, name: str, path: Path) -> Contender:
    """Return the contender that loads through the Engine API and reads the progress."""

    def run(clock: Timed) -> None:
        with contextlib.suppress(Exception):
            host.client.images.remove(name, force=True)
        os.sync()
        with path.open("rb") as file, clock():
            said = list(host.client.api.load_image(file, quiet=True))
        assert "error" not in said[-1], said[-1]

    return run


def save_by_podman(world: World, name: str, path: Path) -> Contender:
    """Return the contender that saves by the podman command."""

    def run(clock: Timed) -> None:
        path.unlink(missing_ok=True)
        os.sync()
        with clock():
            command = world.podman("save", "-q", "-o", str(path), name)
            subprocess.run(command, check=True, capture_output=True)

    return run


def load_by_podman(world: World, name: str, path: Path) -> Contender:
    """Return the contender that loads by the podman command."""

    def run(clock: Timed) -> None:
        subprocess.run(world.podman("rmi", "-f", name), check=True, capture_output=True)
        os.sync()
        with clock():
            command = world.podman("load", "-q", "-i", str(path))
            subprocess.run(command, check=True, capture_output=True)

    return run
