"""On a disk that is full to its last byte, images and containers can be removed."""

import io
import random
import shutil
from collections.abc import Iterator

import pytest

from support import engines, images, made
from support.calls import call, create, start
from support.drives import Drive
from support.engines import Engine
from support.registry import Registry

# An ordinary user's engine meets a full disk in the rounds of test_crash.py.
pytestmark = pytest.mark.needs("root", "docker", "busybox", "docker-registry", "skopeo")

LARGE = 3 << 20


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
