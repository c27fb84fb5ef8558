"""An ordinary user enters, pins, rejoins and releases a user namespace."""

import errno
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipycontainer_runtime.linux import subids, userns
from ipycontainer_runtime.linux.subids import IdRange
from support.users import OrdinaryUser

pytestmark = pytest.mark.ordinary_user

RUNTIME = Path(userns.__file__).parents[2]
PRELUDE = f"""
import json, os, sys
sys.path.insert(0, {str(RUNTIME)!r})
from pathlib import Path
from ipycontainer_runtime.errors import ContainerError
from ipycontainer_runtime.linux import idmaps, subids, userns
run = Path(sys.argv[1])
def attempt():
    try:
        userns.enter(run)
    except ContainerError as error:
        return str(error)
"""
FACTS = """
ids = userns.enter(run)
print(json.dumps({
    "uids": ids.uids, "rootless": ids.rootless, "one": ids.one,
    "ids": os.getresuid() + os.getresgid(),
    "groups": os.getgroups(), "namespace": os.readlink("/proc/self/ns/user"),
    "mounts": os.readlink("/proc/self/ns/mnt"),
    "capabilities": open("/proc/self/status").read().split("CapEff:")[1].split()[0],
}))
"""


class Session:
    """A run folder of the ordinary user, and processes of that user."""

    def __init__(self, user: OrdinaryUser, run: Path) -> None:
        self.user, self.run = user, run

    def python(self, code: str) -> str:
        command = [sys.executable, "-c", PRELUDE + code, str(self.run)]
        if os.getuid() == 0:
            # The interpreter of root's tests may lie in root's home.
            ours = subprocess.run(self.user.command("test", "-x", sys.executable), check=False)
            python = "/usr/bin/python3" if ours.returncode else sys.executable
            command = self.user.command(python, *command[1:])
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def facts(self, before: str = "") -> dict[str, object]:
        found = json.loads(self.python(f"{before}\n{FACTS}"))
        assert isinstance(found, dict)
        return found

    def attempt(self, before: str) -> str:
        return self.python(before + "\nprint(attempt())")

    @property
    def pin(self) -> int:
        return int(json.loads((self.run / userns.RECORD).read_text())["pid"])


@pytest.fixture
def session(ordinary_user: OrdinaryUser) -> Iterator[Session]:
    run = Path(tempfile.mkdtemp(prefix="userns-", dir="/tmp"))
    os.chown(run, ordinary_user.uid, ordinary_user.gid)
    session = Session(ordinary_user, run)
    yield session
    session.python("userns.release(run)")
    shutil.rmtree(run)


def test_an_ordinary_user_becomes_root_with_a_range_of_ids(session: Session) -> None:
    facts = session.facts()
    assert facts["ids"] == [0] * 6
    assert facts["groups"] == [0]
    assert facts["rootless"] is True
    own, *ranges = facts["uids"]  # type: ignore[misc]  # the JSON of IdMap.uids
    assert own == [0, session.user.uid, 1]
    assert sum(size for _, _, size in ranges) >= 65536
    assert int(str(facts["capabilities"]), 16) & 1 << 21  # CAP_SYS_ADMIN


def test_a_later_engine_joins_the_same_namespaces(session: Session) -> None:
    first, second = session.facts(), session.facts()
    assert first["namespace"] == second["namespace"] != os.readlink("/proc/self/ns/user")
    assert first["mounts"] == second["mounts"] != os.readlink("/proc/self/ns/mnt")


def test_a_file_of_another_id_is_one_of_the_range_outside(session: Session) -> None:
    session.python("userns.enter(run)\np = run / 'file'\np.touch()\nos.chown(p, 33, 33)")
    first = subids.granted(subids.SUBUID, session.user.uid)[0][0]
    assert (session.run / "file").stat().st_uid == first + 33 - 1


def test_the_pin_is_one_small_process_of_the_users(session: Session) -> None:
    session.facts()
    status = Path(f"/proc/{session.pin}/status").read_text()
    assert "Name:\tsleep" in status
    assert f"Uid:\t{session.user.uid}" in status
    assert os.readlink(f"/proc/{session.pin}/cwd") == "/"
    assert sorted(os.listdir(f"/proc/{session.pin}/fd")) == ["0", "1", "2"]
    assert Path(f"/proc/{session.pin}/environ").read_bytes() == b""


def test_release_ends_the_pin(session: Session) -> None:
    session.facts()
    pin = os.pidfd_open(session.pin)
    session.python("userns.release(run)")
    ended, _, _ = select.select([pin], [], [], 5)
    os.close(pin)
    assert ended
    assert os.listdir(session.run) == []


def test_release_from_inside_ends_the_pin_too(session: Session) -> None:
    session.python("userns.enter(run)\nuserns.release(run)")
    assert os.listdir(session.run) == []


@pytest.mark.parametrize("record", ["", "{}", "[1]", '{"pid": 1, "started": 0}', "not json"])
def test_a_record_of_nobody_is_not_believed(session: Session, record: str) -> None:
    (session.run / userns.RECORD).write_text(record)
    assert session.facts()["rootless"] is True


