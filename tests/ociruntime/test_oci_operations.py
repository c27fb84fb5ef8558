"""The operations of the OCI runtime specification, on a bundle that `spec` wrote."""

import json
import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from ociroom import Room, wait_for_end

from ipycontainer_runtime.ociruntime.states import write_file
from support.needs import missing

pytestmark = pytest.mark.needs("root", "busybox")


def test_a_container_is_created_started_killed_and_deleted(room: Room) -> None:
    room.ask("sh", "-c", "echo began; exec sleep 1000")
    pid_file = room.folder / "pid"
    pid = room.create("one", "--pid-file", str(pid_file))
    state = room.state()
    assert (state["status"], state["id"], state["bundle"]) == ("created", "one", str(room.bundle))
    assert int(pid_file.read_text()) == pid
    assert room.output() == ""
    room.call("start", "one")
    assert room.state()["status"] == "running"
    refused = room.try_call("delete", "one")
    assert "not stopped" in refused.stderr
    room.call("kill", "one", "KILL")
    wait_for_end(pid)
    assert (room.state()["status"], room.state()["pid"]) == ("stopped", 0)
    assert room.output() == "began\n"
    again = room.try_call("kill", "one", "TERM")
    assert "container not running" in again.stderr
    room.call("delete", "one")
    gone = room.try_call("state", "one")
    assert gone.returncode == 1
    assert "does not exist" in gone.stderr


def test_what_cannot_be_now_is_refused(room: Room) -> None:
    room.ask("sleep", "1000")
    room.create()
    taken = room.try_call("create", "-b", str(room.bundle), "one")
    assert "already exists" in taken.stderr
    room.call("start", "one")
    assert "cannot start a container that is running" in room.try_call("start", "one").stderr
    assert "cannot resume a container that is running" in room.try_call("resume", "one").stderr
    assert "unknown signal" in room.try_call("kill", "one", "SIGNONE").stderr
    room.call("delete", "--force", "one")
    room.call("delete", "--force", "one")
    assert "does not exist" in room.try_call("delete", "one").stderr
    for name in ("..", "a/b", ""):
        assert (
            "invalid container id" in room.try_call("create", name, "-b", str(room.bundle)).stderr
        )


def test_the_process_is_as_the_bundle_has_it(room: Room) -> None:
    room.change(lambda spec: spec["root"].update(readonly=False))
    kinds = ("bounding", "effective", "permitted", "inheritable", "ambient")
    sets = {kind: ["CAP_KILL"] for kind in kinds}
    script = (
        "id; umask; pwd; echo $HOME $GREETING; ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj"
    )
    output = room.run(
        "sh",
        "-c",
        f"{script}; grep -E 'Cap|NoNew' /proc/self/status",
        user={"uid": 1000, "gid": 50, "umask": 0o77, "additionalGids": [60, 70]},
        cwd="/made/here",
        env=["PATH=/bin", "GREETING=hello there"],
        rlimits=[{"type": "RLIMIT_NOFILE", "soft": 70, "hard": 80}],
        oomScoreAdj=123,
        capabilities=sets,
        noNewPrivileges=True,
    )
    lines = output.splitlines()
    assert lines[:7] == [
        "uid=1000(ann) gid=50 groups=60,70",
        "0077",
        "/made/here",
        "/home/ann hello there",
        "70",
        "80",
        "123",
    ]
    assert {line.split()[1] for line in lines[7:12]} == {f"{1 << 5:016x}"}
    assert lines[12].split() == ["NoNewPrivs:", "1"]


