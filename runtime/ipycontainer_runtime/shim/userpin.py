"""The user namespace of a container's own, held until its first process has entered it."""

import os
import signal

from .. import launch
from ..launch.syscalls import CLONE_NEWUSER, PR_SET_PDEATHSIG, prctl
from .nursery import Nursery

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_LAST = 1 << 20


class UserPin:
    """A process that was cloned into a new user namespace, and into the kinds that belong to it.

    The clone that is to be the container's first process cannot be made there itself: it mounts
    what only the machine's root may, and comes over when that is done. Its ids may come later.
    """

    def __init__(self, nursery: Nursery, kinds: "frozenset[str]") -> None:
        self.kinds = kinds
        self.pid = nursery.clone(_wait, CLONE_NEWUSER | launch.cloned_into(kinds))
        try:
            namespace = os.open(f"/proc/{self.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
            self.fds = (os.pidfd_open(self.pid), namespace)
        except BaseException:
            os.kill(self.pid, signal.SIGKILL)
            raise

    def give(self, ids: "dict[str, int]") -> None:
        """Map the ids that the container is to have."""
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/{self.pid}/{name}", "w") as file:
                file.write("".join(_lines(name, ids["first"], ids["count"])))

    def let_go(self) -> None:
        """Leave the namespaces to whoever has entered them."""
        for fd in self.fds:
            os.close(fd)
        os.kill(self.pid, signal.SIGKILL)  # the shim reaps it


def _lines(name: str, first: int, count: int) -> "Iterable[str]":
    """Map 0 and up to ids of ours; no line may go beyond one of those by which we have them."""
    with open(f"/proc/self/{name}") as file:
        for line in file:
            begin, _, size = map(int, line.split())
            low, high = max(begin, first), min(begin + size, first + count)
            if low < high:
                yield f"{low - first} {low} {high - low}\n"


def _wait() -> None:
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.closerange(0, _LAST)
    signal.pause()
