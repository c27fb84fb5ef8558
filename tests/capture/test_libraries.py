"""Which files a program makes part of an image, by what its headers ask the linker for."""

import gc
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipycontainer_runtime.capture import libraries
from ipycontainer_runtime.capture.libraries import Libraries


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough to stand in the place of a loader's."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="") as made:
        yield Path(made)


def test_a_program_does_not_bring_what_is_no_library(folder: Path) -> None:
    secret, program = folder / "key", folder / "program"
    secret.write_text("nobody's but mine")
    content = Path(shutil.which("true") or "").resolve().read_bytes()
    loader = libraries.read(program_of(content, program)).loader
    assert loader is not None
    assert loader in Libraries().needed([str(program)])
    named = str(secret).encode().ljust(len(loader), b"\0")
    assert len(named) == len(loader)
    program_of(content.replace(loader.encode(), named), program)
    assert libraries.read(str(program)).loader == str(secret)
    assert str(secret) not in Libraries().needed([str(program)])


def program_of(content: bytes, path: Path) -> str:
    path.write_bytes(content)
    path.chmod(0o755)
    return str(path)


def test_what_is_installed_while_an_engine_runs_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"text": "\tlibone.so.1 (libc6,x86-64) => /lib/libone.so.1\n"}

    def listed(*_: object, **__: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.CompletedProcess([], 0, told["text"])

    monkeypatch.setattr(subprocess, "run", listed)
    assert Libraries()._known == {"libone.so.1": "/lib/libone.so.1"}
    told["text"] += "\tlibtwo.so.1 (libc6,x86-64) => /lib/libtwo.so.1\n"
    assert set(Libraries()._known) == {"libone.so.1", "libtwo.so.1"}


def test_headers_that_were_read_leave_little_to_the_garbage_collector() -> None:
    path = str(Path(sys.executable).resolve())
    libraries.read(path)
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            assert libraries.read(path).loader
        left = gc.collect()
    finally:
        gc.enable()
    assert left < 10 * 50  # a parser of its own for each would be 430 objects
