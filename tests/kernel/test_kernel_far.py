"""Kernels of a Docker engine on another computer: no file, no loopback and no process is shared."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from jupyter_client import KernelManager
from kernelroom import SECONDS, Room, running

from ipycontainer.failures import Failure
from ipycontainer_kernel import owned
from support.dockerd import running_dockerd
from support.engines import Engine

pytestmark = [pytest.mark.needs("dockerd", "root")]

HERE, FAR, PORT = "10.213.7.1", "10.213.7.2", 2375
WIRE = f"""
ip link set lo up
ip link add far0 type veth peer name near0 netns $1
ip addr add {FAR}/30 dev far0
ip link set far0 up
echo there
read end
"""
HIDDEN = 'mount -t tmpfs none "$1" && shift && exec "$@"'


@pytest.fixture(scope="module")
def far(kernel_engine: Engine, debian_python: str, room: Room, injected: Path) -> Iterator[Room]:
    """Kernelspecs whose engine is behind a wire, and has none of our files."""
    here = str(threading.get_native_id())
    wire = ["unshare", "--net", "sh", "-ec", WIRE, "sh", here]
    holder = subprocess.Popen(wire, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"there\n"
        subprocess.run(["ip", "addr", "add", f"{HERE}/30", "dev", "near0"], check=True)
        subprocess.run(["ip", "link", "set", "near0", "up"], check=True)
        become = [
            *("nsenter", f"--net=/proc/{holder.pid}/ns/net", "--"),
            *("unshare", "--mount", "sh", "-ec", HIDDEN, "sh", str(injected)),
        ]
        options = ("-H", f"tcp://{FAR}:{PORT}", "--tls=false")
        with running_dockerd(*options, become=become, bridge=True) as host:
            saved = kernel_engine.client.images.get(debian_python).save(named=True)
            host.client.images.load(b"".join(saved))
            made = Room(host, debian_python, room.folder, room.folders.parent)
            yield made
            for entry in made.containers():
                host.client.api.remove_container(entry["Id"], force=True)
    finally:
        holder.communicate(b"\n")


def test_it_runs_is_interrupted_restarted_and_leaves_nothing(
    far: Room, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"tcp://{FAR}:{PORT}")
    with running(far.install("far", network="")) as kernel:
        assert kernel.client.ip == FAR
        assert kernel.run("1 + 1") == ("ok", "2")
        ident = kernel.begin("import time\nprint('begun', flush=True)\ntime.sleep(600)")
        kernel.manager.interrupt_kernel()
        assert kernel.until(ident, "error")["content"]["ename"] == "KeyboardInterrupt"
        kernel.manager.restart_kernel(now=True)
        kernel.client.stop_channels()
        kernel.client = kernel.manager.client()
        kernel.client.start_channels()
        kernel.client.wait_for_ready(timeout=SECONDS)
        assert kernel.run("2 + 2") == ("ok", "4")
    assert not far.containers()
    assert "messages are signed, and not encrypted" in caplog.text
    assert "the notebook's folder is not there" in caplog.text


def test_an_engine_behind_a_tunnel_is_refused_with_the_cure(
    far: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owned, "READY_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as tunnel:
        port = tunnel.getsockname()[1]
        threading.Thread(target=_serve, args=(tunnel,), daemon=True).start()
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{port}")
        manager = KernelManager(kernel_name=far.install("tunnelled", network=""))
        with pytest.raises(Failure, match="give the engine's own address"):
            manager.start_kernel()
        manager.cleanup_resources()
    assert not far.containers()


def _serve(tunnel: socket.socket) -> None:
    while True:
        try:
            near, _ = tunnel.accept()
        except OSError:
            return
        there = socket.create_connection((FAR, PORT))
        for one, other in ((near, there), (there, near)):
            threading.Thread(target=_copy, args=(one, other), daemon=True).start()


def _copy(one: socket.socket, other: socket.socket) -> None:
    while data := one.recv(65536):
        other.sendall(data)
    other.shutdown(socket.SHUT_WR)
