"""What this machine allows, asked by trying it once."""

from typing import NamedTuple


class Probe(NamedTuple):
    """One thing tried: `detail` says what was seen, `cure` how to get it when it is not ok."""

    name: str
    ok: bool
    detail: str
    cure: str = ""


def probe(name: str) -> Probe:
    """Return the outcome of one probe: userns, newuidmap, overlay, cgroup or seccomp.

    The first call tries, in a child where a trial would change this process; later calls in this
    process answer from memory.
    """
    raise NotImplementedError


def probes() -> list[Probe]:
    """Return the outcome of every probe."""
    raise NotImplementedError
