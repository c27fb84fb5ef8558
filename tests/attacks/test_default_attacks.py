"""What a container tries when nobody asked for anything: the defaults hold."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from support import calls
from support.calls import Make
from support.engines import Engine

pytestmark = [pytest.mark.needs("busybox"), pytest.mark.ordinary_user]

Said = Callable[..., str]

KERNELS = (
    "/proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/irq/default_smp_affinity "
    "/sys/kernel/mm/transparent_hugepage/enabled /sys/kernel/uevent_helper"
)
STATUS = "grep Seccomp: /proc/self/status"


def test_nothing_of_the_kernels_is_writable(said: Said) -> None:
    script = f"for f in {KERNELS}; do [ -e $f ] && (: >> $f) && echo $f; done"
    (mounted,) = said(f"({script}; mount | grep ' /sys ') 2>/dev/null").splitlines()
    assert "(ro," in mounted


def test_what_docker_hides_is_hidden(said: Said) -> None:
    folders = "/proc/acpi /proc/asound /proc/scsi /sys/firmware /sys/devices/virtual/powercap"
    files = "/proc/interrupts /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list"
    script = f"for f in {folders}; do ls $f; done; for f in {files}; do head -c 9 $f; done"
    assert said(f"({script}) 2>/dev/null") == ""


@pytest.mark.needs("root")
def test_a_device_node_in_a_bind_cannot_be_opened(said: Said, tmp_path: Path) -> None:
    os.mknod(tmp_path / "null", 0o20666, os.makedev(1, 3))
    tmp_path.chmod(0o755)
    told = said("cat /bind/null && echo opened", HostConfig={"Binds": [f"{tmp_path}:/bind"]})
    assert "opened" not in told


def test_only_the_usual_devices_are_there(said: Said) -> None:
    listed = said("cd /dev; find . -type c -o -type b").split()
    assert sorted(listed) == sorted(
        ["./full", "./null", "./random", "./tty", "./urandom", "./zero", "./pts/ptmx"]
    )


def test_a_container_has_namespaces_of_its_own(said: Said) -> None:
    kinds = ("cgroup", "ipc", "mnt", "net", "pid", "uts")
    names = said(f"for n in {' '.join(kinds)}; do readlink /proc/self/ns/$n; done").split()
    assert len(names) == len(kinds)
    assert not set(names) & {os.readlink(f"/proc/self/ns/{kind}") for kind in kinds}


@pytest.mark.parametrize("options", [[], ["no-new-privileges"]], ids=["", "no-new-privileges"])
@pytest.mark.parametrize("init", [False, True], ids=["", "init"])
def test_every_process_is_filtered(
    shared_engine: Engine, make: Make, options: list[str], init: bool
) -> None:
    host = {"SecurityOpt": options, "Init": init}
    container = make("sh", "-c", f"{STATUS}; exec sleep 1000", HostConfig=host)
    calls.start(shared_engine, container)
    told = shared_engine.succeed(
        "exec", container, "sh", "-c", f"{STATUS}; grep Secc /proc/1/status"
    )
    assert [line.split()[-1] for line in told.splitlines() if "Seccomp:" in line] == ["2", "2"]


@pytest.mark.parametrize("user", ["", "1000"])
def test_a_process_holds_dockers_capabilities(said: Said, user: str) -> None:
    told = said("grep Cap /proc/self/status", User=user)
    held = dict(line.split(":\t") for line in told.splitlines())
    default = "00000000a80425fb"
    assert held["CapBnd"] == default
    assert held["CapPrm"] == held["CapEff"] == ("0" * 16 if user else default)
    assert held["CapInh"] == held["CapAmb"] == "0" * 16


def test_calls_that_reach_the_whole_kernel_are_refused(said: Said) -> None:
    calls_ = ("unshare -m true", "unshare -U true", "mount -t tmpfs x /tmp", "dmesg -n 1")
    assert "done" not in said("; ".join(f"{call} && echo done" for call in calls_))