def test_namespaces_are_new_or_those_of_a_path(room: Room) -> None:
    room.ask("sleep", "1000")
    pid = room.create()
    room.call("start", "one")
    kinds = {"pid": "pid", "network": "net", "ipc": "ipc", "uts": "uts", "mount": "mnt"}

    def join(spec: dict[str, Any]) -> None:
        spec.pop("hostname")
        spec["linux"]["namespaces"] = [{"type": "mount"}] + [
            {"type": kind, "path": f"/proc/{pid}/ns/{kinds[kind]}"}
            for kind in ("pid", "network", "ipc", "uts")
        ]
        spec["linux"]["cgroupsPath"] += "/two"

    theirs = {kind: os.readlink(f"/proc/{pid}/ns/{name}") for kind, name in kinds.items()}
    ours = {kind: os.readlink(f"/proc/self/ns/{name}") for kind, name in kinds.items()}
    assert not set(theirs.values()) & set(ours.values())
    room.change(join)
    room.ask("sh", "-c", "ls -l /proc/self/ns; ps; hostname")
    output = room.call("run", "-b", str(room.bundle), "two")
    for kind, name in theirs.items():
        assert (name in output) == (kind != "mount")
    assert "sleep 1000" in output
    assert output.endswith("ipycontainer\n")


def test_the_root_is_read_only_and_paths_are_hidden(room: Room) -> None:
    script = (
        "touch /x; touch /proc/sys/kernel/domainname; cat /proc/keys; ls /proc/acpi /sys/firmware;"
        "echo end"
    )
    done = room.try_run("sh", "-c", script)
    assert done.stdout.replace("/proc/acpi:\n", "").split() == ["/sys/firmware:", "end"]
    assert done.stderr.count("Read-only file system") == 2


def test_mounts_are_of_every_usual_kind(room: Room) -> None:
    (room.folder / "given").mkdir()
    (room.folder / "given/file").write_text("given\n")
    (room.bundle / "beside").write_text("beside\n")
    (room.folder / "link").symlink_to(room.folder / "given")
    room.change(
        lambda spec: spec["mounts"].extend(
            [
                {
                    "destination": "/g",
                    "source": str(room.folder / "link"),
                    "options": ["rbind", "ro"],
                },
                {"destination": "/f", "type": "bind", "source": "beside", "options": ["bind"]},
                {
                    "destination": "/etc/shared",
                    "type": "tmpfs",
                    "options": ["tmpcopyup", "size=1m"],
                },
                {"destination": "/t", "type": "tmpfs", "options": ["noexec", "nosuid", "mode=700"]},
            ]
        )
    )
    for name in ("g", "t"):
        (room.root / name).mkdir()
    (room.root / "f").touch()
    script = (
        "cat /g/file /f; touch /g/x; stat -c '%u %g' /etc/shared/file; cat /etc/shared/file; mount"
    )
    done = room.try_run("sh", "-c", script)
    assert done.stdout.splitlines()[:4] == ["given", "beside", "7 8", "of the image"]
    assert "touch: /g/x: Read-only file system" in done.stderr
    assert "on /t type tmpfs (rw,nosuid,noexec" in done.stdout
    assert "size=1024k" in done.stdout


@pytest.mark.cgroup2
def test_devices_are_those_of_the_bundle(room: Room) -> None:
    fuse = {"path": "/dev/mine", "type": "c", "major": 1, "minor": 5, "fileMode": 0o600, "uid": 1}
    room.change(lambda spec: spec["linux"].update(devices=[fuse]))
    disk = os.stat("/").st_dev
    script = "stat -c '%u %a %t:%T' /dev/mine; head -c 3 /dev/mine /dev/zero | cat -v"
    node = f"mknod /dev/d b {os.major(disk)} {os.minor(disk)}; cat /dev/d"
    done = room.try_run("sh", "-c", f"{script}; {node}")
    assert done.stdout.splitlines()[0] == "1 600 1:5"
    assert done.stdout.count("^@^@^@") == 2
    assert "can't open '/dev/d'" in done.stderr


