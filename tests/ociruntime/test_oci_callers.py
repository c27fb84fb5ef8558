"""Debian's dockerd and podman call our runtime, and see what they see of runc."""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ociroom import fill

from support.dockerd import running_dockerd
from support.hosts import Host
from support.needs import require

SECONDS = 60
RUNTIMES = ("runc", "ours")
# What is compared: who one is, what one may do, what one has, how it ends.
SCRIPT = """
id; echo $$ $WORD; pwd; umask; grep -E 'Cap|NoNew|Secc' /proc/self/status
ls -ln /dev | cut -c1-50 | sort; ls /proc/self/fd | wc -l; wc -l < /proc/self/cgroup
cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max
mknod /tmp/d b 254 0; cat /tmp/d; touch /v/x; touch /proc/sys/kernel/x; unshare -U true
cat /v/file /proc/sys/kernel/hostname /proc/sys/net/ipv4/ip_forward; exit 4
"""
FLAGS = (
    *("--hostname", "named", "-e", "WORD=said", "-w", "/etc", "--cap-add", "SYS_TIME"),
    *("--cap-drop", "CHOWN", "-m", "64m", "--pids-limit", "50", "--network", "none"),
    *("--sysctl", "net.ipv4.ip_forward=1", "--tmpfs", "/tmp"),
)

pytestmark = pytest.mark.needs("root", "busybox")


@pytest.fixture(scope="module")
def image() -> Iterator[Path]:
    """A tar of a root with busybox, and a folder `v` beside it."""
    folder = Path(tempfile.mkdtemp(prefix="ipyc-oi", dir="/tmp"))
    fill(folder / "root")
    for name in ("tmp", "v", "proc", "sys", "dev"):
        (folder / "root" / name).mkdir()
    for name in ("cut", "sort", "wc", "unshare", "stty"):
        (folder / "root/bin" / name).symlink_to("busybox")
    (folder / "v").mkdir()
    (folder / "v/file").write_text("of the host\n")
    subprocess.run(["tar", "-C", folder / "root", "-cf", folder / "tar", "."], check=True)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def dockerd(command: Path, image: Path) -> Iterator[Host]:
    require("dockerd", "docker")
    with running_dockerd("--add-runtime", f"ours={command}") as host:
        host.succeed("import", str(image / "tar"), "box")
        yield host


def test_a_docker_run_is_that_of_runc(dockerd: Host, image: Path) -> None:
    flags = (*FLAGS, "-v", f"{image}/v:/v:ro")
    done = [
        dockerd.docker("run", "--rm", "--runtime", name, *flags, "box", "sh", "-c", SCRIPT)
        for name in RUNTIMES
    ]
    assert done[0].returncode == done[1].returncode == 4, done
    assert done[0].stdout == done[1].stdout
    assert done[0].stderr == done[1].stderr


def test_docker_s_other_requests_are_done(dockerd: Host) -> None:
    run = ("run", "--rm", "--network", "none", "--runtime", "ours")
    assert dockerd.succeed(*run, "-t", "box", "tty") == "/dev/pts/0"
    missing = dockerd.docker(*run, "box", "nonesuch")
    assert missing.returncode == 127
    script = 'trap "exit 9" TERM; while :; do sleep 0.1; done'
    flags = ("--network", "none", "--runtime", "ours", "--name", "one", "-m", "64m")
    dockerd.succeed("run", "-d", *flags, "box", "sh", "-c", script)
    code = dockerd.docker("exec", "-u", "1000", "-w", "/etc", "one", "sh", "-c", "id -u; exit 5")
    assert (code.returncode, code.stdout) == (5, b"1000\n")
    assert dockerd.docker("exec", "-i", "one", "cat", stdin=b"hi").stdout == b"hi"
    assert dockerd.succeed("exec", "-t", "one", "tty") == "/dev/pts/0"
    assert "sleep 0.1" in dockerd.succeed("top", "one")
    assert "64MiB" in dockerd.succeed("stats", "--no-stream", "one")
    dockerd.succeed("update", "-m", "80m", "--memory-swap", "90m", "one")
    limit = "/sys/fs/cgroup/memory/memory.limit_in_bytes"
    assert dockerd.succeed("exec", "one", "cat", limit) == str(80 << 20)
    dockerd.succeed("pause", "one")
    assert dockerd.succeed("inspect", "-f", "{{.State.Status}}", "one") == "paused"
    dockerd.succeed("unpause", "one")
    dockerd.succeed("stop", "one")
    assert dockerd.succeed("wait", "one") == "9"
    dockerd.succeed("start", "one")
    dockerd.succeed("rm", "-f", "one")


