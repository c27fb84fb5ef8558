"""What a hostile client sends, or an image has it sent: the engine and its containers live on.

Each comment names the line without which its test fails.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from support import calls
from support.calls import Make
from support.engines import Engine

# To a terminal: put a text into the clipboard, by OSC 52.
ESCAPE = "\x1b]52;c;ZXZpbA==\x07"
DEEP = {"list": "[" * 100_000, "object": '{"Image":' * 50_000, "field": '{"x":' + "[" * 100_000}

pytestmark = [pytest.mark.ordinary_user, pytest.mark.needs("busybox")]


@pytest.fixture(autouse=True)
def _nothing_to_complain_of(shared_engine: Engine) -> Iterator[None]:
    """The engine's log stays as it is, and the engine answers."""
    before = shared_engine.log
    yield
    assert calls.call(shared_engine, "GET", "/_ping").status == 200
    assert shared_engine.log == before


@pytest.fixture
def running(shared_engine: Engine, make: Make) -> str:
    """A container that runs."""
    container = make("sleep", "1000")
    calls.start(shared_engine, container)
    return container


def sent(engine: Engine, path: str, body: str) -> int:
    """Post these bytes as JSON and return the status."""
    connection = calls.Connection(engine)
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize("kind", DEEP)
@pytest.mark.parametrize(
    "path", ["/containers/create", "/containers/{}/exec", "/commit?container={}"]
)
def test_json_that_is_nested_too_deep_is_refused(
    shared_engine: Engine, running: str, path: str, kind: str
) -> None:
    # api.base.body_json and engine.create.decoded: RecursionError
    assert sent(shared_engine, path.format(running), DEEP[kind]) == 400


def test_nobody_else_finds_the_files_of_containers(shared_engine: Engine) -> None:
    # __main__._serve: the mode of the data root; store.private, for one that others made
    for folder in shared_engine.paths:
        assert folder.stat().st_mode & 0o077 == 0
    for folder in filter(Path.is_dir, shared_engine.paths.root.iterdir()):
        assert folder.stat().st_mode & 0o007 == 0, folder


ZERO = "\0"
IMPOSSIBLE: dict[str, dict[str, object]] = {
    "a zero byte in a folder": {"Binds": [f"/tmp{ZERO}:/x"]},
    "a zero byte in a device": {"Devices": [{"PathOnHost": f"/dev/{ZERO}"}]},
    "a device that is a number": {"Devices": [{"PathOnHost": 5}]},
    "a disk that is a descriptor": {"BlkioDeviceReadBps": [{"Path": 5, "Rate": 1}]},
    "half a size": {"ConsoleSize": [1]},
    "a size beyond all": {"ConsoleSize": [1 << 70, 1]},
    "a list of many CPUs": {"CpusetCpus": ",".join(["0-9999"] * 2_000)},
    "a nested profile": {"SecurityOpt": ["seccomp=" + "[" * 100_000]},
    "a second line for resolv.conf": {"DnsSearch": ["a\nnameserver 192.0.2.1"]},
    "a second option in resolv.conf": {"DnsOptions": ["a b"]},
}


@pytest.mark.parametrize("asked", IMPOSSIBLE)
def test_what_no_container_can_have_is_refused_at_once(
    shared_engine: Engine, busybox: str, asked: str
) -> None:
    # engine.strings; store.records.Size and devices; blockio._number; resources._LONGEST_LIST;
    # conditional.resolved: RecursionError
    body = {"Image": busybox, "Cmd": ["true"], "HostConfig": IMPOSSIBLE[asked]}
    refused = calls.call(shared_engine, "POST", "/containers/create", body)
    assert (refused.status, len(refused.message) < 2_000) == (400, True)


@pytest.mark.parametrize("name", ["a\nb", "a b", "d" * 65])
def test_a_domain_is_one_name(shared_engine: Engine, busybox: str, name: str) -> None:
    # engine.create.complete: refuse_spaces
    body = {"Image": busybox, "Cmd": ["true"], "Domainname": name}
    assert calls.call(shared_engine, "POST", "/containers/create", body).status == 400


def test_numbers_of_five_thousand_digits_do_no_harm(shared_engine: Engine, running: str) -> None:
    # engine.signals.signal_number and api.containers._tail: the length of the digits
    number = "9" * 5_000
    kill = calls.call(shared_engine, "POST", f"/containers/{running}/kill?signal={number}")
    assert (kill.status, kill.message[:14]) == (400, "Invalid signal")
    # api.base.VERSION_PREFIX
    for version in (f"v{number}.1", f"v1.{number}"):
        assert calls.call(shared_engine, "GET", f"/{version}/_ping").status == 404
    for tail in (number, str(1 << 63), "٣"):
        logs = f"/containers/{running}/logs?stdout=1&tail={quote(tail)}"
        assert calls.call(shared_engine, "GET", logs).status == 200


@pytest.mark.parametrize("host", [{}, {"CapAdd": ["SYS_PTRACE"]}], ids=["", "traced"])
def test_a_command_as_long_as_it_can_be_ends_no_container(
    shared_engine: Engine, make: Make, host: dict[str, object]
) -> None:
    # launch.said: LONGEST
    container = make("sleep", "1000", HostConfig=host)
    calls.start(shared_engine, container)
    body = {"Cmd": ["x" * 200_000]}
    made = calls.call(shared_engine, "POST", f"/containers/{container}/exec", body).body["Id"]
    reply = calls.call(shared_engine, "POST", f"/exec/{made}/start", {"Detach": True})
    assert reply.status in (400, 500)
    assert len(reply.message) < 4_000
    assert reply.message.endswith("executable file not found in $PATH")
    assert calls.state(shared_engine, container)["Running"]


def test_no_message_has_what_a_terminal_obeys(shared_engine: Engine, make: Make) -> None:
    # launch._said for what an image says, errors.printable for what anybody says
    told = [calls.call(shared_engine, "POST", f"/containers/{make(ESCAPE)}/start")]
    told += [calls.call(shared_engine, "POST", f"/containers/{make('true', User=ESCAPE)}/start")]
    told += [calls.call(shared_engine, "GET", f"/images/{quote(ESCAPE)}/json")]
    told += [calls.call(shared_engine, "GET", f"/containers/{quote(ESCAPE)}/json")]
    for reply in told:
        assert reply.status >= 400
        assert reply.message.isprintable()
        assert "\\x1b]52" in json.dumps(reply.message) or "[52" not in reply.message
    running = make("sleep", "1000")
    calls.start(shared_engine, running)
    assert shared_engine.docker("exec", running, ESCAPE).stdout.isascii()
    assert b"\x1b" not in shared_engine.docker("exec", running, ESCAPE).stdout