@pytest.mark.cgroup2
def test_of_a_device_no_more_is_granted_than_the_bundle_says(room: Room) -> None:
    number = {"type": "c", "major": 1, "minor": 11}  # the kernel's log

    def writable(spec: dict[str, Any]) -> None:
        spec["linux"]["devices"] = [{"path": "/dev/log", **number}]
        spec["linux"]["resources"]["devices"].append({"allow": True, "access": "w", **number})
        for names in spec["process"]["capabilities"].values():
            names.append("CAP_SYSLOG")

    room.change(writable)
    done = room.try_run("sh", "-c", ": >/dev/log && echo written; : </dev/log")
    assert done.stdout == "written\n"
    assert "can't open /dev/log: Operation not permitted" in done.stderr


def test_without_rules_no_device_but_the_usual_ones_can_be_opened(room: Room) -> None:
    disk = os.stat("/").st_dev
    room.change(lambda spec: spec["linux"].pop("resources"))
    node = f"mknod /dev/d b {os.major(disk)} {os.minor(disk)}; cat /dev/d"
    done = room.try_run("sh", "-c", f"head -c 1 /dev/zero | cat -v; {node}")
    assert done.stdout == "^@"
    assert "can't open '/dev/d'" in done.stderr


def test_a_user_namespace_maps_ids(room: Room) -> None:
    def mapped(spec: dict[str, Any]) -> None:
        spec["linux"]["namespaces"].append({"type": "user"})
        for key in ("uidMappings", "gidMappings"):
            spec["linux"][key] = [{"containerID": 0, "hostID": 200_000, "size": 2000}]
        spec["root"]["readonly"] = False

    room.change(mapped)
    for path in [room.root, *room.root.rglob("*")]:
        os.chown(path, 200_000, 200_000, follow_symlinks=False)
    output = room.run(
        "sh", "-c", "cat /proc/self/uid_map; touch /x; id -u; head -c 1 /dev/zero | cat -v"
    )
    assert output.split() == ["0", "200000", "2000", "0", "^@"]
    assert (room.root / "x").stat().st_uid == 200_000


def test_the_filter_of_the_bundle_is_set_for_execs_too(room: Room) -> None:
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    room.change(lambda spec: spec["linux"].update(seccomp=profile))
    (room.root / "bin/mkdir").symlink_to("busybox")
    room.ask("sh", "-c", "mkdir /dev/x; exec sleep 1000")
    room.create()
    room.call("start", "one")
    done = room.try_call("exec", "one", "mkdir", "/dev/x")
    assert done.stderr == "mkdir: can't create directory '/dev/x': Permission denied\n"


@pytest.mark.cgroup2
def test_hooks_run_in_their_order_and_are_told_the_state(room: Room) -> None:
    log = room.folder / "hooks"
    kinds = (
        "prestart",
        "createRuntime",
        "createContainer",
        "startContainer",
        "poststart",
        "poststop",
    )
    (room.root / "log").touch()

    def hook(kind: str) -> dict[str, Any]:
        if kind == "startContainer":
            script = "cat >&2"
            return {"path": "/bin/sh", "args": ["sh", "-c", script], "env": []}
        script = f"echo {kind} $WORD $(cat) >> {log}"
        return {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["WORD=word"]}

    room.change(lambda spec: spec.update(hooks={kind: [hook(kind)] for kind in kinds}))
    room.change(lambda spec: spec.update(annotations={"org.example": "noted"}))
    room.ask("true")
    pid = room.create()
    assert [line.split()[0] for line in log.read_text().splitlines()] == list(kinds[:3])
    room.call("start", "one")
    wait_for_end(pid)
    room.call("delete", "one")
    lines = [line.split(" ", 2) for line in log.read_text().splitlines()]
    assert [line[0] for line in lines] == [*kinds[:3], *kinds[4:]]
    states = [json.loads(line[2]) for line in lines]
    assert {line[1] for line in lines} == {"word"}
    assert [s["pid"] for s in states[:2]] == [pid, pid]
    assert (states[0]["status"], states[-1]["status"]) == ("creating", "stopped")
    assert all(state["annotations"] == {"org.example": "noted"} for state in states)


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer"])
def test_a_hook_that_fails_undoes_the_container(room: Room, kind: str) -> None:
    failing = {"path": "/bin/sh", "args": ["sh", "-c", "echo no luck >&2; exit 3"]}
    room.change(lambda spec: spec.update(hooks={kind: [failing]}))
    assert "has ended with 3: no luck" in room.refused()
    assert room.left_over() == []


