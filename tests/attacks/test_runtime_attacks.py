"""What a hostile image or container tries while its processes are started, entered and ended."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import ipycontainer_runtime
from ipycontainer_runtime.engine.annotations import REQUIRE_LIMITS
from ipycontainer_runtime.launch.root import Device, LaunchError, Root
from support import calls
from support.calls import Make
from support.engines import Engine, running_engine

Said = Callable[..., str]

RUNTIME = Path(ipycontainer_runtime.__file__).parents[1]
# An engine makes no cgroup where it sees no hierarchy.
WITHOUT_CGROUPS = (
    *("unshare", "--mount", "sh", "-c"),
    'mount -t tmpfs none /sys/fs/cgroup && exec "$@"',
    "sh",
)


def python(code: str, *arguments: str, seconds: float = 20) -> str:
    """Run `code` in a Python of its own, as first process of a pid namespace when it is root's."""
    done = subprocess.run(
        [*arguments, sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(RUNTIME)},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    return done.stdout + done.stderr


def test_what_is_no_device_is_not_shown_as_one(tmp_path: Path) -> None:
    fake = tmp_path / "null"
    fake.write_text("not what it says")
    with pytest.raises(LaunchError, match="is not device 1:3"):
        Device(str(fake), "/dev/null", 1, 3).do(Root(str(tmp_path), terminal=False))


def test_a_passwd_that_blocks_does_not_hold_up_a_start(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    os.mkfifo(tmp_path / "etc/passwd")
    find = "from ipycontainer_runtime.launch.user import find_user; import sys"
    assert "(7, 0, (0,), '/')" in python(
        f"{find}; print(tuple(find_user('7', root={str(tmp_path)!r})))"
    )


@pytest.mark.needs("root", "busybox")
def test_an_exec_enters_though_the_container_hides_its_proc(
    shared_engine: Engine, make: Make
) -> None:
    container = make(
        "sh", "-c", "umount -l /proc; exec sleep 1000", HostConfig={"Privileged": True}
    )
    calls.start(shared_engine, container)
    names = shared_engine.succeed("exec", container, "sh", "-c", "ls /proc; hostname")
    assert names.strip() == container[:12]


REUSE = """
import os, signal, time
from ipycontainer_runtime.shim.process import Process

def asleep():
    pid = os.fork()
    if not pid:
        signal.pause()
    return pid

process = Process(None, lambda ended: None)
first = asleep()
process.take(first, None)
os.kill(first, signal.SIGKILL)
os.waitpid(first, 0)
with open("/proc/sys/kernel/ns_last_pid", "w") as file:
    file.write(str(first - 1))
second = asleep()
assert second == first
try:
    process.kill(signal.SIGKILL)
except ProcessLookupError:
    print("refused")
print("alive" if os.waitpid(second, os.WNOHANG) == (0, 0) else "killed")
"""


@pytest.mark.needs("root")
def test_a_signal_never_reaches_who_has_the_number_next() -> None:
    # In a pid namespace of its own, where numbers are given out as they are asked for.
    said = python(REUSE, "unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    assert said.split() == ["refused", "alive"]


@pytest.mark.ordinary_user
@pytest.mark.needs("busybox")
def test_every_process_leads_a_session_of_its_own(shared_engine: Engine, make: Make) -> None:
    # A terminal belongs to a session; who is in another can neither type into it nor stop it.
    look = "cut -d' ' -f6 /proc/$$/stat; echo $$"
    container = make("sh", "-c", f"{look}; exec sleep 1000")
    calls.start(shared_engine, container)
    session, own = shared_engine.succeed("exec", container, "sh", "-c", look).split()
    assert session == own
    session, own = calls.logged(shared_engine, container).split()
    assert session == own


@pytest.fixture
def unlimited(busybox: str) -> Iterator[Engine]:
    """An engine on a machine without cgroups."""
    with running_engine(WITHOUT_CGROUPS) as running:
        running.client.images.pull(busybox)
        yield running


@pytest.mark.needs("root", "busybox")
def test_limits_that_are_required_bind_or_are_refused(unlimited: Engine, busybox: str) -> None:
    body = {"Image": busybox, "HostConfig": {"Memory": 64 << 20, "NetworkMode": "none"}}
    made = calls.call(unlimited, "POST", "/containers/create", body)
    assert "memory limit" in made.body["Warnings"][0]
    body["HostConfig"] |= {"Annotations": {REQUIRE_LIMITS: "true"}}  # type: ignore[operator] # a dict
    refused = calls.call(unlimited, "POST", "/containers/create", body)
    assert refused.status == 400
    assert refused.message.startswith("limits are required that cannot be set here (memory limit")


SETUID = (
    "printf 'root::0:0::/:/bin/sh\\nann:x:1000:1000::/:/bin/sh\\n' > /etc/passwd; "
    "cp /bin/busybox /su; chmod 4755 /su; exec sleep 1000"
)


@pytest.mark.needs("root", "busybox")
def test_a_setuid_program_changes_nothing(shared_engine: Engine, make: Make) -> None:
    become_root = ("-u", "1000", "{}", "/su", "-c", "id -u")
    for options, works in (([], True), (["no-new-privileges"], False)):
        container = make("sh", "-c", SETUID, HostConfig={"SecurityOpt": options})
        calls.start(shared_engine, container)
        shared_engine.succeed("exec", container, "sh", "-c", "until [ -u /su ]; do usleep 9; done")
        words = [word.format(container) for word in become_root]
        told = shared_engine.docker("exec", *words).stdout
        assert (told.strip() == b"0") is works


def test_an_account_file_that_is_the_kernels_is_not_read() -> None:
    # launch.user._entries: `not found.st_size`. Who reads /proc/kmsg takes it from the host's log.
    code = """
import io
from ipycontainer_runtime.launch import user

class File(io.FileIO):
    def read(self, size):
        print("read")
        return super().read(size)

user.open = lambda fd, mode: File(fd)
print([*user._entries("/", "/proc/self/status", 1)])
"""
    assert python(code).split() == ["[]"]


def test_an_account_is_a_line_and_no_part_of_a_name(tmp_path: Path) -> None:
    # launch.user._entries: `split`
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("ann:x:7:7:Ann\x85root2:x:0:0::/:/home/ann:\n")
    find = "from ipycontainer_runtime.launch.user import find_user"
    told = python(f"{find}; find_user('root2', root={str(tmp_path)!r})")
    assert "unable to find user root2" in told


@pytest.mark.ordinary_user
@pytest.mark.needs("busybox")
def test_nothing_is_made_in_a_folder_that_is_mounted_at_dev(
    shared_engine: Engine, make: Make, tmp_path: Path
) -> None:
    # launch.plan.plan: `own`
    container = make("true", HostConfig={"Binds": [f"{tmp_path}:/dev"]})
    calls.call(shared_engine, "POST", f"/containers/{container}/start")
    assert list(tmp_path.iterdir()) == []
