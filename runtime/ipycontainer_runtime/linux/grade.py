"""What an engine may be on this machine: root, root of a user namespace, or neither.

Rootless has four grades: a range of ids; one id, which every file then belongs to; inside somebody
else's container, whose masks of /proc and /sys the kernel lets nobody take off; and none, where
images can be had and no container can run.
"""

from pathlib import Path
from typing import NamedTuple

from ..errors import Unavailable
from . import delegation, idmaps, userns

_MOST = 2**31  # past every id that a container may name
_HAD_ONE = "Stop its containers and the engine, and start it again, to have a range of ids"
ROOT, RANGE, ONE_ID, NONE = "root", "range", "one id", "none"


class Grade(NamedTuple):
    """What `take` found; modes that differ by it ask here."""

    name: str = ROOT
    reason: str = ""
    """Why it is no better, with the cure."""
    masked: bool = False
    """Whether a new /proc or /sys is refused, so that containers get those around the engine."""
    undelegated: str = ""
    """Why an ordinary user's engine has no cgroup of systemd's."""
    ids: int = 0
    """How many ids its user namespace has from 0 on, where it is masked."""

    @property
    def rootless(self) -> bool:
        """Whether the engine lacks the powers of the machine's root."""
        return self.name != ROOT

    @property
    def one_id(self) -> bool:
        """Whether every file of a container belongs to the engine's one id."""
        return self.name == ONE_ID

    @property
    def runs_nothing(self) -> bool:
        """Whether no container can be run."""
        return self.name == NONE

    def check_containers(self) -> None:
        """Raise Unavailable, with the cure, when no container can be run here."""
        if self.runs_nothing:
            raise Unavailable(f"containers cannot be run here: {self.reason}")

    def check_files(self) -> None:
        """Raise Unavailable, with the cure, when no container's root can be mounted for a copy."""
        if self.runs_nothing:
            raise Unavailable(f"the files of containers cannot be reached here: {self.reason}")

    def warnings(self) -> list[str]:
        """Return what somebody who creates a container is told of it."""
        told = []
        if self.one_id:
            told.append(
                "This engine has one user id: every file in the container belongs to root, what "
                f"is made there is recorded as 0:0, and chown changes nothing. {self.reason}"
            )
        if self.masked:
            told.append(
                "This engine runs inside a container that masks /proc: the processes of that one, "
                f"and of its other containers, are listed in this one. {MASKED_CURE}"
            )
        return told


MASKED_CURE = (
    "Start the outer container with `--security-opt systempaths=unconfined` to have it whole"
)


def take(run: Path) -> Grade:
    """Become the best that this machine allows, and return what that is.

    Called once by the engine, under the conditions of `userns.enter`.
    """
    undelegated = delegation.claim(run)  # while the bus still knows us by our user id
    return _enter(run)._replace(undelegated=undelegated)


def foresee() -> Grade:
    """Return what `take` would find, without becoming it; called by a process that may fork."""
    if userns.must_enter():
        from . import probes

        refused = probes.probe("userns")
        if not refused.ok:
            return Grade(NONE, refused.detail)
        masked = bool(probes.masks())
        if lack := idmaps.lack():
            return Grade(ONE_ID, lack, masked)
        return Grade(RANGE, masked=masked)
    return _present("")


def _enter(run: Path) -> Grade:
    lack = idmaps.lack() if userns.must_enter() else ""
    try:
        userns.enter(run)
    except Unavailable as error:
        return Grade(NONE, str(error))
    return _present(lack)


def _present(lack: str) -> Grade:
    ids = userns.present()
    if not ids.rootless:
        return Grade()
    from . import probes  # which root need not wait for

    masked = bool(probes.masks())
    if ids.one:
        return Grade(ONE_ID, lack or _HAD_ONE, masked, ids=1)
    return Grade(RANGE, masked=masked, ids=min(ids.size, _MOST))
