"""Folders for an engine that a test starts in its own way."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipycontainer_runtime import client
from ipycontainer_runtime.paths import Paths
from support import leftovers


@pytest.fixture
def folders(monkeypatch: pytest.MonkeyPatch) -> Iterator[Paths]:
    """Empty folders with short names, also the default ones; their engine is ended afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="ipyc-p", dir="/tmp"))
    where = Paths(folder / "root", folder / "run")
    monkeypatch.setenv("IPYCONTAINER_ROOT", str(where.root))
    monkeypatch.setenv("IPYCONTAINER_RUN", str(where.run))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    try:
        yield where
        client.stop(where)
        left = leftovers.outlived(leftovers.processes(folder))
        assert not left, [leftovers.command(pid) for pid in left]
    finally:
        leftovers.kill(leftovers.processes(folder))
        shutil.rmtree(folder)