class Podman:
    """Podman in a folder of its own, with a runtime."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        settings = '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]\n'
        (folder / "containers.conf").write_text(settings)

    def __call__(
        self, runtime: str | Path, *args: str, stdin: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        folders = [(f"--{name}", str(self.folder / name)) for name in ("root", "runroot", "tmpdir")]
        settings = ("--storage-driver", "vfs", "--cgroup-manager", "cgroupfs")
        flat = [word for pair in folders for word in pair]
        environment = {**os.environ, "CONTAINERS_CONF": str(self.folder / "containers.conf")}
        return subprocess.run(
            ["podman", *flat, *settings, "--events-backend", "file", "--runtime", runtime, *args],
            input=stdin,
            capture_output=True,
            env=environment,
            timeout=SECONDS,
            check=False,
        )


@pytest.fixture(scope="module")
def podman(image: Path) -> Iterator[Podman]:
    require("podman", "runc")
    folder = Path(tempfile.mkdtemp(prefix="ipyc-op", dir="/tmp"))
    made = Podman(folder)
    try:
        assert made("runc", "import", str(image / "tar"), "box").returncode == 0
        yield made
    finally:
        # Podman removes neither of these: its locks, and a group for the monitors.
        made("runc", "rm", "--all", "--force", "-t", "0")
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        for point in sorted((line.split()[4] for line in lines), reverse=True):
            if point.startswith(f"{folder}/"):
                subprocess.run(["umount", "--lazy", point], check=False)
        Path("/dev/shm/libpod_lock").unlink(missing_ok=True)
        for name in ("libpod_parent/conmon", "libpod_parent"):
            for hierarchy in Path("/sys/fs/cgroup").iterdir():
                with contextlib.suppress(OSError):  # it is not there, or another's is in it
                    (hierarchy / name).rmdir()
        shutil.rmtree(folder)


def test_a_podman_run_is_that_of_runc(podman: Podman, command: Path, image: Path) -> None:
    flags = (*FLAGS, "-v", f"{image}/v:/v:ro", "--umask", "0027")
    done = [
        podman(runtime, "run", "--rm", *flags, "box", "sh", "-c", SCRIPT)
        for runtime in ("/usr/sbin/runc", command)
    ]
    assert done[0].returncode == done[1].returncode == 4, done
    assert done[0].stdout == done[1].stdout
    assert done[0].stderr == done[1].stderr


def test_podman_s_other_requests_are_done(podman: Podman, command: Path) -> None:
    def succeed(*args: str) -> str:
        done = podman(command, *args)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    run = ("run", "--rm", "--network", "none")
    assert succeed(*run, "-t", "box", "tty") == "/dev/pts/0"
    mapped = succeed(*run, "--uidmap", "0:200000:1000", "box", "cat", "/proc/self/uid_map")
    assert mapped.split() == ["0", "200000", "1000"]
    assert podman(command, *run, "box", "nonesuch").returncode == 127
    script = 'trap "exit 9" TERM; while :; do sleep 0.1; done'
    succeed("run", "-d", "--network", "none", "--name", "one", "box", "sh", "-c", script)
    code = podman(command, "exec", "-u", "1000", "one", "sh", "-c", "id -u; exit 5")
    assert (code.returncode, code.stdout) == (5, b"1000\n")
    assert podman(command, "exec", "-i", "one", "cat", stdin=b"hi").stdout == b"hi"
    assert succeed("exec", "-t", "one", "tty") == "/dev/pts/0"
    succeed("pause", "one")
    assert json.loads(succeed("inspect", "one"))[0]["State"]["Status"] == "paused"
    succeed("unpause", "one")
    succeed("stop", "one")
    assert succeed("wait", "one") == "9"
    succeed("rm", "one")