def test_a_hook_that_hangs_is_given_up(room: Room) -> None:
    hanging = {"path": "/bin/sleep", "args": ["sleep", "1000"], "timeout": 1}
    room.change(lambda spec: spec.update(hooks={"createRuntime": [hanging]}))
    assert "within its 1 seconds" in room.refused()


def test_exec_runs_further_processes(room: Room) -> None:
    room.ask("sleep", "1000")
    room.create()
    room.call("start", "one")
    assert room.call("exec", "one", "sh", "-c", "echo $$; hostname").split()[1] == "ipycontainer"
    assert room.try_call("exec", "one", "sh", "-c", "exit 7").returncode == 7
    assert room.try_call("exec", "one", "sh", "-c", "kill -9 $$").returncode == 137
    flags = ("--user", "1000:50", "--cwd", "/etc", "--env", "A=b", "--cap", "CAP_SYS_TIME")
    words = room.call(
        "exec", *flags, "one", "sh", "-c", "id -u; pwd; echo $A; grep CapBnd /proc/self/status"
    )
    assert words.split()[:3] == ["1000", "/etc", "b"]
    assert int(words.split()[4], 16) >> 25 & 1
    process = room.folder / "process.json"
    process.write_text(
        json.dumps(
            {"args": ["sh", "-c", "echo from $X"], "cwd": "/", "env": ["PATH=/bin", "X=file"]}
        )
    )
    assert room.call("exec", "--process", str(process), "one") == "from file\n"
    missing = room.try_call("exec", "one", "nonesuch")
    assert 'exec: "nonesuch": executable file not found in $PATH' in missing.stderr
    pid_file = room.folder / "exec.pid"
    room.detached("exec", "--detach", "--pid-file", str(pid_file), "one", "sleep", "999")
    pids = json.loads(room.call("ps", "--format", "json", "one"))
    assert len(pids) == 2
    assert int(pid_file.read_text()) in pids
    assert "sleep 999" in room.call("ps", "one", "-o", "args")


@pytest.mark.cgroup2
def test_a_paused_container_stands_still(room: Room) -> None:
    room.ask("sleep", "1000")
    pid = room.create()
    room.call("start", "one")
    room.call("pause", "one")
    assert room.state()["status"] == "paused"
    assert "paused" in room.try_call("exec", "one", "true").stderr
    room.call("resume", "one")
    assert room.state()["status"] == "running"
    room.call("pause", "one")
    room.call("kill", "one", "KILL")
    wait_for_end(pid)


@pytest.mark.cgroup2
def test_limits_bind_and_are_changed(room: Room) -> None:
    limits = {"memory": {"limit": 64 << 20, "swap": 64 << 20}, "pids": {"limit": 40}}
    room.change(lambda spec: spec["linux"]["resources"].update(limits))
    room.ask("sleep", "1000")
    room.create()
    room.call("start", "one")
    names = ("memory/memory.limit_in_bytes", "pids/pids.max")
    if missing("cgroup2") == "":
        names = ("memory.max", "pids.max")
    files = [f"/sys/fs/cgroup/{name}" for name in names]
    assert room.call("exec", "one", "cat", *files).split() == [str(64 << 20), "40"]
    room.call("update", "--resources", "-", "one", stdin=json.dumps({"pids": {"limit": 50}}))
    assert room.call("exec", "one", "cat", *files).split() == [str(64 << 20), "50"]
    refused = room.try_call("update", "-r", "-", "one", stdin='{"rdma": {"x": 1}}')
    assert "linux.resources.rdma is not supported" in refused.stderr


