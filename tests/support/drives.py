"""Small disks for a root engine's data root, filled to their last byte."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from ipycontainer_runtime import client
from support import leftovers
from support.engines import Engine


class Drive:
    """An engine whose data root is a small disk, in a mount namespace that outlives it."""

    def __init__(self, engine: Engine, megabytes: int = 64) -> None:
        self.engine = engine
        root = engine.paths.root
        root.mkdir()
        mount = (
            f"mount -t tmpfs -o size={megabytes}m,mode=700 none {root} && echo there && read end"
        )
        command = ["unshare", "--mount", "sh", "-c", mount]
        self._holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"there\n"
        self.root = Path(f"/proc/{self._holder.pid}/root{root}")
        self.start()

    def start(self) -> None:
        """Start the engine where the disk is mounted."""
        enter = ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt"]
        url = "from ipycontainer_runtime import client; client.url()"
        command = [*enter, sys.executable, "-c", url]
        subprocess.run(command, env=self.engine.variables, check=True)

    def fill(self) -> None:
        """Leave no byte of it."""
        with (self.root / "filler").open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))

    def free(self) -> None:
        """Take away what filled it."""
        (self.root / "filler").unlink(missing_ok=True)

    def remove(self) -> None:
        """Let the engine leave, and the disk with it."""
        self.engine.remove_containers()
        self.engine.close()
        client.stop(self.engine.paths)
        self._holder.communicate(b"\n")
        assert not leftovers.outlived(leftovers.processes(self.engine.home))
