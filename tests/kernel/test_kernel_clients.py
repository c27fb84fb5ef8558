"""A kernel in a container through what people start kernels with: servers, nbclient, papermill."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
import requests
import websocket
from kernelroom import SECONDS, Room
from nbclient import NotebookClient
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

pytestmark = pytest.mark.ordinary_user

CODE = "import os\nprint(os.getcwd(), os.path.exists('/run/ipycontainer-kernel'))"
TOLD = "/notebook True\n"


def notebook(*cells: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])


def test_nbclient_runs_a_notebook(room: Room, tmp_path: Path) -> None:
    made = notebook(CODE)
    client = NotebookClient(
        made, kernel_name=room.install(), resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    assert made.cells[0].outputs[0].text == TOLD
    assert not room.containers()


def test_jupyter_run_runs_a_file_and_leaves_without_a_word(room: Room, tmp_path: Path) -> None:
    """It ends its kernel while Python exits, when there are no threads to be had."""
    (tmp_path / "file.py").write_text(CODE)
    command = [sys.executable, "-m", "jupyter", "run", "--kernel", room.install(), "file.py"]
    done = subprocess.run(
        command, cwd=tmp_path, check=True, capture_output=True, text=True, timeout=SECONDS
    )
    assert (done.stdout, done.stderr) == (TOLD, "")
    assert not room.containers()


def test_papermill_runs_a_notebook_with_parameters(room: Room, tmp_path: Path) -> None:
    source, target = tmp_path / "in.ipynb", tmp_path / "out.ipynb"
    made = notebook("size = 1", "print(size * 2)")
    made.metadata.language_info = {"name": "python"}
    made.cells[0].metadata.tags = ["parameters"]
    nbformat.write(made, source)
    command = [sys.executable, "-m", "papermill", source, target, "-k", room.install()]
    subprocess.run(
        [*command, "-p", "size", "21", "--cwd", tmp_path, "--no-progress-bar"],
        check=True,
        capture_output=True,
        timeout=SECONDS,
    )
    done = nbformat.read(target, 4)
    assert [part.text for cell in done.cells for part in cell.outputs] == ["42\n"]
    assert not room.containers()


class Server:
    """A Jupyter server on loopback."""

    def __init__(self, folder: Path) -> None:
        self.token = secrets.token_hex(16)
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        # It says that it runs a moment before it listens.
        self.session = requests.Session()
        retry = Retry(connect=40, read=0, backoff_factor=0.1, backoff_max=0.5)
        self.session.mount("http://", HTTPAdapter(max_retries=retry))
        options = [f"--port={port}", "--port-retries=0", "--no-browser", "--ip=127.0.0.1"]
        root = ["--allow-root"] if os.getuid() == 0 else []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "jupyter_server", *options, *root],
            cwd=folder,
            env={**os.environ, "JUPYTER_TOKEN": self.token, "JUPYTER_CONFIG_DIR": str(folder)},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        log = []
        for line in self.process.stderr:
            log.append(line)
            if "is running at" in line:
                break
        else:
            pytest.fail("".join(log))
        # Nobody reads the rest, and a full pipe would hold the server up.
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Send a request of the REST API and return what it answers."""
        headers = {"Authorization": f"token {self.token}"}
        reply = self.session.request(
            method, f"http://{self.address}{path}", json=body, headers=headers, timeout=SECONDS
        )
        assert reply.ok, reply.text
        return reply.json() if reply.content else None


class Channel:
    """The websocket of one kernel."""

    def __init__(self, server: Server, kernel: str) -> None:
        self.socket = websocket.create_connection(
            f"ws://{server.address}/api/kernels/{kernel}/channels?token={server.token}",
            timeout=SECONDS,
        )

    def execute(self, code: str) -> str:
        """Send a cell and return its message's id."""
        ident = uuid.uuid4().hex
        header = {"msg_id": ident, "msg_type": "execute_request", "session": "s", "username": "u"}
        content = {"code": code, "silent": False, "allow_stdin": False, "stop_on_error": False}
        message = {"header": {**header, "version": "5.3"}, "parent_header": {}, "metadata": {}}
        self.socket.send(json.dumps({**message, "content": content, "channel": "shell"}))
        return ident

    def until(self, ident: str, kind: str) -> dict[str, Any]:
        """Return the content of the next message of that kind that belongs to a cell."""
        while True:
            message = json.loads(self.socket.recv())
            mine = message["parent_header"].get("msg_id") == ident
            if mine and message["header"]["msg_type"] == kind:
                content: dict[str, Any] = message["content"]
                return content


@pytest.fixture
def server(room: Room, tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    try:
        yield made
    finally:
        made.process.send_signal(signal.SIGTERM)
        made.process.wait(SECONDS)
        made.session.close()
    assert not room.left()


def test_a_server_has_sessions_of_it(room: Room, server: Server, tmp_path: Path) -> None:
    name = room.install("served")
    assert server.ask("GET", "/api/kernelspecs")["kernelspecs"][name]["resources"]
    body = {"path": "a.ipynb", "name": "a", "type": "notebook", "kernel": {"name": name}}
    session = server.ask("POST", "/api/sessions", body)
    kernel = session["kernel"]["id"]
    channel = Channel(server, kernel)
    ident = channel.execute(CODE)
    assert channel.until(ident, "stream")["text"] == TOLD
    ident = channel.execute("print('begun', flush=True)\nwhile True: pass")
    channel.until(ident, "stream")
    server.ask("POST", f"/api/kernels/{kernel}/interrupt")
    assert channel.until(ident, "error")["ename"] == "KeyboardInterrupt"
    (before,) = room.containers()
    server.ask("POST", f"/api/kernels/{kernel}/restart")
    (after,) = room.containers()
    assert after["Id"] != before["Id"]
    assert channel.until(channel.execute("print(1)"), "stream")["text"] == "1\n"
    channel.socket.close()
    server.ask("DELETE", f"/api/sessions/{session['id']}")
    assert not room.containers()


def test_a_server_that_ends_takes_its_kernels_along(room: Room, server: Server) -> None:
    server.ask("POST", "/api/kernels", {"name": room.install("short")})
    assert room.containers()
