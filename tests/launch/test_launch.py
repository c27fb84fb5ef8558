"""The launcher, in real namespaces: what a container is given and what it is kept from."""

import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ipycontainer_runtime
from ipycontainer_runtime import launch

RUNTIME = Path(ipycontainer_runtime.__file__).parents[1]
DRIVER = Path(__file__).with_name("launched.py")
BASE_CAPABILITIES = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_MKNOD", "CAP_SETGID", "CAP_SETUID"]
QUIET = ["nosuid", "noexec", "nodev"]

pytestmark = pytest.mark.needs("root", "busybox")


class Box:
    """A root of Debian's static busybox, and the bundle that launches a command in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wrapper: list[str] = []
        self.image = folder / "image"
        for name in ("image/bin", "image/etc", "upper", "work", "rootfs"):
            (folder / name).mkdir(parents=True)
        shutil.copy(shutil.which("busybox") or "", self.image / "bin/busybox")
        for name in ("sh", "cat", "id", "ls", "grep", "true", "mknod", "mount", "tty", "sleep"):
            (self.image / "bin" / name).symlink_to("busybox")

    def process(self, *args: str, **fields: Any) -> dict[str, Any]:
        sets = dict.fromkeys(("bounding", "effective", "permitted"), BASE_CAPABILITIES)
        return {
            "args": args,
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": sets,
            "ipycontainer": {},
        } | fields

    def spec(self, process: dict[str, Any], user: str = "", **extra: Any) -> dict[str, Any]:
        at = {n: str(self.folder / n) for n in ("image", "upper", "work", "rootfs")}
        options = {"lowerdir": [at["image"]], "upperdir": at["upper"], "workdir": at["work"]}
        kinds = ("mount", "pid", "network", "ipc", "uts", "cgroup")
        return {
            "process": process,
            "hostname": "box",
            "mounts": [
                {"type": "proc", "destination": "/proc", "options": QUIET},
                {"type": "tmpfs", "destination": "/dev", "options": ["nosuid", "nodev"]},
                {"type": "devpts", "destination": "/dev/pts", "options": ["newinstance"]},
                {"type": "sysfs", "destination": "/sys", "options": [*QUIET, "ro"]},
                *extra.pop("mounts", []),
            ],
            "linux": {
                "namespaces": [{"type": kind} for kind in kinds],
                "maskedPaths": ["/proc/kcore", "/proc/acpi", "/sys/firmware"],
                "readonlyPaths": ["/proc/sys", "/proc/bus"],
            },
            "ipycontainer": {
                "rootfs": [{"type": "overlay", "destination": "/", "options": options}],
                "rootfs_path": at["rootfs"],
                "user": user,
                "loopback": True,
            },
        } | extra

    def launch(
        self, spec: dict[str, Any], *execs: dict[str, Any], leaked: tuple[int, ...] = ()
    ) -> dict[str, Any]:
        asked = json.dumps({"spec": spec, "execs": execs})
        command = [*self.wrapper, sys.executable, "-I", "-S", str(DRIVER), str(RUNTIME)]
        done = subprocess.run(
            command,
            input=asked,
            pass_fds=leaked,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def sh(self, script: str, user: str = "", **fields: Any) -> dict[str, Any]:
        return self.launch(self.spec(self.process("sh", "-c", script, **fields), user))


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def refused(result: dict[str, Any]) -> str:
    """Return the one error of a launch that never came to exec."""
    error = result["errors"][0]
    assert error is not None, result
    return error["error"]


def test_the_process_is_pid_1_of_its_own_namespaces(box: Box) -> None:
    kinds = ("mnt", "pid", "net", "ipc", "uts", "cgroup")
    result = box.sh(
        "echo $$; cat /proc/sys/kernel/hostname; ls -l /proc/self/ns; grep lo: /proc/net/dev"
    )
    lines = result["output"].splitlines()
    assert lines[:2] == ["1", "box"]
    assert "lo:" in lines[-1]
    for kind in kinds:
        assert os.readlink(f"/proc/self/ns/{kind}") not in result["output"]


def test_writes_go_to_the_upper_folder_and_not_to_the_image(box: Box) -> None:
    assert box.sh("echo hi > /etc/made")["codes"] == [0]
    assert (box.folder / "upper/etc/made").read_text() == "hi\n"
    assert not (box.image / "etc/made").exists()


def test_the_exit_code_is_the_command_s(box: Box) -> None:
    assert box.sh("exit 7")["codes"] == [7]


def test_only_standard_streams_are_open(box: Box) -> None:
    # The listing itself opens the last one.
    with open("/dev/null") as leaked:
        for folder in ("self", "$$"):
            process = box.process("sh", "-c", f"cd /proc/{folder}/fd; echo *")
            listed = box.launch(box.spec(process), leaked=(leaked.fileno(),))["output"].split()
            assert listed[:3] == ["0", "1", "2"]
            assert len(listed) <= 4


def test_no_signal_is_ignored_though_the_engine_ignores_it(box: Box) -> None:
    box.wrapper = ["sh", "-c", "trap '' HUP USR1 PIPE; exec \"$@\"", "sh"]
    look = box.process("grep", "-E", "Sig(Ign|Blk)", "/proc/self/status")
    told = box.launch(box.spec(look))["output"].split()
    assert told == ["SigBlk:", "0" * 16, "SigIgn:", "0" * 16]


def test_an_exec_has_only_standard_streams_and_is_in_the_same_namespaces(box: Box) -> None:
    script = "for n in mnt net pid uts ipc cgroup; do busybox readlink /proc/$p/ns/$n; done"
    waits = box.process("sh", "-c", "while [ ! -e /done ]; do sleep 0.01; done")
    looks = f"for p in 1 $$; do {script}; done; echo /proc/$$/fd/*; echo > /done"
    result = box.launch(box.spec(waits), box.process("sh", "-c", looks))
    *names, fds = result["output"].splitlines()
    assert len(names) == 12
    assert names[:6] == names[6:]
    assert [Path(fd).name for fd in fds.split()][:3] == ["0", "1", "2"]
    assert len(fds.split()) <= 4


def test_a_device_node_that_the_container_makes_cannot_be_opened(box: Box) -> None:
    # Off without MOUNT_ATTR_NODEV in Overlay; nodev on /dev comes from the spec.
    script = "for d in / /dev/; do mknod ${d}made c 1 3 && cat ${d}made && echo made; done"
    result = box.sh(script + "; echo x > /dev/null && echo open; ls -l /dev/zero")
    assert result["output"].startswith("open")
    assert "made" not in result["output"]
    assert "1,   5" in result["output"]


def test_a_terminal_is_the_container_s_own(box: Box) -> None:
    process = box.process("sh", "-c", "tty; echo seen > /dev/console", terminal=True)
    result = box.launch(box.spec(process))
    assert result["terminal"].split() == ["/dev/pts/0", "seen"]


def test_masked_and_read_only_paths_hold(box: Box) -> None:
    script = "cat /proc/kcore | busybox wc -c; ls /proc/acpi /sys/firmware | grep -v :"
    result = box.sh(
        script + "; echo 1 > /proc/sys/vm/drop_caches || echo kept; mount -o remount,rw /sys"
    )
    assert result["output"].split() == ["0", "kept"]


@pytest.mark.parametrize(
    ("user", "uid", "gid"),
    [
        ("", 0, 0),
        ("0", 0, 0),
        ("77", 77, 0),
        ("77:5", 77, 5),
        ("ann", 1000, 100),
        ("1000:ops", 1000, 50),
        (":5", 0, 5),
    ],
)
def test_a_user_is_who_docker_would_say(box: Box, user: str, uid: int, gid: int) -> None:
    (box.image / "etc/passwd").write_text(
        "root:x:0:0::/root:/bin/sh\nann:x:1000:100::/home/ann:/bin/sh\n"
    )
    (box.image / "etc/group").write_text("users:x:100:\nops:x:50:ann\n")
    assert box.sh("id -u; id -g", user)["output"].split() == [str(uid), str(gid)]


@pytest.mark.parametrize(
    "user", [" 0", "0x0", "4294967296", "-1", "+0", "٣", "nobody", "0:nogroup"]
)
def test_a_user_that_is_neither_an_id_nor_known_is_refused(box: Box, user: str) -> None:
    # Off with int() in place of _decimal in user.py [CVE-2026-30892].
    assert user.partition(":")[0] in refused(box.sh("id", user)) or "nogroup" in user


def test_supplementary_groups_are_the_container_s_and_never_the_host_s(box: Box) -> None:
    (box.image / "etc/passwd").write_text("ann:x:1000:100::/home/ann:/bin/sh\n")
    (box.image / "etc/group").write_text("ops:x:50:ann\nbad:x:99999999999:ann\n")
    assert box.sh("id -G; echo $HOME", "ann")["output"].splitlines() == ["100 50", "/home/ann"]
    assert box.sh("id -G", "12")["output"].split() == ["0"]


def test_a_passwd_file_that_is_a_fifo_or_leads_out_or_is_huge_is_not_followed(box: Box) -> None:
    passwd = box.image / "etc/passwd"
    os.mkfifo(passwd)
    assert "unable to find user ann" in refused(box.sh("id", "ann"))
    passwd.unlink()
    passwd.symlink_to("../../../../../../etc/passwd")
    assert "unable to find user daemon" in refused(box.sh("id", "daemon"))
    passwd.unlink()
    with passwd.open("wb") as file:
        file.truncate(1 << 30)
    assert "at most 4 MiB" in refused(box.sh("id", "ann"))


@pytest.mark.parametrize("name", ["dev", "proc", "sys"])
def test_a_mount_point_that_is_a_symlink_leads_nowhere_outside(box: Box, name: str) -> None:
    # Off with os.open in place of openat2 in Root.open [CVE-2025-31133 and its kin].
    outside = box.folder / "outside"
    outside.mkdir()
    (box.image / name).symlink_to(outside)
    box.sh("true")
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("name", ["proc", "sys"])
def test_a_kernels_file_system_is_mounted_on_no_link(box: Box, name: str) -> None:
    # Off without Filesystem._refuse_link [CVE-2019-19921].
    (box.image / "elsewhere").mkdir()
    (box.image / name).symlink_to("elsewhere")
    assert f"/{name} of the image is a symbolic link" in refused(box.sh("true"))


def test_a_bind_target_behind_a_symlink_stays_inside(box: Box) -> None:
    (box.image / "tmp").mkdir()
    inside = Path("/tmp", secrets.token_hex(8))
    (box.image / "data").symlink_to("/../../../../tmp")
    source = box.folder / "source"
    source.mkdir()
    (source / "file").write_text("shown")
    bind = {
        "type": "bind",
        "source": str(source),
        "destination": f"/data/{inside.name}",
        "options": ["rbind", "ro"],
    }
    look = f"cat {inside}/file; echo x > {inside}/new"
    try:
        result = box.launch(box.spec(box.process("sh", "-c", look), mounts=[bind]))
        assert result["output"] == "shown"
        assert not (source / "new").exists()
        assert not inside.exists()
    finally:
        shutil.rmtree(inside, ignore_errors=True)


@pytest.mark.parametrize("folder", ["/proc/self/fd/3", "/proc/1/cwd", "/proc/thread-self/fd/3/.."])
def test_a_working_directory_behind_a_magic_link_is_refused(box: Box, folder: str) -> None:
    # Off without RESOLVE_NO_MAGICLINKS in openat2 [CVE-2024-21626].
    assert folder in refused(box.sh("pwd", cwd=folder))


def test_a_missing_working_directory_is_made(box: Box) -> None:
    assert box.sh("pwd", cwd="/new/folder")["output"] == "/new/folder\n"


def test_a_sealed_executable_can_be_run_and_not_written(tmp_path: Path) -> None:
    # What `#!/proc/self/exe` leads a container to [CVE-2019-5736]. Off without MOUNT_ATTR_RDONLY.
    program = tmp_path / "program"
    shutil.copy(shutil.which("busybox") or "", program)
    fd = launch.sealed(str(program))
    try:
        done = subprocess.run(
            ["busybox", "echo", "ran"],
            executable=f"/proc/self/fd/{fd}",
            pass_fds=[fd],
            capture_output=True,
            check=True,
        )
        assert done.stdout == b"ran\n"
        with pytest.raises(OSError, match="Read-only file system"):
            os.open(f"/proc/self/fd/{fd}", os.O_WRONLY)
    finally:
        os.close(fd)


def test_an_ordinary_user_s_process_holds_no_capability(box: Box) -> None:
    result = box.sh("grep -E 'Cap(Eff|Prm|Amb|Inh)' /proc/self/status", "77")
    assert {line.split()[1] for line in result["output"].splitlines()} == {"0" * 16}


def test_no_new_privileges_is_kept_when_asked(box: Box) -> None:
    result = box.sh("grep NoNewPrivs /proc/self/status", noNewPrivileges=True)
    assert result["output"].split() == ["NoNewPrivs:", "1"]


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("nothing", 127, 'exec: "nothing": executable file not found in $PATH'),
        ("/bin/nothing", 127, "no such file or directory"),
        ("/etc/file", 126, "permission denied"),
        ("/etc", 126, "is a directory"),
        ("", 127, "executable file not found"),
    ],
)
def test_a_command_that_cannot_run_says_why_in_docker_s_words(
    box: Box, command: str, code: int, words: str
) -> None:
    (box.image / "etc/file").write_text("x")
    error = box.launch(box.spec(box.process(command)))["errors"][0]
    assert error["exit"] == code
    assert words in error["error"]


def test_a_bind_source_that_became_a_symlink_is_refused(box: Box) -> None:
    # Off with os.open in place of openat2 in Bind._open: the engine looked at another folder.
    (box.folder / "outside").mkdir()
    (box.folder / "link").symlink_to(box.folder / "outside")
    for source in (box.folder / "link", box.folder / "link/../outside"):
        bind = {"type": "bind", "source": str(source), "destination": "/data", "options": ["bind"]}
        result = box.launch(box.spec(box.process("true"), mounts=[bind]))
        assert f"became a symbolic link just now: {source}" in refused(result)


def test_a_failed_step_names_itself(box: Box) -> None:
    bind = {"type": "bind", "source": "/nowhere", "destination": "/data", "options": ["bind"]}
    result = box.launch(box.spec(box.process("true"), mounts=[bind]))
    assert "Bind(source='/nowhere'" in refused(result)
    assert result["errors"][0]["exit"] == 125