def test_a_terminal_s_master_goes_to_the_console_socket(room: Room) -> None:
    path = room.folder / "console"
    masters: list[int] = []
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def receive() -> None:
            connection, _ = listening.accept()
            with connection:
                masters.extend(socket.recv_fds(connection, 4096, 1)[1])

        thread = threading.Thread(target=receive)
        thread.start()
        size = {"height": 30, "width": 90}
        room.ask(
            "sh",
            "-c",
            "tty; stty size; echo $(ls -l /dev/console)",
            terminal=True,
            consoleSize=size,
        )
        (room.root / "bin/stty").symlink_to("busybox")
        room.create("one", "--console-socket", str(path))
        thread.join()
    room.call("start", "one")
    text = b""
    try:
        while True:
            text += os.read(masters[0], 4096)
    except OSError:  # EIO: it has ended
        os.close(masters[0])
    lines = text.decode().split("\r\n")
    assert lines[:2] == ["/dev/pts/0", "30 90"]
    assert lines[2].startswith("crw")


def test_a_terminal_needs_somebody_who_reads_it(room: Room) -> None:
    room.ask("true", terminal=True)
    assert "process.terminal needs --console-socket" in room.refused()


def test_descriptors_are_kept_only_when_asked_for(room: Room) -> None:
    kept = room.folder / "kept"
    given = ("sh", "-c", 'exec 3> "$0"; exec "$@"', str(kept))
    room.ask("sh", "-c", "ls /proc/self/fd; echo here >&3")
    plain = room.try_call("run", "-b", str(room.bundle), "one", before=given)
    assert plain.stdout.split() == ["0", "1", "2", "3"]  # 3 is ls's own
    assert "Bad file descriptor" in plain.stderr
    assert kept.read_text() == ""
    room.try_call("run", "--preserve-fds", "1", "-b", str(room.bundle), "one", before=given)
    assert kept.read_text() == "here\n"


def test_a_root_that_cannot_be_pivoted_to_is_moved(room: Room) -> None:
    room.ask("sh", "-c", "ls /; ls /proc/1/root")
    output = room.call("run", "--no-pivot", "-b", str(room.bundle), "one")
    assert output.split() == sorted(os.listdir(room.root)) * 2


def test_errors_are_logged_as_containerd_reads_them(room: Room) -> None:
    log = room.folder / "log"
    room.ask("nonesuch")
    room.refused("--log", str(log), "--log-format", "json")
    entry = json.loads(log.read_text())
    assert entry["level"] == "error"
    assert 'exec: "nonesuch": executable file not found in $PATH' in entry["msg"]


def test_list_and_features_tell_what_there_is(room: Room) -> None:
    assert room.call("list").split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    room.ask("sleep", "1000")
    pid = room.create()
    assert room.call("list", "-q") == "one\n"
    assert room.call("list").splitlines()[1].split()[:3] == ["one", str(pid), "created"]
    features = json.loads(room.call("features"))
    assert "startContainer" in features["hooks"]
    assert {"rbind", "ro", "rshared"} <= set(features["mountOptions"])
    assert "already" in room.try_call("spec", "-b", str(room.bundle)).stderr


