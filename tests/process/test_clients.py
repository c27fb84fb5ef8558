"""Clients that people have: docker's command and docker-py, here and on machines without Linux."""

import json
import os
import signal
import subprocess
import sys

import pytest

from ipycontainer_runtime import client
from ipycontainer_runtime.errors import Unavailable
from ipycontainer_runtime.paths import Paths
from support.engines import Engine

pytestmark = pytest.mark.ordinary_user


def test_docker_version_shows_both_sides(engine: Engine) -> None:
    told = json.loads(engine.succeed("version", "--format", "{{json .Server}}"))
    assert told["Platform"]["Name"] == "ipycontainer"
    assert told["ApiVersion"] == "1.50"
    assert told["MinAPIVersion"] == "1.24"
    assert "Server: ipycontainer" in engine.succeed("version")


def test_docker_info_prints_without_a_complaint(engine: Engine) -> None:
    done = engine.docker("info")
    assert done.returncode == 0
    lines = [line.strip() for line in done.stdout.decode().splitlines()]
    assert "Storage Driver: overlay2" in lines
    assert "Security Options:" in lines
    assert f"Docker Root Dir: {engine.paths.root}" in lines
    assert "ERROR" not in done.stdout.decode() + done.stderr.decode()


def test_docker_events_streams_until_its_time(engine: Engine) -> None:
    done = engine.docker("events", "--since", "0", "--until", "1s")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_docker_is_told_what_is_not_there(engine: Engine) -> None:
    done = engine.docker("swarm", "init")
    assert done.returncode == 1
    assert b"is not supported by this engine" in done.stderr


def test_an_ended_subscription_leaves_no_listener(engine: Engine) -> None:
    command = ["docker", "events"]
    watching = subprocess.Popen(command, env=engine.environment, stdout=subprocess.PIPE)
    try:
        while engine.client.info()["NEventsListener"] == 0:
            assert watching.poll() is None
        watching.send_signal(signal.SIGINT)
        watching.communicate(timeout=10)
        while engine.client.info()["NEventsListener"]:
            pass
    finally:
        watching.kill()
        watching.wait()


def python(code: str, **variables: str) -> str:
    """Run `code` in a fresh Python and return what it prints."""
    environment = {**os.environ, **variables}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_client_half_imports_without_anything_of_linux() -> None:
    absent = ("fcntl", "termios", "grp", "pwd", "resource", "tornado", "msgspec", "docker")
    code = f"import sys; sys.modules.update(dict.fromkeys({absent!r}))\n"
    assert python(code + "import ipycontainer_runtime.client as c; print(c.connect)")


@pytest.mark.parametrize(("platform", "system"), [("darwin", "macOS"), ("win32", "Windows")])
def test_where_there_is_no_linux_the_message_says_what_to_do(platform: str, system: str) -> None:
    code = (
        "from ipycontainer_runtime import client, errors\n"
        f"import sys; sys.platform = {platform!r}\n"
        "try: client.connect()\n"
        "except errors.Unavailable as error: print(error)"
    )
    told = python(code, DOCKER_HOST="")
    assert told.startswith(f"containers need Linux and this is {system}; DOCKER_HOST=")
    assert told.count("\n") == 1


def test_docker_host_is_somebody_elses_engine(
    engine: Engine, folders: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine.url)
    other = client.connect()
    assert other.info()["DockerRootDir"] == str(engine.paths.root)
    assert other.api.timeout is None
    other.close()
    assert client.status(folders) is None


def test_an_engine_elsewhere_that_does_not_answer_is_named(
    folders: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{folders.run}/nobody.sock")
    with pytest.raises(Unavailable, match=f"no engine answers at DOCKER_HOST=unix://{folders.run}"):
        client.connect()


def test_a_stream_of_a_killed_engine_ends_and_the_next_request_works(engine: Engine) -> None:
    events = engine.client.events()
    engine.kill()
    assert list(events) == []
    assert engine.client.ping()
