"""How an uplink's program is started, and what is said when it does not work."""

import subprocess
from collections.abc import Callable, Sequence
from typing import BinaryIO, NamedTuple

from ipycontainer_runtime.errors import Unavailable

SECONDS = 20.0
"""How long a program may take until it works; it takes some hundredths."""


class Started(NamedTuple):
    """A program that was started."""

    program: str
    process: subprocess.Popen[bytes]
    errors: BinaryIO
    """A file without a name, since a program in the background never ends a pipe."""

    def ended(self) -> int:
        """Wait until it ends or is in the background, and return its exit code."""
        try:
            return self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def refusal(self) -> Unavailable:
        """Return the error that tells what it said."""
        self.errors.seek(0)
        said = " ".join(self.errors.read(2000).decode(errors="replace").split())
        return Unavailable(f"{self.program}: {said or f'exit code {self.ended()}'}")


Spawn = Callable[[Sequence[str], tuple[int, ...]], Started]
"""Starts a program in the place's PID namespace, with descriptors to inherit."""
