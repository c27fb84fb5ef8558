"""A machine on which no cgroup can be had: containers run without limits, and say so."""

import errno

from .base import Cgroup, CgroupError, Hierarchy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .base import Resources, Transfer


class NoCgroup(Cgroup):
    """Limits nothing; has no members to tell of."""

    def __init__(self, name: str) -> None:
        self.name = name

    def attach(self, pid: int) -> None:
        """Leave the process where it is."""

    def limit(self, resources: "Resources") -> None:
        """Bind nothing: `Nothing.missing` has told which limits were asked for."""

    def oom_kills(self) -> int:
        """Return 0: nothing counts here."""
        return 0

    def pids(self) -> list[int]:
        """Return none: nobody keeps the list."""
        return []

    def freeze(self, frozen: bool) -> None:
        """Refuse: a half-stopped container would be worse than a running one."""
        raise CgroupError(
            errno.ENOTSUP,
            f"cannot pause {self.name}: no cgroup can be had here; use --pause=false",
        )

    def kill(self) -> None:
        """Kill nothing: the end of its pid namespace kills a container's processes."""

    def usage(self) -> dict[str, int]:
        """Return no figures."""
        return {}

    def transferred(self) -> "list[Transfer]":
        """Nothing is kept."""
        return []

    def remove(self, timeout: float = 1.0) -> bool:
        """Return true: there is nothing to remove."""
        return True


class Nothing(Hierarchy):
    """Says why there are no cgroups, and makes ones that do nothing."""

    mode = "none"

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def create(self, name: str) -> Cgroup:
        """Return a cgroup that does nothing."""
        return NoCgroup(name)

    def open(self, name: str) -> Cgroup:
        """Return a cgroup that does nothing."""
        return NoCgroup(name)

    def stale(self, prefix: str) -> list[str]:
        """Return none."""
        return []
