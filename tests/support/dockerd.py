"""Debian's own Docker Engine, in a folder of its own, to be compared with."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from support.ends import end, start_notifying
from support.hosts import Host


@contextmanager
def running_dockerd(
    *options: str, become: Sequence[str] = (), bridge: bool = False
) -> Iterator[Host]:
    """Yield a dockerd that touches no bridge and no firewall, and leave nothing of it behind.

    `become` is a command that executes the one that follows it, in another world: a dockerd that
    is to have its `bridge` needs a network namespace of its own.
    """
    folder = Path(tempfile.mkdtemp(prefix="ipyc-d", dir="/tmp"))
    command = [
        *become,
        "dockerd",
        *("--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")),
        *("-H", f"unix://{folder}/d.sock", "--pidfile", str(folder / "pid")),
        *(() if bridge else ("--bridge", "none", "--iptables=false")),
        *options,
    ]
    try:
        process = start_notifying(command, folder / "notify", folder / "log")
        host = Host(folder / "d.sock", folder)
        try:
            yield host
        finally:
            host.close()
            end(process)
    finally:
        _unmount_below(folder)
        shutil.rmtree(folder)


def _unmount_below(folder: Path) -> None:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4] for line in lines]
    for point in sorted((p for p in points if p.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "--lazy", point], check=False)
