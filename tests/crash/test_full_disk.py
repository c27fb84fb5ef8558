"""On a disk that is full to its last byte, images and containers can be removed."""

import io
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ipycontainer_runtime import client
from support import engines, images, leftovers, made
from support.calls import call, create, start
from support.engines import Engine
from support.registry import Registry

# An ordinary user's engine meets a full disk in the rounds of test_crash.py.
pytestmark = pytest.mark.needs("root", "docker", "busybox", "docker-registry", "skopeo")

LARGE = 3 << 20


class Drive:
    """An engine whose data root is a small disk, in a mount namespace that outlives it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        root = engine.paths.root
        root.mkdir()
        mount = f"mount -t tmpfs -o size=64m,mode=700 none {root} && echo there && read end"
        command = ["unshare", "--mount", "sh", "-c", mount]
        self._holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"there\n"
        self.root = Path(f"/proc/{self._holder.pid}/root{root}")
        self.start()

    def start(self) -> None:
        """Start the engine where the disk is mounted."""
        enter = ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt"]
        url = "from ipycontainer_runtime import client; client.url()"
        command = [*enter, sys.executable, "-c", url]
        subprocess.run(command, env=self.engine.variables, check=True)

    def fill(self) -> None:
        """Leave no byte of it."""
        with (self.root / "filler").open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))

    def remove(self) -> None:
        """Let the engine leave, and the disk with it."""
        self.engine.remove_containers()
        self.engine.close()
        client.stop(self.engine.paths)
        self._holder.communicate(b"\n")
        assert not leftovers.outlived(leftovers.processes(self.engine.home))


@pytest.fixture
def drive() -> Iterator[Drive]:
    with engines.engine_folder() as engine:
        made = Drive(engine)
        yield made
        made.remove()


@pytest.fixture(scope="module")
def large(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = io.BytesIO()
    images.write_busybox(out)
    content = made.tar({"large": random.Random(1).randbytes(LARGE)})
    layout = tmp_path_factory.mktemp("layout") / "large"
    return registry.add(made.write_layout(made.image(out.getvalue(), content), layout), "large")


def succeeds(engine: Engine, method: str, path: str) -> None:
    reply = call(engine, method, path)
    assert reply.status < 300, reply.body


def test_images_are_untagged_and_removed(drive: Drive, large: str) -> None:
    engine = drive.engine
    engine.succeed("pull", "-q", large)
    for number in range(20):
        engine.succeed("tag", large, f"also:{number}")
    drive.fill()
    assert call(engine, "POST", f"/images/{large}/tag?repo=refused").status == 503
    for number in range(20):
        succeeds(engine, "DELETE", f"/images/also:{number}")
        drive.fill()
    succeeds(engine, "DELETE", f"/images/{large}")
    assert call(engine, "GET", "/images/json").body == []
    assert shutil.disk_usage(drive.root).free > LARGE


def test_the_next_engine_removes_an_image_too(drive: Drive, large: str) -> None:
    engine = drive.engine
    engine.succeed("pull", "-q", large)
    drive.fill()
    engine.kill()
    drive.start()
    succeeds(engine, "DELETE", f"/images/{large}")


def test_containers_are_removed(drive: Drive, large: str) -> None:
    engine = drive.engine
    engine.succeed("pull", "-q", large)
    runs, stands = (create(engine, large, "sleep", "1000") for _ in range(2))
    start(engine, runs)
    drive.fill()
    succeeds(engine, "DELETE", f"/containers/{stands}")
    drive.fill()
    succeeds(engine, "DELETE", f"/containers/{runs}?force=1")
    assert call(engine, "GET", "/containers/json?all=1").body == []
    succeeds(engine, "DELETE", f"/images/{large}")
