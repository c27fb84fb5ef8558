"""What a kernel's container may have done to itself, and what it may not."""

from __future__ import annotations

import contextlib
import json
import queue
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docker.errors import ImageNotFound

from ipycontainer.failures import Failure
from ipycontainer_kernel import acts, owned
from support.engines import Engine
from support.kernels import SECONDS, Kernel, add_kernelspec, jupyter_of, running_kernel

NAME = "inside"

# A program of the container that speaks to the control socket itself.
ASK = """
import json as _json, socket as _socket
def ask(data, path="/run/ipycontainer-kernel/control"):
    with _socket.socket(_socket.AF_UNIX) as s:
        s.settimeout(20)
        s.connect(path)
        try:
            s.sendall(data if isinstance(data, bytes) else _json.dumps(data).encode() + b"\\n")
            s.shutdown(_socket.SHUT_WR)
            found = b"".join(iter(lambda: s.recv(65536), b""))
        except (BrokenPipeError, ConnectionResetError):
            return {"cut": True}
        return _json.loads(found) if found else {"cut": True}
"""


@pytest.fixture(scope="module")
def engine(
    kernel_engine: Engine,
    debian_python: str,
    injected: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Engine]:
    """The engine of the kernels' tests, with a kernelspec that is used here alone."""
    with jupyter_of(kernel_engine, tmp_path_factory.mktemp("jupyter"), injected) as folder:
        add_kernelspec(folder, NAME, image=debian_python, network="none")
        yield kernel_engine


@pytest.fixture(scope="module")
def image(debian_python: str) -> str:
    """The image of the kernel, as it is called."""
    return debian_python


@pytest.fixture(scope="module")
def kernel(engine: Engine) -> Iterator[Kernel]:
    with running_kernel(NAME) as running:
        running.run(ASK)
        yield running


def ask(kernel: Kernel, request: Any) -> dict[str, Any]:
    found = kernel.value(f"ask({request!r})")
    assert isinstance(found, dict)
    return found


def error(kernel: Kernel, code: str) -> str:
    """Execute a cell that fails and return what is printed of that."""
    (output,) = kernel.run(code)
    assert output["name"] == "stderr"
    assert output["text"].startswith("UsageError: ")
    return str(output["text"])


def session(kernel: Kernel) -> str:
    """Return what tells the messages of this kernel's process from those of the next."""
    message = kernel.client.session.msg("kernel_info_request")
    kernel.client.shell_channel.send(message)
    with contextlib.suppress(queue.Empty):
        while reply := kernel.client.get_shell_msg(timeout=2):
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                return str(reply["header"]["session"])
    return ""


def restore(kernel: Kernel, name: str) -> None:
    """Restore a checkpoint in a cell, and see that its client is answered and told."""
    before = session(kernel)
    reply = kernel.client.execute(f"%container restore {name}", reply=True, timeout=SECONDS)
    assert reply["content"]["status"] == "ok"
    state = ""
    while state != "restarting":
        message = kernel.client.get_iopub_msg(timeout=SECONDS)
        state = message["content"].get("execution_state", "")
    until = time.monotonic() + SECONDS
    while session(kernel) in ("", before):
        assert time.monotonic() < until, "the kernel did not come back"


def containers(engine: Engine) -> list[object]:
    """Return the containers of this file's kernels."""
    label = f"org.ipycontainer.kernel={NAME}"
    return [*engine.client.containers.list(all=True, filters={"label": label})]


def test_restore_gives_the_files_back_and_restarts_the_kernel(engine: Engine) -> None:
    with running_kernel(NAME) as kernel:
        kernel.run("import os; os.makedirs('/data'); open('/data/a', 'w').write('good'); x = 1")
        told = kernel.printed("%container checkpoint good").splitlines()
        assert told[:3] == ["good: 2 added (4B kept)", "A /data", "A /data/a  4B"]
        kernel.run("open('/data/a', 'w').write('bad'); os.unlink('/usr/bin/env'); y = 2")
        restore(kernel, "good")
        assert kernel.value("open('/data/a').read()") == "good"
        assert kernel.value("[name in globals() for name in ('x', 'y')]") == [False, False]
        assert kernel.value("__import__('os').path.exists('/usr/bin/env')") is True
        assert kernel.manager.is_alive()
        assert "* good" in kernel.printed("%container checkpoints")
        assert len(containers(engine)) == 1
    assert containers(engine) == []


