"""A container keeps the kind of root that it was made with: an overlay, or a copy."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.engines import Engine, engine_folder, stop

pytestmark = pytest.mark.needs("root", "docker", "busybox")

MADE = ("--network", "none")


ON_PLAIN = 'mount --bind kept "$IPYCONTAINER_ROOT"'
ON_OVERLAY = (
    'mount -t overlay -o lowerdir=nothing,upperdir=kept,workdir=work o "$IPYCONTAINER_ROOT"'
)
START = "from ipycontainer_runtime import client; client.url()"


@contextmanager
def where(engine: Engine, *, overlays: bool) -> Iterator[Engine]:
    """Yield the engine where its data root is on a plain file system, or itself on an overlay.

    It sees so in a mount namespace of its own.
    """
    for name in ("root", "kept", "work", "nothing"):
        (engine.home / name).mkdir(exist_ok=True)
    script = f'cd {engine.home}; {ON_PLAIN if overlays else ON_OVERLAY}; exec "$@"'
    command = ["unshare", "--mount", "sh", "-euc", script, "sh", sys.executable, "-c", START]
    subprocess.run(command, env=engine.variables, check=True)
    try:
        yield engine
    finally:
        engine.close()
        left = stop(engine)
    assert left == []


@pytest.fixture
def engine() -> Iterator[Engine]:
    with engine_folder() as made:
        yield made


def test_a_copy_lives_on_where_overlays_can_be_mounted(engine: Engine, busybox: str) -> None:
    with where(engine, overlays=False):
        engine.succeed("pull", "-q", busybox)
        engine.succeed("run", "--name", "one", *MADE, busybox, "touch", "/made")
        assert engine.succeed("info", "-f", "{{.Driver}}") == "copy"
    with where(engine, overlays=True):
        assert engine.succeed("info", "-f", "{{.Driver}}") == "overlay2"
        assert engine.succeed("diff", "one") == "A /made"
        engine.succeed("start", "--attach", "one")
        engine.succeed("commit", "one", "changed")
        engine.succeed("run", "--rm", *MADE, "changed", "ls", "/made")
        assert b"made" in engine.docker("export", "one").stdout
        engine.succeed("rm", "one")


def test_an_overlay_that_cannot_be_mounted_is_refused_in_a_line_and_can_be_kept(
    engine: Engine, busybox: str, tmp_path: Path
) -> None:
    with where(engine, overlays=True):
        engine.succeed("pull", "-q", busybox)
        engine.succeed("run", "--name", "one", *MADE, busybox, "touch", "/made")
    with where(engine, overlays=False):
        refused = [engine.docker(*ask) for ask in (("start", "one"), ("cp", "one:/made", tmp_path))]
        for done in refused:
            assert b"the container stands on an overlay, and none can be mounted" in done.stderr
            assert b"start the engine where it could, or remove the container" in done.stderr
            assert done.returncode == 1
        assert engine.succeed("diff", "one") == "A /made"
        engine.succeed("commit", "one", "changed")
        engine.succeed("run", "--rm", *MADE, "changed", "ls", "/made")
        engine.succeed("rm", "one")
