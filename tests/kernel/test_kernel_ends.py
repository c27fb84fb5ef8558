"""How kernels end that nobody has asked to: told in words, and nothing stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from jupyter_client import KernelManager
from kernelroom import SECONDS, Room, fate, running

from ipycontainer.failures import Failure
from ipycontainer.sandbox.sessions import own_session
from ipycontainer_kernel.container import sweep
from ipycontainer_kernel.folders import PORTS
from ipycontainer_kernel.processes import python_argv
from support.engines import Engine

pytestmark = pytest.mark.ordinary_user

OWNER = """\
import os, signal, sys
from jupyter_client import KernelManager
manager = KernelManager(kernel_name=sys.argv[1])
if sys.argv[2:]:  # as one who knows no provisioners
    del manager.kernel_spec.metadata["kernel_provisioner"]
manager.start_kernel()
client = manager.client()
client.start_channels()
client.wait_for_ready()
print("ready", flush=True)
signal.pause()
"""


@pytest.mark.needs("limits")
def test_a_kernel_out_of_memory_says_so_in_the_log_and_starts_again(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    with running(room.install("small", memory="150m")) as kernel:
        kernel.client.execute("x = b'x' * (1 << 30)")
        told = "ran out of memory: it passed its limit of 150MiB (it had 150MiB at most)"
        assert told in fate(kernel.manager).words
        assert not kernel.manager.is_alive()
        kernel.manager.restart_kernel(now=True)
        assert told in caplog.text
        kernel.client.wait_for_ready(timeout=SECONDS)
        assert kernel.run("1 + 1") == ("ok", "2")


def test_a_kernel_that_somebody_killed_is_told_with_its_signal(room: Room) -> None:
    with running(room.install("killed")) as kernel:
        (entry,) = room.containers()
        room.host.client.api.kill(entry["Id"], signal.SIGKILL)
        assert "killed by signal 9 (SIGKILL)" in fate(kernel.manager).words


def test_a_kernel_that_leaves_is_told_with_its_code(room: Room) -> None:
    with running(room.install("leaving")) as kernel:
        kernel.client.execute("import os, sys; print('bye', file=sys.__stderr__); os._exit(3)")
        assert fate(kernel.manager).words.startswith("the kernel exited with code 3")


def test_a_kernel_outlives_its_engine(room: Room, kernel_engine: Engine) -> None:
    with running(room.install("outliving")) as kernel:
        kernel_engine.kill()
        assert kernel.run("1 + 1") == ("ok", "2")
        assert kernel.manager.is_alive()
        ident = kernel.begin("import time\nprint('begun', flush=True)\ntime.sleep(600)")
        kernel.manager.interrupt_kernel()
        assert kernel.until(ident, "error")["content"]["ename"] == "KeyboardInterrupt"
    assert not room.containers()


@pytest.mark.parametrize("owner", ["client", "launcher", "client of a launcher"])
def test_a_container_goes_with_the_process_that_owns_it(room: Room, owner: str) -> None:
    name = room.install("orphaned")
    removed = threading.Event()
    events = room.host.client.api.events(decode=True, filters={"event": "destroy"})
    threading.Thread(target=lambda: any(True for _ in events) and removed.set()).start()
    if owner == "launcher":
        with running(name, argv=True) as kernel:
            provisioner: object = kernel.manager.provisioner
            os.kill(provisioner.pid, signal.SIGKILL)  # type: ignore[attr-defined] # local
            assert removed.wait(SECONDS)
    else:
        command = [sys.executable, "-c", OWNER, name, *owner.split()[1:]]
        client = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert client.stdout is not None
        assert client.stdout.readline() == "ready\n"
        client.kill()
        client.wait()
        client.stdout.close()
        assert removed.wait(SECONDS)
    events.close()
    with running(name):  # whatever starts next sweeps the folder
        pass
    assert not room.containers()


def test_a_container_of_an_image_that_was_a_kernel_is_no_kernel(room: Room) -> None:
    api = room.host.client.api
    with running(room.install("committed")) as kernel:
        (entry,) = room.containers()
        image = api.commit(entry["Id"], pause=False)["Id"]  # by somebody who knows nothing of it
        made = api.create_container(image, ["true"])["Id"]
        assert kernel.run("1 + 1") == ("ok", "2")
    sweep(own_session(room.host.client))
    (entry,) = room.containers()
    assert entry["Id"] == made
    api.remove_container(made)
    api.remove_image(image)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("unix:///tmp/nobody.sock", "no engine answers"),
        ("tcp://nowhere.invalid:2375", "'nowhere.invalid' has no address"),
        ("ssh://somewhere", "use unix:// or tcp://"),
    ],
)
def test_an_engine_that_is_not_there_is_told_in_one_line(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, told: str
) -> None:
    name = room.install("unreached", network="")
    monkeypatch.setenv("DOCKER_HOST", address)
    manager = KernelManager(kernel_name=name)
    with pytest.raises(Failure, match=told):
        manager.start_kernel()
    manager.cleanup_resources()
    file = tmp_path / "connection.json"
    file.write_text(json.dumps(dict.fromkeys(PORTS, 0)))
    command = [*python_argv("ipycontainer_kernel.launcher"), "-f", file]
    ended = subprocess.run(
        [*command, "--spec", room.specs / name], stderr=subprocess.PIPE, check=False, text=True
    )
    assert ended.stderr.startswith("ipycontainer: ")
    assert told in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert not room.left()


def test_what_cannot_be_a_kernel_is_refused_in_one_line(room: Room, tmp_path: Path) -> None:
    manager = KernelManager(kernel_name=room.install("missing", image="nowhere.invalid/none:1"))
    with pytest.raises(Failure, match=r"nowhere\.invalid"):
        manager.start_kernel()
    manager.cleanup_resources()
    name = room.install("unmounted", volumes=(f"{tmp_path}/missing:/data:ro",), workdir="/notebook")
    manager = KernelManager(kernel_name=name)
    manager.start_kernel()
    manager.shutdown_kernel(now=True)