def test_nothing_is_told_of_what_the_kernel_itself_is_made_of(engine: Engine) -> None:
    """Mount points, IPython's folders in a home and jedi's cache hid the files that a cell made."""
    with running_kernel(NAME) as kernel:
        found = kernel.client.complete("import os; os.pat", reply=True, timeout=SECONDS)
        assert "path" in str(found["content"]["matches"])
        assert "as in the image" in kernel.printed("%container info")
        told = kernel.printed("%container checkpoint fresh")
        assert told.startswith("fresh: nothing changed (0B kept)")
        kernel.run("kept = 1")
        kernel.run("%store kept")
        made = "A /root/.ipython/profile_default/db/autorestore/kept"
        assert made in kernel.printed("%container checkpoint stored")
        restore(kernel, "stored")
        kernel.run("%store -r kept")
        assert kernel.value("kept") == 1


def test_checkpoints_that_go_with_a_restart_are_told(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    lost = "the checkpoint of before the restart went with that container: `%container commit"
    with running_kernel(NAME) as kernel:
        assert "kept until Jupyter restarts or ends" in kernel.printed("%container checkpoint one")
        kernel.manager.restart_kernel(now=True)
        kernel.client.wait_for_ready(timeout=SECONDS)
        assert lost in caplog.text
        assert lost in kernel.printed("%container checkpoints")
        assert lost in error(kernel, "%container restore one")


def test_a_cell_that_does_not_wait_for_the_restart_is_not_run_with_the_files_of_before(
    engine: Engine,
) -> None:
    with running_kernel(NAME) as kernel:
        kernel.run("%container checkpoint good")
        client = kernel.client
        client.execute("%container restore good")
        second = client.execute("open('/run-late', 'w').close()")
        while (reply := client.get_shell_msg(timeout=SECONDS))["parent_header"]["msg_id"] != second:
            pass
        assert reply["content"]["ename"] == "KernelRestarts"
        assert "the kernel restarts with the files" in reply["content"]["evalue"]


def test_a_restore_that_fails_leaves_a_kernel_that_runs_cells(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_given: object, **_named: object) -> None:
        raise Failure("the disk is full")

    monkeypatch.setattr(owned, "restore", fails)
    with running_kernel(NAME) as kernel:
        kernel.run("%container checkpoint good")
        kernel.run("%container restore good")
        until = time.monotonic() + SECONDS
        while (told := kernel.run("print('goes on')"))[0]["output_type"] == "error":
            assert time.monotonic() < until, told
        assert told[0]["text"] == "goes on\n"


def test_every_cell_leaves_a_checkpoint_of_what_it_changed(engine: Engine) -> None:
    with running_kernel(NAME) as kernel:
        assert "keeps a checkpoint" in kernel.printed("%container checkpoint --every-cell")
        told = kernel.printed("open('/file', 'w').write('x' * 1000); print('done')")
        assert told.startswith("done\n")
        assert "1 added (1kB kept)" in told
        assert kernel.printed("1 + 1") == ""
        first = told.split("\x1b[2m")[1].split(":")[0]
        restore(kernel, first)
        # It goes on after a restart.
        assert "1 changed" in kernel.printed("open('/file', 'w').write('y')")
        kernel.run("%container checkpoint --every-cell off")
        assert kernel.printed("open('/file', 'w').write('z')") == ""


def test_a_write_through_memory_is_kept(kernel: Kernel) -> None:
    """Pages that were written once are written again without the file's times moving."""
    kernel.run(
        "import mmap, time; f = open('/mapped', 'w+b'); f.truncate(4096);"
        "m = mmap.mmap(f.fileno(), 4096); m[0:1] = b'1'; time.sleep(0.1)"
    )
    kernel.run("%container checkpoint before")
    kernel.run("m[0:1] = b'2'")
    assert "C /mapped" in kernel.printed("%container checkpoint after")


def test_info_tells_of_the_container(kernel: Kernel, image: str) -> None:
    told = kernel.printed("%container info")
    facts = dict(line.split(None, 1) for line in told.splitlines())
    assert facts["image"].startswith(f"{image} (")
    assert facts["network"] == "none"
    assert {"limits", "mounts", "memory", "files", "checkpoints"} <= facts.keys()


def test_a_lock_is_of_its_own_settings_and_goes_to_a_page_alone(kernel: Kernel, image: str) -> None:
    found = ask(kernel, {"verb": "lock"})
    assert (found["lock"]["image"], found["lock"]["network"]) == (image, "none")
    assert "sha256:" in found["lock"]["digest"]
    sent, refused = kernel.run("%container lock")
    assert sent["data"]["lock"] == found["lock"]
    assert "`ipycontainer lock NOTEBOOK` outside" in refused["text"]


def test_a_commit_is_an_image_like_the_one_it_is_of(engine: Engine, kernel: Kernel) -> None:
    kernel.run("open('/made', 'w').write('here')")
    name = "localhost/frominside:1"
    assert kernel.printed("%container commit frominside:1").startswith(f"{name}: ")
    command = ["cat", "/made"]
    found = engine.client.containers.run(name, command, remove=True, network_mode="none")
    assert found == b"here"
    kernel.run(f"%container commit {name}")  # its own
    engine.client.images.remove(name)


def test_an_image_of_a_kernel_has_no_name_that_a_registry_s_would_have(
    engine: Engine, kernel: Kernel
) -> None:
    kernel.run("%container commit python:3.12")
    with pytest.raises(ImageNotFound):
        engine.client.images.get("python:3.12")
    engine.client.images.remove("localhost/python:3.12")
    for name in ("docker.io/library/python:3.12", "quay.io/a/b", "localhost:5000/x"):
        assert "below localhost/" in ask(kernel, {"verb": "commit", "name": name})["error"]


def test_other_verbs_are_told_where_they_are(kernel: Kernel) -> None:
    assert "runs in a container" in kernel.printed("%container")
    assert "runs in a container" in error(kernel, "%container run busybox")
    assert "no checkpoint 'none'" in error(kernel, "%container restore none")
    assert "one name is wanted" in error(kernel, "%container commit")


def test_no_image_that_is_there_is_replaced(engine: Engine, kernel: Kernel, image: str) -> None:
    there = engine.client.images.get(image)
    there.tag("localhost/theirs")
    before = there.id
    for name in ("theirs", "theirs:latest", "localhost/theirs"):
        assert "already" in ask(kernel, {"verb": "commit", "name": name})["error"]
    for name in (
        "",
        "../x",
        "UPPER",
        "a b",
        "x" * 301,
        3,
        None,
        {"a": 1},
        f"host@{before}",
        before,
    ):
        assert "error" in ask(kernel, {"verb": "commit", "name": name}), name
    assert engine.client.images.get("localhost/theirs").id == before
    engine.client.images.remove("localhost/theirs")


def test_an_image_that_takes_its_own_name_again_counts_as_another(
    engine: Engine, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel.run("%container commit again")
    monkeypatch.setattr(acts, "IMAGES", 1)
    assert "has made 1 images" in ask(kernel, {"verb": "commit", "name": "again"})["error"]
    engine.client.images.remove("localhost/again")


def test_no_other_container_is_reached(engine: Engine, kernel: Kernel, image: str) -> None:
    other = engine.client.containers.create(image, ["true"], network_mode="none")
    try:
        for name in (other.id, other.name, f"../{other.id}", f"x/../../{other.id}/checkpoints/y"):
            for verb in ("restore", "checkpoint"):
                found = ask(kernel, {"verb": verb, "name": name, "container": other.id})
                assert found.get("name") == name or "error" in found, found
        reply = engine.client.api._get(
            engine.client.api._url("/ipycontainer/containers/{0}/checkpoints", other.id)
        )
        assert reply.json() == []
        for verb in ("stop", "remove", "exec", "run", "pull", ["commit"], None, {"x": 1}):
            assert "no such request" in ask(kernel, {"verb": verb})["error"]
    finally:
        other.remove()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"[]\n",
        b"null\n",
        b"{\n",
        b"\xff\xfe\n",
        b"[" * 10000 + b"\n",
        b'{"verb": 1e999}\n',
    ],
)
def test_what_is_no_request_is_refused(kernel: Kernel, data: bytes) -> None:
    assert "error" in ask(kernel, data)


