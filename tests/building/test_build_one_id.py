"""A build by an ordinary user with one id: the owners of files are kept beside them."""

import io
import json
import tarfile
from collections.abc import Iterator

import pytest

from support import graded
from support.builds import build, image_of, text
from support.graded import Graded
from support.users import OrdinaryUser

pytestmark = pytest.mark.needs("root", "docker", "busybox", "user_namespaces")


@pytest.fixture(scope="module")
def engine(ordinary_user: OrdinaryUser, busybox: str) -> Iterator[Graded]:
    with graded.with_one_id(ordinary_user) as running:
        running.succeed("pull", "-q", busybox)
        yield running


def test_owners_that_copy_gives_are_in_the_image(engine: Graded, busybox: str) -> None:
    lines = (
        f"FROM {busybox} AS one\n"
        "COPY --chown=33:44 --chmod=640 a /srv/a\n"
        "RUN echo more >> /srv/a && echo new > /new\n"
        f"FROM {busybox}\n"
        "COPY --from=one --chown=7:8 /srv /srv\n"
        "RUN --mount=from=one,target=/one cp -p /one/new /new && rm /bin/vi\n"
        "RUN test ! -e /bin/vi && cat /srv/a\n"
    )
    told = build(engine, {"Dockerfile": lines, "a": "first\n"})
    assert "first\nmore\n" in text(told)
    archive = engine.docker("save", image_of(told)).stdout
    owners = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as saved:
        manifest = json.load(saved.extractfile("manifest.json"))  # type: ignore[arg-type] # a file
        for layer in manifest[0]["Layers"]:
            content = saved.extractfile(layer)
            assert content is not None
            with tarfile.open(fileobj=io.BytesIO(content.read())) as tar:
                owners |= {entry.name: (entry.uid, entry.gid) for entry in tar}
    assert owners["srv/a"] == (7, 8)
    assert owners["new"] == (0, 0)
    assert "bin/.wh.vi" in owners
