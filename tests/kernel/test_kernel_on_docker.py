"""A kernel on Docker's own engine: by TCP, on loopback, and it says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from jupyter_client import KernelManager
from kernelroom import SECONDS, Room, running

from ipycontainer.failures import Failure
from support.hosts import Host

pytestmark = pytest.mark.needs("dockerd")


@pytest.fixture(scope="module")
def docker_room(
    dockerd: Host, debian_python: str, room: Room, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Room]:
    """Kernelspecs whose engine is Docker's; it has no bridge here, so the network is the host's."""
    dockerd.client.images.pull(debian_python)
    made = Room(dockerd, debian_python, room.folder, room.folders.parent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", dockerd.url)
        yield made
        for entry in made.containers():
            dockerd.client.api.remove_container(entry["Id"], force=True)


@pytest.mark.parametrize("argv", [False, True], ids=["provisioner", "argv"])
def test_a_kernel_runs_is_interrupted_and_leaves_nothing(
    docker_room: Room, argv: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "data.txt").write_text("beside")
    with running(
        docker_room.install("docked", network="host"), argv=argv, cwd=str(tmp_path)
    ) as kernel:
        assert kernel.manager.transport == "tcp"
        assert kernel.run("print(open('data.txt').read())") == ("ok", "beside\n")
        ident = kernel.begin("import time\nprint('begun', flush=True)\ntime.sleep(600)")
        kernel.manager.interrupt_kernel()
        assert kernel.until(ident, "error")["content"]["ename"] == "KeyboardInterrupt"
    assert not docker_room.containers()
    assert argv or "messages are signed, and not encrypted" in caplog.text


def test_a_client_goes_on_over_a_restart_as_the_ports_are_kept(docker_room: Room) -> None:
    with running(docker_room.install("again", network="host")) as kernel:
        before = kernel.manager.get_connection_info()
        kernel.manager.restart_kernel()
        assert kernel.manager.get_connection_info() == before
        kernel.client.wait_for_ready(timeout=SECONDS)
        assert kernel.run("2 + 2") == ("ok", "4")


def test_no_network_is_refused_with_the_reason(docker_room: Room) -> None:
    manager = KernelManager(kernel_name=docker_room.install("alone", network="none"))
    with pytest.raises(Failure, match="only that reaches a kernel without a network"):
        manager.start_kernel()
    manager.cleanup_resources()
