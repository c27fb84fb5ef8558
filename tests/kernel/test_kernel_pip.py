"""`%pip install` in a kernel's container, from an index that its network reaches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from docker.models.containers import Container
from kernelroom import Room, running

from support.wheels import write_wheel

pytestmark = pytest.mark.ordinary_user

NETWORK, INDEX = "packages", "index"
PACKAGE, CODE = "fromanindex", "import fromanindex; fromanindex.VALUE"
INSTALL = f"%pip install --index-url http://{INDEX}:8000/simple --trusted-host {INDEX} {PACKAGE}"


@pytest.fixture
def index(room: Room, tmp_path: Path) -> Iterator[Container]:
    """A package index (PEP 503) in a container, in a network of its own with whoever joins it."""
    simple = tmp_path / "simple" / PACKAGE
    simple.mkdir(parents=True)
    write_wheel(simple, PACKAGE, "VALUE = 42\n")
    links = [f'<a href="{wheel.name}">{wheel.name}</a>' for wheel in simple.iterdir()]
    (simple / "index.html").write_text(f"<!DOCTYPE html><html><body>{links[0]}</body></html>")
    engine = room.host.client
    network = engine.networks.create(NETWORK)
    served = engine.containers.run(
        room.image,
        ["python3", "-um", "http.server", "-d", "/index"],
        name=INDEX,
        network=NETWORK,
        volumes=[f"{tmp_path}:/index:ro"],
        detach=True,
    )
    try:
        next(iter(served.logs(stream=True, follow=True)))  # it says that it listens
        yield served
    finally:
        served.remove(force=True)
        network.remove()


def test_what_pip_installs_from_an_index_is_imported_and_goes_with_the_container(
    room: Room, index: Container
) -> None:
    made = f"localhost/{PACKAGE}:1"
    with running(room.install("online", network=NETWORK, notebook="none")) as kernel:
        status, told = kernel.run(INSTALL)
        assert (status, f"Successfully installed {PACKAGE}-1.0" in told) == ("ok", True), told
        assert kernel.run(CODE) == ("ok", "42")
        assert f"GET /simple/{PACKAGE}/{PACKAGE}-1.0-py3-none-any.whl" in index.logs().decode()
        assert made in kernel.run(f"%container commit {made}")[1]
        kernel.manager.restart_kernel()
        kernel.client.wait_for_ready(timeout=60)
        assert kernel.run(CODE) == ("error", "ModuleNotFoundError")
    engine = room.host.client
    try:
        command = ["python3", "-c", "import fromanindex; print(fromanindex.VALUE)"]
        kept = engine.containers.run(made, command, remove=True, network_mode="none")
        assert kept == b"42\n"
    finally:
        engine.images.remove(made)


def test_an_index_that_cannot_be_reached_is_told_and_the_kernel_goes_on(
    room: Room, index: Container
) -> None:
    with running(room.install("offline", notebook="none")) as kernel:
        kernel.run("x = 3")
        _, told = kernel.run(INSTALL)
        assert "ERROR: No matching distribution found" in told
        assert "this kernel's container has no network" in told
        assert kernel.run("x") == ("ok", "3")
        assert kernel.run(CODE) == ("error", "ModuleNotFoundError")
    assert b"GET" not in index.logs()
