"""Who waits for a container's input is seen, whatever way they wait; and nobody else."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from support import images
from support.calls import Make, start
from support.engines import Engine
from support.hosts import Host
from support.inputs import Listener, typing
from support.registry import Registry

pytestmark = [pytest.mark.needs("docker", "busybox"), pytest.mark.ordinary_user]

# The marker of those who ask only after a while in which they must not be taken to ask.
NOW = "printf now; read x"
PAUSE = 0.4

SHELL = {
    "read in a shell": ("printf 'Name? '; read x", "Name? "),
    "cat": ("echo begun; cat", ""),
    "a pipe's first": ("cat | cat", ""),
    "one that opens it again": ("cat < /dev/stdin", ""),
    "a child in the background of a shell": ("exec 3<&0; (printf deep; read x <&3) & wait", "deep"),
    "one that was stopped meanwhile": (
        "exec 3<&0; cat <&3 & child=$!; kill -STOP $child; kill -CONT $child; wait",
        "",
    ),
}
PYTHON = {
    "input": "input('Name? ')",
    "pdb": "import pdb; pdb.set_trace()",
    "select": "import select; select.select([0], [], [])",
    "select for a while, again and again": (
        "import select\nwhile not select.select([0], [], [], 0.05)[0]: pass"
    ),
    "poll of two": (
        "import os, select\n"
        "p = select.poll(); p.register(os.pipe()[0], 1); p.register(0, 1); p.poll()"
    ),
    "poll of a copy": "import os, select; p = select.poll(); p.register(os.dup(0), 1); p.poll()",
    "epoll": "import select; p = select.epoll(); p.register(0, 1); p.poll()",
    "epoll in epoll": (
        "import select\n"
        "p, q = select.epoll(), select.epoll()\n"
        "p.register(0, 1); q.register(p.fileno(), 1); q.poll()"
    ),
    "epoll whose descriptor is gone": (
        "import os, select\n"
        "p = select.epoll(); c = os.dup(0); p.register(c, 1); os.close(c); p.poll()"
    ),
    "asyncio": (
        "import asyncio, sys\n"
        "async def main():\n"
        "    asyncio.get_running_loop().add_reader(0, input)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())"
    ),
    "a thread": "import threading, time; threading.Thread(target=input).start(); time.sleep(600)",
    "readv": "import os; os.readv(0, [bytearray(8)])",
    "one of a thousand threads": (
        "import threading, time\n"
        "for n in range(1000):\n"
        "    work = input if n == 500 else lambda: time.sleep(600)\n"
        "    threading.Thread(target=work).start()\n"
    ),
}
# Each goes on for a while, and then asks.
NEVER_SHELL = {
    "a second cat": f"sleep {PAUSE} | cat",
    "one that sleeps": f"sleep {PAUSE}",
    "one that is busy": f"timeout {PAUSE} sh -c 'while :; do :; done'",
    "one that has its own input": f"sleep {PAUSE} | (read x)",
    "one that talks": f"timeout {PAUSE} sh -c 'while :; do echo; usleep 10000; done'",
}
NEVER_PYTHON = {
    "a socket": "a, b = socket.socketpair(); a.settimeout(PAUSE); a.recv(1)",
    "poll for writing": "p = select.poll(); p.register(0, 4); p.register(c, 1); p.poll(MS)",
    "select of another": "select.select([c], [], [0], PAUSE)",
    "epoll not for reading": (
        "p = select.epoll(); p.register(0, 0); p.register(c, 1); p.poll(PAUSE)"
    ),
    "epoll in epoll not for reading": (
        "p, q = select.epoll(), select.epoll(); p.register(0, 1)\n"
        "q.register(p.fileno(), 0); q.register(c, 1); q.poll(PAUSE)"
    ),
    "epoll that has fired": (
        "p = select.epoll(); p.register(0, 1 << 30); p.register(c, 1); p.poll(PAUSE)"
    ),
    "looks without waiting": (
        "until = time.monotonic() + PAUSE\n"
        "while time.monotonic() < until: select.select([0], [], [], 0)"
    ),
}
PRELUDE = f"""\
import os, select, socket, time
PAUSE, MS = {PAUSE}, {PAUSE * 1000}
c, d = os.pipe()
def quietly(work):
    try: exec(work)
    except TimeoutError: pass