def test_a_line_without_end_is_cut(kernel: Kernel) -> None:
    found = kernel.value("ask(b'x' * (1 << 20))")
    assert found.get("cut") or "at most" in found["error"]


def test_many_connections_leave_the_socket_usable(kernel: Kernel) -> None:
    kernel.run(
        "held = [_socket.socket(_socket.AF_UNIX) for _ in range(200)]\n"
        "for s in held: s.setblocking(False)\n"
        "for s in held:\n"
        "    try: s.connect('/run/ipycontainer-kernel/control')\n"
        "    except BlockingIOError: pass"
    )
    kernel.run("for s in held: s.close()")
    kernel.run("import time")
    for _ in range(50):
        if "text" in kernel.value("ask({'verb': 'checkpoints'})"):
            break
    assert "text" in ask(kernel, {"verb": "checkpoints"})
    assert kernel.manager.is_alive()


def test_a_restore_that_is_not_told_to_go_restores_nothing(kernel: Kernel) -> None:
    kernel.run("%container checkpoint here; x = 7")
    kernel.run("%container checkpoint kept")
    kernel.run("x = 7")
    assert ask(kernel, {"verb": "restore", "name": "kept"}) == {"ready": True}
    with pytest.raises(queue.Empty):
        kernel.client.get_iopub_msg(timeout=0.2)
    assert kernel.value("x") == 7
    assert json.dumps(ask(kernel, {"verb": "hello"}))
