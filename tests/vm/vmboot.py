"""Boots the disk under qemu, with two people logged in: root, and an ordinary user of systemd's.

qemu translates the machine's instructions (TCG): ten times slower than a processor, and it needs
nothing of this machine. KVM would, and inside other machines it often is there and does not work.
"""

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from vmdisk import PEOPLE, ROOT, disk, image

BOOT_SECONDS = 400
# cgroup v2 alone is systemd's own choice since Debian 11.
# Without random addresses qemu finds again what it has translated for an earlier process.
KERNEL = (
    "root=/dev/vda console=ttyS0 loglevel=4 mitigations=off norandmaps"
    " systemd.mask=systemd-journal-flush"
)
SHARED = ("runtime", "magics", "tests", "pyproject.toml")
SILENT: Any = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
VARIABLES = {
    "PATH": "/opt/tests/bin:/usr/bin:/usr/sbin",
    "PYTHONPATH": "/project/runtime:/project/magics",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",  # so that silence means that nothing happens
    "IPYCONTAINER_TEST_CACHE": "/tmp/images-$(id -u)",
}


class Said(NamedTuple):
    """What a command wrote, standard error among it, and its exit code."""

    code: int
    text: str


class Shell:
    """A shell of somebody who is logged in; each command runs in a `sh` of its own in /project."""

    def __init__(self, port: socket.socket) -> None:
        self._port = port
        self._read = b""

    def run(self, command: str, seconds: float) -> Said:
        """Run one line of shell to its end; raises TimeoutError after `seconds` without a word."""
        assert "\n" not in command, command
        settings = " ".join(f'export {name}="{value}";' for name, value in VARIABLES.items())
        self._port.sendall(f"{settings} {command}\n".encode())
        end = self._read_until(rb"\nended:(\d+)\.\n", seconds)
        return Said(int(end[1]), end.string[: end.start()].decode(errors="replace"))

    def _read_until(self, pattern: bytes, seconds: float) -> re.Match[bytes]:
        self._port.settimeout(seconds)
        while not (found := re.search(pattern, self._read)):
            part = self._port.recv(65536)
            if not part:
                raise EOFError(f"the machine has ended after {self._read!r}")
            self._read += part
        self._read = self._read[found.end() :]
        return found


class Machine(NamedTuple):
    """A booted machine: root's shell, and that of a user who logged in as people do."""

    root: Shell
    user: Shell


@contextmanager
def booted(folder: Path) -> Iterator[Machine]:
    """Yield a machine that has this checkout, read-only, at /project; what it writes is lost."""
    checkout = folder / "checkout"
    for name in SHARED:
        _copy(ROOT / name, checkout / name)
    _compile(checkout)
    image(checkout, folder / "checkout.ext4", "64M")
    shutil.rmtree(checkout)
    with ExitStack() as stack:
        pairs = [socket.socketpair() for _ in PEOPLE]
        for ours, _ in pairs:
            stack.enter_context(ours)
        ends = [theirs.fileno() for _, theirs in pairs]
        process = subprocess.Popen(_command(folder, ends), pass_fds=ends, **SILENT)
        stack.callback(_end, process)
        for _, theirs in pairs:
            theirs.close()
        machine = Machine(*(Shell(ours) for ours, _ in pairs))
        try:
            for shell in machine:
                shell.run("true", BOOT_SECONDS)
            yield machine
        except (OSError, EOFError) as error:
            log = (folder / "console.log").read_text(errors="replace")
            raise AssertionError(f"{error!r}; the machine's console:\n{log[-1500:]}") from error


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()


def _command(folder: Path, ports: list[int]) -> list[str]:
    kernel, initrd, root = disk()
    # Tests that are killed leave no machine behind.
    command = ["setpriv", "--pdeathsig=KILL"]
    command += ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none"]
    command += [
        "-no-reboot",
        "-accel",
        "tcg,thread=multi",
        "-m",
        "1536",
        "-smp",
        "2",
        "-cpu",
        "max",
    ]
    command += ["-kernel", str(kernel), "-initrd", str(initrd), "-append", KERNEL]
    # The disk is everybody's: what this machine writes goes to a temporary file of qemu's.
    command += ["-drive", f"if=virtio,format=raw,snapshot=on,file={root}"]
    command += ["-drive", f"if=virtio,format=raw,readonly=on,file={folder}/checkout.ext4"]
    command += ["-serial", f"file:{folder}/console.log", "-device", "virtio-serial-pci"]
    command += ["-device", "virtio-rng-pci"]
    for number, (end, name) in enumerate(zip(ports, PEOPLE, strict=True), start=1):
        command += ["-chardev", f"socket,id={name},fd={end}"]
        command += ["-device", f"virtserialport,chardev={name},name={name},nr={number}"]
    return command


def _compile(checkout: Path) -> None:
    """Compile the checkout with the disk's Python, here: in the machine it takes ten times longer.

    The disk is mounted where nobody else sees it.
    """
    script = (
        'mount -o loop,ro "$1" /mnt; mount --bind "$2" /mnt/project;'
        " exec chroot /mnt python3 -m compileall -q --invalidation-mode unchecked-hash /project"
    )
    command = ["unshare", "--mount", "sh", "-euc", script, "sh", str(disk().image), str(checkout)]
    subprocess.run(command, check=True)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)
