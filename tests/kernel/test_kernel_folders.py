"""The folders of kernels' sockets: whose they are, and who may remove them."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipycontainer_kernel import folders

pytestmark = pytest.mark.ordinary_user


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ipyc-f", dir="/tmp") as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        yield folders.base()


def test_a_folder_that_is_being_made_is_not_swept(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock

    def sweeping(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        folders.remove_abandoned()
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", sweeping)
    made = folders.KernelFolder()
    assert made.path.is_dir()
    assert folders.is_owned(made.path)
    made.close()
    assert not list(base.iterdir())


def test_a_folder_of_a_dead_owner_is_removed(base: Path) -> None:
    made = folders.KernelFolder()
    os.close(made._lock)  # as the end of its process does
    folders.remove_abandoned()
    assert not list(base.iterdir())


def test_a_folder_of_another_user_counts_as_owned(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir(0o000)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        assert folders.is_owned(theirs / "ab12cd34")
    finally:
        os.seteuid(user)
    theirs.chmod(0o700)