"""
INPUT = {"OpenStdin": True, "StdinOnce": True}
both = pytest.mark.parametrize("tty", [False, True], ids=["pipe", "tty"])


@pytest.fixture(scope="module")
def python(shared_engine: Engine, debian_python: str) -> Iterator[str]:
    shared_engine.succeed("pull", "-q", debian_python)
    yield debian_python
    # It has folders that an ordinary user's test could not remove.
    shared_engine.succeed("rmi", "-f", debian_python)


@pytest.fixture(scope="module")
def apt(shared_engine: Engine, registry: Registry) -> Iterator[str]:
    name = registry.add(images.debian_apt_layout(), "apt")
    shared_engine.succeed("pull", "-q", name)
    yield name
    shared_engine.succeed("rmi", "-f", name)


def asked(engine: Host, container: str) -> dict[str, Any]:
    with Listener(engine, container) as listener:
        start(engine, container)
        return listener.question()


@both
@pytest.mark.parametrize("case", SHELL)
def test_a_shell_that_waits_is_seen(
    shared_engine: Engine, make: Make, case: str, tty: bool
) -> None:
    script, line = SHELL[case]
    if tty and "STOP" in script:
        script = f"set -m; {script.replace('wait', 'fg')}"  # or it may not read the terminal
    if tty and "background" in case:
        script = script.replace("& wait", "")
    question = asked(shared_engine, make("sh", "-c", script, Tty=tty, **INPUT))
    assert (question["line"], question["echo"]) == (line, True)


@both
@pytest.mark.parametrize("case", PYTHON)
def test_a_program_that_waits_is_seen(
    shared_engine: Engine, python: str, make: Make, case: str, tty: bool
) -> None:
    container = make("python3", "-c", PYTHON[case], Image=python, Tty=tty, **INPUT)
    question = asked(shared_engine, container)
    assert question["process"] == "python3"
    assert question["echo"] is True


@both
@pytest.mark.parametrize("case", NEVER_SHELL)
def test_a_shell_that_does_not_wait_is_not(
    shared_engine: Engine, make: Make, case: str, tty: bool
) -> None:
    container = make("sh", "-c", f"{NEVER_SHELL[case]}; {NOW}", Tty=tty, **INPUT)
    assert asked(shared_engine, container)["line"] == "now"


@both
@pytest.mark.parametrize("case", NEVER_PYTHON)
def test_a_program_that_does_not_wait_is_not(
    shared_engine: Engine, python: str, make: Make, case: str, tty: bool
) -> None:
    code = f"{PRELUDE}quietly({NEVER_PYTHON[case]!r})\ninput('now')"
    container = make("python3", "-c", code, Image=python, Tty=tty, **INPUT)
    assert asked(shared_engine, container)["line"] == "now"


def test_a_password_is_not_to_be_seen(shared_engine: Engine, python: str, make: Make) -> None:
    code = "import getpass; getpass.getpass('Password: '); input('Name: ')"
    container = make("python3", "-c", code, Image=python, Tty=True, **INPUT)
    with typing(shared_engine, container) as sock, Listener(shared_engine, container) as listener:
        start(shared_engine, container)
        question = listener.question()
        assert (question["line"], question["echo"]) == ("Password: ", False)
        sock.sendall(b"secret\r")
        question = listener.question()
        assert (question["line"], question["echo"]) == ("Name: ", True)


@pytest.mark.parametrize("command", [["bash", "--norc", "-i"], ["python3", "-i"]])
def test_who_reads_by_characters_shows_them_himself(
    shared_engine: Engine, python: str, make: Make, command: list[str]
) -> None:
    container = make(*command, Image=python, Tty=True, **INPUT)
    assert asked(shared_engine, container)["echo"] is True


@both
def test_node_that_waits_is_seen(shared_engine: Engine, make: Make, tty: bool) -> None:
    if shutil.which("node") != "/usr/bin/node":
        pytest.skip("there is no node of the distribution here")
    code = (
        "require('readline').createInterface(process.stdin, process.stdout)"
        ".question('Who? ', console.log)"
    )
    folders = {"Binds": ["/usr:/usr:ro", "/lib:/lib:ro", "/lib64:/lib64:ro"]}
    container = make("/usr/bin/node", "-e", code, HostConfig=folders, Tty=tty, **INPUT)
    assert "Who? " in asked(shared_engine, container)["line"]


def test_apt_that_wants_a_yes_is_seen(shared_engine: Engine, apt: str, make: Make) -> None:
    container = make(
        "apt-get", "remove", "--allow-remove-essential", "hostname", Image=apt, **INPUT
    )
    assert asked(shared_engine, container)["line"] == "Do you want to continue? [Y/n] "


def test_who_is_in_the_background_of_a_terminal_does_not_ask(
    shared_engine: Engine, python: str, make: Make
) -> None:
    # In the background poll() may be called, and read() would stop it.
    polls = "import select; p = select.poll(); p.register(0, 1); p.poll()"
    script = f"set -m; python3 -c '{polls}' & sleep {PAUSE}; {NOW}"
    container = make("bash", "-c", script, Image=python, Tty=True, **INPUT)
    assert asked(shared_engine, container)["line"] == "now"
