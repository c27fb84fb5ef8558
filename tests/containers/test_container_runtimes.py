"""Containers of ours that another OCI runtime runs, through the docker command."""

import json
import os
import signal
from pathlib import Path

import pytest

from support.engines import Engine, engine_folder, stop
from support.leftovers import outlived
from support.needs import require

OTHERS = ("crun", "runc")

pytestmark = pytest.mark.needs("root", "docker")


@pytest.fixture(params=OTHERS)
def runtime(request: pytest.FixtureRequest) -> str:
    require(request.param)
    return str(request.param)


@pytest.fixture
def running(engine: Engine, busybox: str, runtime: str) -> Engine:
    """An engine with a container `other`, run by the runtime, that ends with 9 when it is told."""
    engine.succeed("pull", "-q", busybox)
    script = 'trap "exit 9" TERM; echo began; while :; do sleep 0.1; done'
    flags = ("--runtime", runtime, "--network", "none", "--name", "other", "-e", "WORD=here")
    engine.succeed("run", "-d", *flags, busybox, "sh", "-c", script)
    return engine


def test_a_run_is_as_under_our_own_runtime(engine: Engine, busybox: str, runtime: str) -> None:
    engine.succeed("pull", "-q", busybox)
    script = "id; echo $$ $HOME $0; pwd; cat; grep -E 'Cap|Sec|NoNew' /proc/self/status; exit 4"
    flags = ("--network", "none", "-i", "-u", "1000:50", "--group-add", "7", "-w", "/made")
    asked = ("-m", "64m", "--pids-limit", "50", "--cap-add", "SYS_TIME", "-h", "named")
    command = (busybox, "sh", "-c", script)
    runs = [
        engine.docker("run", "--rm", *flags, *asked, "--runtime", name, *command, stdin=b"given\n")
        for name in ("ipycontainer", runtime)
    ]
    assert runs[1].returncode == 4, runs[1].stderr
    assert runs[1].stdout == runs[0].stdout
    limits = engine.succeed(
        *("run", "--rm", "--network", "none", *asked, "--runtime", runtime, busybox),
        *("cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/proc/sys/kernel/hostname"),
    )
    assert limits.split() == [str(64 << 20), "named"]


def test_it_is_kept_from_what_others_are(engine: Engine, busybox: str, runtime: str) -> None:
    engine.succeed("pull", "-q", busybox)
    script = (
        "mknod /d b 254 0; cat /d; unshare -U true; cat /proc/keys; touch /proc/sys/kernel/x;"
        "ls /proc/acpi; ls /proc/self/fd | wc -l"
    )
    command = ("run", "--rm", "--network", "none", "--runtime", runtime, busybox, "sh", "-c")
    done = engine.docker(*command, script)
    assert done.stdout.split() == [b"4"]  # 3 is that of ls
    assert b"can't open '/d'" in done.stderr
    assert b"unshare(0x10000000): Operation not permitted" in done.stderr


def test_terminals_and_signals_and_codes(engine: Engine, busybox: str, runtime: str) -> None:
    engine.succeed("pull", "-q", busybox)
    run = ("run", "--rm", "--network", "none", "--runtime", runtime)
    assert engine.succeed(*run, "-t", busybox, "tty") == "/dev/pts/0"
    missing = engine.docker(*run, busybox, "nonesuch")
    assert missing.returncode == 127
    assert b"executable file not found in $PATH" in missing.stderr
    assert engine.docker(*run, busybox, "/etc/passwd").returncode == 126
    killed = engine.docker(*run, "-m", "16m", busybox, "tail", "/dev/zero")
    assert killed.returncode == 137
    assert engine.succeed("ps", "-aq") == ""


def test_execs_work_in_it(running: Engine) -> None:
    code = running.docker("exec", "other", "sh", "-c", "echo $WORD; id -u; exit 5")
    assert (code.returncode, code.stdout.split()) == (5, [b"here", b"0"])
    assert running.docker("exec", "-i", "other", "cat", stdin=b"hi").stdout == b"hi"
    flags = ("-t", "-u", "1000", "-w", "/etc")
    assert running.succeed("exec", *flags, "other", "sh", "-c", "id -u; pwd; tty").split() == [
        "1000",
        "/etc",
        "/dev/pts/0",
    ]
    missing = running.docker("exec", "other", "nonesuch")
    assert missing.returncode in (126, 127)
    running.succeed("exec", "-d", "other", "sleep", "999")
    assert "sleep 999" in running.succeed("top", "other")


def test_it_is_paused_and_stopped_and_started_again(running: Engine, runtime: str) -> None:
    running.succeed("pause", "other")
    status = ("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}} {{.HostConfig.Runtime}}")
    assert running.succeed(*status, "other") == f"paused 0 {runtime}"
    running.succeed("unpause", "other")
    running.succeed("stop", "other")
    assert running.succeed(*status, "other") == f"exited 9 {runtime}"
    running.succeed("start", "other")
    assert running.succeed("logs", "other").split() == ["began", "began"]
    running.succeed("kill", "other")
    running.succeed("wait", "other")
    running.succeed("rm", "other")


def test_a_shim_that_is_killed_takes_it_along(busybox: str, runtime: str) -> None:
    with engine_folder() as engine:
        engine.start()
        engine.succeed("pull", "-q", busybox)
        flags = ("--network", "none", "--runtime", runtime, "--name", "other")
        engine.succeed("run", "-d", *flags, busybox, "sleep", "1000")
        pid = int(engine.succeed("inspect", "-f", "{{.State.Pid}}", "other"))
        shim = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        groups = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        path = next(line.split(":", 2)[2] for line in groups if ":devices:" in line)
        os.kill(shim, signal.SIGKILL)
        assert engine.succeed("wait", "other") == "137"
        assert outlived([pid]) == []
        engine.remove_containers()
        engine.close()
        assert stop(engine) == []
    assert list(Path("/sys/fs/cgroup").glob(f"*{path}")) == []


def test_runtimes_are_listed_and_others_refused(engine: Engine, busybox: str) -> None:
    engine.succeed("pull", "-q", busybox)
    listed = json.loads(engine.succeed("info", "-f", "{{json .Runtimes}}"))
    assert {"ipycontainer", "runc"} <= set(listed)
    assert listed["runc"]["path"].endswith("/runc")
    refused = engine.docker("create", "--runtime", "nonesuch", busybox)
    assert b"unknown or invalid runtime name: nonesuch" in refused.stderr
    both = engine.docker("create", "--runtime", "runc", "--init", busybox)
    assert b"HostConfig.Init with the runtime runc" in both.stderr
