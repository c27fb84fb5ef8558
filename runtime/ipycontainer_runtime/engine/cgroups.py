"""What containers see of their cgroups, which limits cannot bind here, and pausing."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from ipycontainer_runtime.errors import Unavailable
from ipycontainer_runtime.linux.cgroup import Hierarchy, detect
from ipycontainer_runtime.linux.cgroup.base import GONE, mounts
from ipycontainer_runtime.oci.runtime import Mount

CGROUP = "/sys/fs/cgroup"

_ENDING_SECONDS = 5.0
"""How long a busy machine may take to end what was killed; nobody removes the cgroup later."""

_SHOWN = ("memory", "cpu", "cpuacct", "pids")
"""v1 controllers whose files programs read to learn their limits; each mount costs its time."""
_QUIET = ("nosuid", "noexec", "nodev", "relatime")


class Cgroups:
    """This machine's cgroups as the engine needs them; looked at when first asked."""

    @cached_property
    def hierarchy(self) -> Hierarchy:
        """Where cgroups can be made here."""
        return detect()

    @cached_property
    def mounts(self) -> tuple[Mount, ...]:
        """The read-only mounts at /sys/fs/cgroup; none where there are no cgroups.

        v1 needs a folder for each hierarchy, in a tmpfs that CGROUP_READONLY closes afterwards.
        """
        if self.hierarchy.mode == "v2":
            return (Mount("cgroup2", "cgroup", CGROUP, (*_QUIET, "ro")),)
        if self.hierarchy.mode == "none":
            return ()
        base = Mount("tmpfs", "tmpfs", CGROUP, (*_QUIET, "mode=755"))
        shown = dict.fromkeys(
            tuple(name for name in options if name in _SHOWN) for _, _, options in mounts("cgroup")
        )
        return (
            base,
            *(
                Mount("cgroup", "cgroup", f"{CGROUP}/{','.join(names)}", (*_QUIET, "ro", *names))
                for names in shown
                if names
            ),
        )

    @property
    def readonly(self) -> list[str]:
        """Paths to make read-only once everything is mounted."""
        return [CGROUP] if self.hierarchy.mode == "v1" else []

    def missing(self, resources: dict[str, Any]) -> list[str]:
        """Return a warning for each limit that cannot bind here."""
        return self.hierarchy.missing(resources) if resources else []

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """Hold every process of a container still for the length of the block."""
        self.freeze(name)
        try:
            yield
        finally:
            self.thaw(name)

    def freeze(self, name: str) -> None:
        """Hold every process of a container still; Unavailable where nothing can."""
        try:
            self.hierarchy.open(name).freeze(True)
        except OSError as error:
            raise Unavailable(
                f"the container cannot be paused ({error}): "
                "commit it with --pause=false, or stop it"
            ) from error

    def thaw(self, name: str) -> None:
        """Let the processes of a container go on; harmless when it has ended."""
        try:
            self.hierarchy.open(name).freeze(False)
        except OSError as error:
            if error.errno not in GONE:
                raise

    def clear(self, name: str) -> None:
        """End what is left in a cgroup whose shim was killed, and remove it; may take seconds."""
        cgroup = self.hierarchy.open(name)
        cgroup.kill()
        cgroup.remove(_ENDING_SECONDS)
