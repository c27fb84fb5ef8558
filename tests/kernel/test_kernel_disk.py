"""Kernels on a disk that is full: what fails says so, and what can go on does."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from kernelroom import Room, fate, running

from ipycontainer.failures import Failure
from support.drives import Drive
from support.engines import engine_folder
from support.kernels import jupyter_of

pytestmark = pytest.mark.needs("root", "docker-registry", "skopeo")

MAPPED = """\
import mmap
with open("/mapped", "wb") as file:
    file.truncate(8 << 20)
with open("/mapped", "r+b") as file:
    mmap.mmap(file.fileno(), 0)[:] = b"x" * (8 << 20)
"""


class Place(NamedTuple):
    room: Room
    drive: Drive


@pytest.fixture(scope="module")
def place(
    debian_python: str, injected: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """Kernels of an engine whose data root is on a small disk."""
    runtime = Path(tempfile.mkdtemp(prefix="ipyc-k", dir="/tmp"))
    with engine_folder() as engine:
        drive = Drive(engine, megabytes=640)
        engine.client.images.pull(debian_python)
        with (
            jupyter_of(engine, tmp_path_factory.mktemp("jupyter"), injected) as folder,
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setenv("XDG_RUNTIME_DIR", str(runtime))
            room = Room(engine, debian_python, folder, runtime)
            yield Place(room, drive)
            assert not room.left()
        drive.remove()
        shutil.rmtree(runtime, ignore_errors=True)


@pytest.fixture
def drive(place: Place) -> Iterator[Drive]:
    yield place.drive
    place.drive.free()


def test_a_cell_fails_and_no_checkpoint_is_made(place: Place, drive: Drive) -> None:
    with running(place.room.install("filled")) as kernel:
        assert kernel.run("open('/kept', 'w').write('kept')") == ("ok", "4")
        assert kernel.run("%container checkpoint one")[0] == "ok"
        kernel.run("open('/large', 'wb').write(b'x' * (1 << 20))")
        drive.fill()
        status, told = kernel.run("open('/more', 'wb').write(b'x' * (8 << 20))")
        assert (status, told) == ("error", "OSError")
        (entry,) = place.room.containers()
        checkpoints = drive.root / "containers" / entry["Id"] / "checkpoints"
        before = sorted(os.listdir(checkpoints / "pool"))
        status, told = kernel.run("%container checkpoint two")
        assert "No space left" in told or "full" in told, told
        assert sorted(os.listdir(checkpoints / "pool")) == before
        assert "two" not in kernel.run("%container checkpoints")[1]
        drive.free()
        assert kernel.run("%container checkpoint two")[0] == "ok"
        listed = kernel.run("%container checkpoints")[1]
        assert "* two " in listed
        assert "2 added" in listed
        drive.fill()


def test_a_kernel_that_dies_of_it_tells_so(place: Place, drive: Drive) -> None:
    with running(place.room.install("dying")) as kernel:
        drive.fill()
        kernel.client.execute(MAPPED)
        told = "(SIGBUS): so ends who writes to a file in memory for which the disk"
        assert told in fate(kernel.manager).words
        with pytest.raises(Failure, match=r"cannot start .* No space left on device"):
            kernel.manager.restart_kernel(now=True)
