"""The cgroup suite on cgroup v2, wherever this machine runs v1: in a User Mode Linux kernel.

Debian's user-mode-linux is a kernel that runs as a program; this machine's files, read-only, are
its root. Three machines are tried: root at the top of the tree, root in somebody's container
(whose top holds every process), and an ordinary user with a subtree of its own.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from support.needs import require

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

BOOT = """#!/bin/sh
export PATH=/usr/bin:/bin:/usr/sbin:/sbin TMPDIR=/mnt PYTHONDONTWRITEBYTECODE=1
export PYTHONPATH={pythonpath}
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /mnt
chmod 1777 /mnt
cd {root}
{scenario}
echo "exit code $?"
echo o > /proc/sysrq-trigger
"""
# Its ticks are a timer of the host's, which a busy host delays: quotas are not kept in time there.
PYTEST = "{python} -m pytest -q -p no:cacheprovider -k 'not quota_slows' {suite}"
SCENARIOS = {
    "root": PYTEST,
    "root_in_a_container": """
mkdir /sys/fs/cgroup/box
sleep 1000 & echo $! > /sys/fs/cgroup/box/cgroup.procs
echo 0 > /sys/fs/cgroup/box/cgroup.procs
echo "+memory +pids +cpu" > /sys/fs/cgroup/cgroup.subtree_control
unshare --cgroup --mount sh -c '
    umount /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec """
    + PYTEST
    + "'",
    "ordinary_user": """
echo "+memory +pids +cpu" > /sys/fs/cgroup/cgroup.subtree_control
mkdir -p /sys/fs/cgroup/user/session
chown -R {uid} /sys/fs/cgroup/user
echo 0 > /sys/fs/cgroup/user/session/cgroup.procs
setpriv --reuid={uid} --clear-groups """
    + PYTEST,
}


@pytest.mark.parametrize(
    "scenario",
    ["root", *(pytest.param(name, marks=pytest.mark.long) for name in SCENARIOS if name != "root")],
)
def test_cgroup_v2_keeps_the_seams_promises(scenario: str, tmp_path: Path) -> None:
    require("user-mode-linux")
    if scenario == "ordinary_user" and not _public(Path(sys.executable).resolve()):
        pytest.skip(f"needs an interpreter that others may run: {sys.executable} is not")
    command = SCENARIOS[scenario].format(
        python=shlex.quote(sys.executable),
        suite=shlex.quote(str(HERE / "test_cgroup.py")),
        uid=65534,
    )
    paths = os.pathsep.join([str(ROOT / "runtime"), str(ROOT / "magics"), str(ROOT / "tests")])
    init = tmp_path / "init"
    init.write_text(BOOT.format(pythonpath=paths, root=shlex.quote(str(ROOT)), scenario=command))
    init.chmod(0o755)
    arguments = ["rootfstype=hostfs", "rootflags=/", "ro", "mem=512M", "quiet", f"init={init}"]
    done = subprocess.run(
        ["linux.uml", *arguments, "con=null", "con0=null,fd:1", f"uml_dir={tmp_path}/"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        errors="replace",
        timeout=240,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        check=False,
    )
    said = done.stdout
    assert "exit code 0" in said, said
    assert "passed" in said
    assert "no cgroup can be made" not in said


def _public(program: Path) -> bool:
    """Tell whether others than its owner reach and run this program."""
    return all(part.stat().st_mode & 0o1 for part in (program, *program.parents))
