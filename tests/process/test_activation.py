"""An engine is there whenever somebody asks, and there is one."""

import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import raw

from ipycontainer_runtime import activation, client
from ipycontainer_runtime.errors import Forbidden, InvalidParameter, Unavailable
from ipycontainer_runtime.linux import userns
from ipycontainer_runtime.paths import Paths
from support import leftovers

pytestmark = pytest.mark.ordinary_user

ASK_PID = """
import json, socket, sys
from ipycontainer_runtime import activation
from ipycontainer_runtime.paths import paths
sock = activation.activate(paths())
sock.sendall(b"GET /ipycontainer HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
reply = b""
while part := sock.recv(65536):
    reply += part
print(json.loads(reply.partition(b"\\r\\n\\r\\n")[2])["Pid"])
"""


def test_twenty_clients_at_once_start_one_engine(folders: Paths) -> None:
    command = [sys.executable, "-c", ASK_PID]
    clients = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(20)]
    answers = {client.communicate(timeout=60)[0].strip() for client in clients}
    assert all(client.returncode == 0 for client in clients)
    assert answers == {str(client.pid(folders))}


def test_twenty_threads_at_once_start_one_engine(folders: Paths) -> None:
    together = threading.Barrier(20)

    def connect(_number: int) -> tuple[int, bytes]:
        together.wait()
        with activation.activate(folders) as sock:
            return raw.ask(sock, "/_ping")

    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(connect, range(20))) == {(200, b"OK")}
    started = leftovers.processes(folders.run.parent)
    assert [pid for pid in started if "ipycontainer_runtime.__main__" in command(pid)] == [
        client.pid()
    ]


def command(pid: int) -> str:
    """Return a process's command line; empty when it has gone."""
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_the_command_after_the_engine_was_killed_works(folders: Paths) -> None:
    docker = client.connect()
    assert docker.ping()
    first = client.pid()
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert not leftovers.outlived([first])
    assert docker.ping()
    assert client.pid() not in (None, first)


def test_a_stale_socket_is_replaced(folders: Paths) -> None:
    activation.prepare_run_folder(folders.run)
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(folders.socket))
    with activation.activate(folders) as sock:
        assert raw.ask(sock, "/_ping") == (200, b"OK")


def test_the_engine_outlives_the_process_that_started_it(folders: Paths) -> None:
    code = ASK_PID + "import os, signal; sys.stdout.flush(); os.killpg(0, signal.SIGKILL)"
    starter = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert starter.returncode == -signal.SIGKILL
    assert client.pid() == int(starter.stdout)


def test_the_engine_keeps_nothing_of_the_process_that_started_it(folders: Paths) -> None:
    inheritable = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(inheritable, True)
    try:
        assert client.connect().ping()
    finally:
        os.close(inheritable)
    pid = client.pid()
    assert pid is not None
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert os.getsid(pid) != os.getsid(0)
    held = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    assert "/etc/passwd" not in held
    # Collected by nobody and by init: never a zombie of the notebook.
    with open(f"/proc/{pid}/stat") as stat:
        assert int(stat.read().rpartition(")")[2].split()[1]) != os.getpid()


def test_a_second_engine_on_one_data_root_refuses(folders: Paths) -> None:
    client.url()
    command = [sys.executable, "-m", "ipycontainer_runtime", "serve"]
    elsewhere = {**os.environ, "IPYCONTAINER_RUN": str(folders.run.parent / "other")}
    second = subprocess.run(command, env=elsewhere, stderr=subprocess.PIPE, text=True, timeout=30)
    assert second.returncode == 1
    assert second.stderr.startswith(f"ipycontainer: the data root {folders.root} is in use")
    assert f"(pid {client.pid()})" in second.stderr
    assert second.stderr.count("\n") == 1


def test_a_second_engine_on_one_socket_refuses(folders: Paths) -> None:
    client.url()
    command = [sys.executable, "-m", "ipycontainer_runtime", "serve"]
    elsewhere = {**os.environ, "IPYCONTAINER_ROOT": str(folders.root.parent / "other")}
    second = subprocess.run(command, env=elsewhere, stderr=subprocess.PIPE, text=True, timeout=30)
    assert second.returncode == 1
    assert f"an engine already serves {folders.socket}" in second.stderr


def test_a_client_of_an_engine_that_cannot_start_reads_why(folders: Paths) -> None:
    client.url()
    other = Paths(folders.root, folders.run.parent / "other")
    with pytest.raises(Unavailable, match=f"the data root {folders.root} is in use by an engine"):
        client.connect(where=other).ping()
    # An ordinary user's namespace is pinned by a process, which nobody would end.
    assert not (other.run / userns.RECORD).exists()


def test_an_engine_in_the_foreground_serves_until_it_is_told_to_stop(folders: Paths) -> None:
    activation.prepare_run_folder(folders.run)
    engine = subprocess.Popen(
        [sys.executable, "-m", "ipycontainer_runtime", "serve", "--idle", "0"]
    )
    try:
        # The lock is held until the socket listens, so whoever has it next finds an engine.
        while client.status() is None:
            assert engine.poll() is None
        assert client.pid() == engine.pid
        assert client.stop()
    finally:
        assert engine.wait(30) == 0
    assert sorted(path.name for path in folders.run.iterdir() if path.is_socket()) == []


def test_a_run_folder_that_others_can_write_is_refused(folders: Paths) -> None:
    folders.run.mkdir()
    folders.run.chmod(0o777)
    with pytest.raises(Forbidden, match=r"mode 777.*IPYCONTAINER_RUN"):
        client.connect()


def test_a_socket_with_a_long_path_works_but_has_no_url(folders: Paths) -> None:
    long = Paths(folders.root, folders.run / ("x" * 120))
    try:
        assert client.connect(where=long).ping()
        with pytest.raises(InvalidParameter, match="too long"):
            client.url(long)
    finally:
        assert client.stop(long)


def test_status_url_stop_and_logs_tell_of_one_engine(folders: Paths) -> None:
    assert client.status() is None
    assert client.pid() is None
    assert client.stop() is False
    assert client.url() == f"unix://{folders.socket}"
    status = client.status()
    assert status is not None
    assert (status.kept, status.root, status.pid) == (True, str(folders.root), client.pid())
    assert client.stop() is True
    assert client.status() is None
    assert client.logs() == ""


def test_sockets_and_log_are_for_their_owner_alone(folders: Paths) -> None:
    client.url()
    for path in (folders.socket, folders.log, folders.activation_lock, folders.run, folders.root):
        assert path.stat().st_mode & 0o077 == 0, path
