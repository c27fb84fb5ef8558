"""A room for each test, in a folder with a short name; whatever is left in it fails the test."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ociroom import Room, hierarchies, write_command


@pytest.fixture(scope="session")
def command() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="ipyc-oci", dir="/tmp"))
    folder.chmod(0o755)
    yield write_command(folder)
    shutil.rmtree(folder)


@pytest.fixture
def room(command: Path) -> Iterator[Room]:
    folder = Path(tempfile.mkdtemp(prefix="ipyc-o", dir="/tmp"))
    folder.chmod(0o755)
    try:
        made = Room(folder, command)
        made.change(lambda s: s["linux"].update(cgroupsPath=f"/{folder.name}/one"))
        try:
            yield made
        finally:
            made.end()
        assert made.left_over() == []
    finally:
        for hierarchy in hierarchies():
            if (hierarchy / folder.name).is_dir():
                os.rmdir(hierarchy / folder.name)
        shutil.rmtree(folder)