def test_a_pid_that_is_another_process_now_is_not_joined(session: Session) -> None:
    before = session.facts()["namespace"]
    kept = json.loads((session.run / userns.RECORD).read_text())
    changed = json.dumps({**kept, "started": kept["started"] + 1})
    (session.run / userns.RECORD).write_text(changed)
    try:
        assert session.facts()["namespace"] != before
    finally:
        os.kill(kept["pid"], 9)


@pytest.mark.needs("root")
def test_another_users_process_is_not_joined(session: Session) -> None:
    stat = Path(f"/proc/{os.getpid()}/stat").read_text()
    started = int(stat.rpartition(")")[2].split()[19])
    (session.run / userns.RECORD).write_text(json.dumps({"pid": os.getpid(), "started": started}))
    assert session.facts()["rootless"] is True
    assert session.pin != os.getpid()


@pytest.mark.needs("root")
def test_root_stays_where_it_is(tmp_path: Path) -> None:
    before = os.readlink("/proc/self/ns/user")
    ids = userns.enter(tmp_path)
    assert os.readlink("/proc/self/ns/user") == before
    assert ids.rootless == (ids.uids != userns.WHOLE)
    assert os.listdir(tmp_path) == []


def test_without_newuidmap_there_is_one_id_and_the_package_is_named(session: Session) -> None:
    lack = session.python("os.environ['PATH'] = '/nowhere'\nprint(idmaps.lack())")
    assert lack.startswith("newuidmap is not installed: `apt install uidmap`")
    facts = session.facts("os.environ['PATH'] = '/nowhere'")
    assert facts["uids"] == [[0, session.user.uid, 1]]
    assert facts["ids"] == [0] * 6
    assert facts["one"] is True


def test_without_a_range_there_is_one_id_and_the_command_is_named(session: Session) -> None:
    nothing = "subids.SUBUID = Path('/dev/null')"
    lack = session.python(f"{nothing}\nprint(idmaps.lack())")
    assert lack.startswith(f"/dev/null gives no ids to {session.user.name}: as root run `usermod")
    assert "--add-subuids" in lack
    assert session.facts(nothing)["uids"] == [[0, session.user.uid, 1]]


def test_where_nobody_may_gain_privileges_there_is_one_id(session: Session) -> None:
    nothing = "import ctypes; ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)"
    assert "no_new_privs" in session.python(f"{nothing}\nprint(idmaps.lack())")
    assert session.facts(nothing)["one"] is True


def test_a_range_that_is_not_the_users_is_refused_by_newuidmap(session: Session) -> None:
    said = session.attempt("subids.granted = lambda file, uid: [(1, 65536)]")
    assert "newuidmap refused" in said
    assert "\n" not in said
    assert os.listdir(session.run) == []


def test_where_namespaces_are_forbidden_the_cure_is_told(session: Session) -> None:
    refuse = """
import ctypes
from ipycontainer_runtime.linux import seccomp
content = seccomp.default_filter(frozenset())
class Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))
program = Program(len(content) // 8, content)
libc = ctypes.CDLL(None)
libc.prctl(38, 1, 0, 0, 0)
libc.prctl(22, 2, ctypes.byref(program), 0, 0)
"""
    said = session.attempt(refuse)
    assert said.startswith("cannot create a user namespace (unshare: Operation not permitted). ")
    assert "use a remote engine" in said
    assert "\n" not in said


def test_a_refusal_leaves_no_process_behind(session: Session) -> None:
    code = "subids.granted = lambda file, uid: [(1, 65536)]\nattempt()\n"
    code += "try:\n    os.waitpid(-1, 0)\nexcept ChildProcessError:\n    print('none')"
    assert session.python(code) == "none"


def test_the_cures_name_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {
        "user/max_user_namespaces": ("0", "sysctl user.max_user_namespaces=15000"),
        "kernel/apparmor_restrict_unprivileged_userns": (
            "1",
            "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        "kernel/unprivileged_userns_clone": ("0", "sysctl kernel.unprivileged_userns_clone=1"),
    }
    for setting, (value, command) in settings.items():
        monkeypatch.setattr(userns, "_sysctl", {setting: value}.get)
        assert command in userns.refusal(errno.EPERM, "unshare")


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("ann:100000:65536\n", [(100000, 65536)]),
        ("1000:5:6\nbob:1:2\nann:7:8\n", [(5, 6), (7, 8)]),
        ("ann:1\nann:x:2\nann:1:2:3\nann:-1:2\nann:1:0\n", []),
        ("# ann:1:2\nanna:1:2\n10001:1:2\n", []),
        ("", []),
    ],
)
def test_a_subuid_file_is_read_as_newuidmap_reads_it(
    text: str, ranges: list[tuple[int, int]]
) -> None:
    assert subids.parse(text, "ann", 1000) == ranges


def test_several_ranges_follow_one_another() -> None:
    assert subids.mapping(1000, [(100, 10), (500, 20)]) == [
        IdRange(0, 1000, 1),
        IdRange(1, 100, 10),
        IdRange(11, 500, 20),
    ]
