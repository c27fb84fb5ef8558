"""A shell, a kernel and a command line, each against Docker's engine and against our own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cells import COMMAND, IMAGE, SECONDS, Box, Kernel, Shell, remove, running_kernel

from support.engines import running_engine
from support.needs import require


@pytest.fixture(scope="module", params=["dockerd", "engine"])
def served(request: pytest.FixtureRequest, busybox: str) -> Iterator[Box]:
    """One engine for a module's tests."""
    with ExitStack() as stack:
        if request.param == "dockerd":
            require("dockerd")
            host = request.getfixturevalue("dockerd")
            variables = {"DOCKER_HOST": host.url}
        else:
            host = stack.enter_context(running_engine())
            variables = {k: v for k, v in host.variables.items() if k.startswith("IPYCONTAINER_")}
        host.client.images.pull(busybox).tag(IMAGE)
        yield Box(request.param, host.client, variables)


@pytest.fixture
def box(served: Box, monkeypatch: pytest.MonkeyPatch) -> Iterator[Box]:
    """The engine that our clients use in this test; its containers are removed afterwards."""
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    for name, value in served.variables.items():
        monkeypatch.setenv(name, value)
    yield served
    for entry in served.client.api.containers(all=True):
        remove(served.client, entry["Id"])


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    before = sys.displayhook, sys.excepthook
    made = Shell(tmp_path)
    yield made
    made.close()
    sys.displayhook, sys.excepthook = before


@pytest.fixture
def kernel(box: Box, tmp_path: Path) -> Iterator[Kernel]:
    with running_kernel(tmp_path) as running:
        yield running


@pytest.fixture
def command(box: Box) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """The command line in a process of its own."""

    def run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*COMMAND, *arguments], input=stdin, capture_output=True, timeout=SECONDS, check=False
        )

    return run
