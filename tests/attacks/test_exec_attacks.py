"""What a container tries on processes that are just entering it."""

import os
import sys
from pathlib import Path

import pytest

from support import calls
from support.calls import Make
from support.engines import Engine, running_engine

ROUNDS = 40

WATCHING = """
echo ready >/ready
while :; do
  for p in /proc/[0-9]*; do
    case $p in /proc/1|/proc/$$) continue;; esac
    [ -e "$p/root$1" ] && echo "root of $p"
    (: >"$p/root$1/evil") && echo "written by $p"
  done
done 2>/dev/null
"""


TRACER = {"CapAdd": ["SYS_PTRACE"]}

pytestmark = [pytest.mark.ordinary_user, pytest.mark.needs("busybox")]


@pytest.mark.parametrize("host", [{}, TRACER], ids=["", "tracer"])
def test_a_process_that_enters_shows_nothing_of_the_host(
    shared_engine: Engine, make: Make, tmp_path: Path, host: dict[str, object]
) -> None:
    # launch.process.fork_into_sight; for who may not trace, PR_SET_DUMPABLE and the kernel's rule
    # that a tracer has every capability of whom it traces.
    container = make("sh", "-c", WATCHING, "sh", str(tmp_path), HostConfig=host)
    calls.start(shared_engine, container)
    shared_engine.succeed("exec", container, "sh", "-c", "until [ -e /ready ]; do usleep 9; done")
    for _ in range(ROUNDS):
        shared_engine.succeed("exec", container, "true")
    calls.call(shared_engine, "POST", f"/containers/{container}/kill")
    calls.ended(shared_engine, container)
    assert calls.logged(shared_engine, container) == b""
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_enters_out_of_sight_is_as_any_other(
    shared_engine: Engine, make: Make
) -> None:
    container = make("sleep", "1000", HostConfig=TRACER)
    calls.start(shared_engine, container)
    own = "for n in mnt net pid uts ipc cgroup; do readlink /proc/$p/ns/$n; done"
    told = shared_engine.succeed("exec", container, "sh", "-c", f"for p in 1 $$; do {own}; done")
    names = told.split()
    assert names[:6] == names[6:]
    look = "cut -d' ' -f6,7 /proc/$$/stat; echo $$; tty; exit 7"
    done = shared_engine.docker("exec", "-t", container, "sh", "-c", look)
    session, terminal, own_id, name = done.stdout.decode().split()
    assert (session, name, done.returncode) == (own_id, "/dev/pts/0", 7)
    assert terminal != "0"
    assert shared_engine.docker("exec", container, "nothing").returncode == 127
    assert shared_engine.docker("exec", "-u", "nobody-here", container, "true").returncode
    killed = shared_engine.docker("exec", container, "sh", "-c", "kill -9 $$")
    assert killed.returncode == 137
    assert shared_engine.docker("exec", "-d", container, "true").returncode == 0


def test_variables_of_the_engines_user_are_in_no_memory_of_the_container(
    busybox: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # shim.spawning.Spawner._execute: `env`
    monkeypatch.setenv("SECRET_TOKEN", "of-the-user")
    with running_engine() as engine:
        engine.client.images.pull(busybox)
        container = calls.create(
            engine, busybox, "cat", "/proc/1/environ", HostConfig=TRACER | {"Init": True}
        )
        calls.start(engine, container)
        assert calls.ended(engine, container) == 0
        assert b"of-the-user" not in calls.logged(engine, container)


# The numbers of add_key and keyctl; -3 is the session keyring, 10 searches it (keyctl(2)).
KEYS = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
add, keyctl = {"x86_64": (248, 250)}.get(os.uname().machine, (217, 219))
"""
WITH_A_KEY = f"""{KEYS}
assert libc.syscall(keyctl, 1, None) > 0
assert libc.syscall(add, b"user", b"of-the-user", b"x", 1, -3) > 0
os.execvp(sys.argv[1], sys.argv[1:])
"""
SEARCH = f"{KEYS}print(libc.syscall(keyctl, 10, -3, b'user', b'of-the-user', 0) > 0)"


def test_keys_of_the_engines_user_are_not_the_containers(busybox: str) -> None:
    # launch.Child._forget_keys
    own = [path for path in ("/usr", "/lib", "/lib64", sys.base_prefix) if os.path.isdir(path)]
    unfiltered = {
        "SecurityOpt": ["seccomp=unconfined"],
        "Binds": [f"{path}:{path}:ro" for path in own],
    }
    search = (os.path.realpath(sys.executable), "-I", "-c", SEARCH)
    with running_engine((sys.executable, "-c", WITH_A_KEY)) as engine:
        engine.client.images.pull(busybox)
        searching = calls.create(engine, busybox, *search, HostConfig=unfiltered)
        calls.start(engine, searching)
        assert calls.ended(engine, searching) == 0
        assert calls.logged(engine, searching).strip() == b"False"
        running = calls.create(engine, busybox, "sleep", "1000", HostConfig=unfiltered)
        calls.start(engine, running)
        assert engine.succeed("exec", running, *search).strip() == "False"
