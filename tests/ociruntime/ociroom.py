"""The command as other programs call it, and bundles of Debian's static busybox."""

import contextlib
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipycontainer_runtime

RUNTIME = Path(ipycontainer_runtime.__file__).parents[1]
SECONDS = 60
APPLETS = "sh cat id ls grep true mknod mount tty sleep ps echo hostname head touch stat kill"


def write_command(folder: Path) -> Path:
    """Write the script that installing the project makes, and return its path."""
    path = folder / "ipycontainer-oci"
    path.write_text(
        f"#!{sys.executable} -I\n"
        f"import sys; sys.path.insert(0, {str(RUNTIME)!r})\n"
        "from ipycontainer_runtime.ociruntime.entry import main\nmain()\n"
    )
    path.chmod(0o755)
    return path


def fill(root: Path, *, by_root: bool = True) -> None:
    """Put busybox, an account and, by root, a file of somebody else's into a root."""
    (root / "bin").mkdir(parents=True)
    (root / "etc").mkdir()
    shutil.copy("/bin/busybox", root / "bin/busybox")
    for name in APPLETS.split():
        (root / "bin" / name).symlink_to("busybox")
    (root / "etc/passwd").write_text(
        "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n"
    )
    (root / "etc/shared").mkdir()
    (root / "etc/shared/file").write_text("of the image\n")
    if by_root:
        os.chown(root / "etc/shared/file", 7, 8)


def hierarchies() -> list[Path]:
    """Return where the tree of cgroup v2, or each of v1, is mounted."""
    top = Path("/sys/fs/cgroup")
    return [top] if (top / "cgroup.controllers").exists() else [*top.iterdir()]


@functools.cache
def written_spec(command: Path) -> str:
    """Return the config.json that `spec` writes."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([command, "spec", "-b", folder], check=True)
        return Path(folder, "config.json").read_text()


class Room:
    """A folder with a bundle `b`; containers are kept below `state`."""

    def __init__(self, folder: Path, command: Path) -> None:
        self.folder = folder
        self.command = command
        self.bundle = folder / "b"
        self.root = self.bundle / "rootfs"
        self.bundle.mkdir()
        fill(self.root)
        (self.bundle / "config.json").write_text(written_spec(command))
        self.change(lambda spec: spec["process"].update(terminal=False))

    @property
    def spec(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.bundle / "config.json").read_text())
        return found

    def change(self, how: Callable[[dict[str, Any]], object]) -> None:
        spec = self.spec
        how(spec)
        (self.bundle / "config.json").write_text(json.dumps(spec))

    def ask(self, *args: str, **process: Any) -> None:
        """Have the bundle's process be this command."""
        self.change(lambda spec: spec["process"].update(args=args, **process))

    def try_call(
        self, *args: str, stdin: str = "", before: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*before, self.command, "--root", str(self.folder / "state"), *args],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def call(self, *args: str, stdin: str = "") -> str:
        done = self.try_call(*args, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def create(self, name: str = "one", *flags: str) -> int:
        """Create a container whose output goes to the file `output`; return its pid."""
        self.detached("create", *flags, "-b", str(self.bundle), name)
        return int(self.state(name)["pid"])

    def detached(self, *args: str) -> None:
        """Call an operation after which a process lives on; a pipe would stay open as long."""
        command = [self.command, "--root", str(self.folder / "state"), *args]
        with (self.folder / "output").open("ab") as output:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=SECONDS,
                check=False,
            )
        assert done.returncode == 0, self.output()

    def run(self, *args: str, **process: Any) -> str:
        """Run a command in the foreground and return its output."""
        done = self.try_run(*args, **process)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def try_run(self, *args: str, **process: Any) -> subprocess.CompletedProcess[str]:
        self.ask(*args, **process)
        return self.try_call("run", "-b", str(self.bundle), "one")

    def refused(self, *flags: str) -> str:
        """Return why a container of the bundle cannot be created."""
        done = self.try_call(*flags, "create", "-b", str(self.bundle), "one")
        assert done.returncode == 1, done.stdout
        return done.stderr

    def state(self, name: str = "one") -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.call("state", name))
        return found

    def output(self) -> str:
        return (self.folder / "output").read_text()

    def end(self) -> None:
        state = self.folder / "state"
        for name in os.listdir(state) if state.exists() else ():
            self.call("delete", "--force", name)

    def left_over(self) -> list[str]:
        """Return what is left of containers: folders, cgroups, mounts."""
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        found = [line for line in mounts if str(self.folder) in line]
        with contextlib.suppress(FileNotFoundError):
            found += os.listdir(self.folder / "state")
        for hierarchy in hierarchies():
            found += map(str, filter(Path.is_dir, hierarchy.glob(f"{self.folder.name}/*")))
        return found


def wait_for_end(pid: int) -> None:
    """Wait until a process that is not our child has ended."""
    import select

    with contextlib.suppress(ProcessLookupError):
        fd = os.pidfd_open(pid)
        assert select.select([fd], [], [], SECONDS)[0], f"{pid} does not end"
        os.close(fd)