TOO_MANY = {"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1 << 40}
REFUSED: list[tuple[str, Any]] = [
    ("process.apparmorProfile", lambda s: s["process"].update(apparmorProfile="x")),
    ("process.selinuxLabel", lambda s: s["process"].update(selinuxLabel="x")),
    ("process.args is empty", lambda s: s["process"].update(args=[])),
    ("not an absolute path", lambda s: s["process"].update(cwd="here")),
    ("CAP_NONE", lambda s: s["process"].update(capabilities={"bounding": ["CAP_NONE"]})),
    ("linux.mountLabel", lambda s: s["linux"].update(mountLabel="x")),
    ("linux.intelRdt", lambda s: s["linux"].update(intelRdt={"closID": "x"})),
    ("hugepageLimits", lambda s: s["linux"]["resources"].update(hugepageLimits=[{"limit": 1}])),
    ("'moon'", lambda s: s["linux"]["namespaces"].append({"type": "moon"})),
    ("'pid'", lambda s: s["linux"]["namespaces"].append({"type": "pid"})),
    ("SCMP_ACT_NOTIFY", lambda s: s["linux"].update(seccomp={"defaultAction": "SCMP_ACT_NOTIFY"})),
    ("option idmap", lambda s: s["mounts"].append({"destination": "/x", "options": ["idmap"]})),
    ("has no source", lambda s: s["mounts"].append({"destination": "/x", "type": "bind"})),
    ("unknown hook", lambda s: s.update(hooks={"never": []})),
    ("ociVersion 2.0", lambda s: s.update(ociVersion="2.0")),
    ("is not a folder", lambda s: s["root"].update(path="nowhere")),
    ("KeyError('root')", lambda s: s.pop("root")),
    ("cannot set RLIMIT_NOFILE", lambda s: s["process"].update(rlimits=[TOO_MANY])),
    ("cannot set sysctl", lambda s: s["linux"].update(sysctl={"kernel.nonesuch": "1"})),
    ("type is a, b or c", lambda s: s["linux"]["resources"]["devices"].append({"type": "x"})),
    ("climbs", lambda s: s["linux"].update(cgroupsPath="/../up")),
]  # fmt: skip


@pytest.mark.parametrize(("why", "how"), REFUSED, ids=[why for why, _ in REFUSED])
def test_what_is_not_done_is_refused_by_name(room: Room, why: str, how: Any) -> None:
    room.change(how)
    assert why in room.refused()
    assert room.left_over() == []


def test_systemd_cgroups_are_refused_by_name(room: Room) -> None:
    assert "--systemd-cgroup is not supported" in room.refused("--systemd-cgroup")
    path = room.bundle / "config.json"
    path.write_text("{")
    assert "is not JSON" in room.refused()
    path.unlink()
    assert "there is no" in room.refused()


def test_an_image_cannot_lead_the_runtime_astray(room: Room, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (room.root / "dev").mkdir()
    (room.root / "dev/null").write_text("not a device")
    (room.root / "way").symlink_to(outside)
    room.change(lambda spec: spec["mounts"].pop(1))  # no tmpfs at /dev
    assert "/dev/null" in room.refused()
    (room.root / "dev/null").unlink()
    tmpfs = {"destination": "/way/made", "type": "tmpfs"}
    room.change(lambda spec: spec["mounts"].append(tmpfs))
    room.create()
    assert list(outside.iterdir()) == []
    assert (room.root / outside.relative_to("/") / "made").is_dir()  # inside, as runc has it


def test_the_runtime_s_own_files_cannot_be_overwritten(room: Room) -> None:
    room.ask("sleep", "1000")
    pid = room.create()
    assert os.statvfs(f"/proc/{pid}/exe").f_flag & os.ST_RDONLY


def test_no_other_user_reads_what_a_container_was_told(room: Room) -> None:
    # ociruntime.states.Container.save: the mode
    room.ask("sleep", "1000", env=["SECRET=of-the-container"])
    room.create()
    states = list(room.folder.rglob("state.json"))
    assert [oct(path.stat().st_mode & 0o777) for path in states] == ["0o600"]


def test_nothing_is_written_through_a_link_of_another_user(tmp_path: Path) -> None:
    # ociruntime.states.write_file: O_EXCL
    (tmp_path / f"pid.{os.getpid()}").symlink_to(tmp_path / "victim")
    with pytest.raises(FileExistsError):
        write_file(str(tmp_path / "pid"), "7")
    assert not (tmp_path / "victim").exists()
