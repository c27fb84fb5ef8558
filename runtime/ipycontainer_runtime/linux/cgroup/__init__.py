"""Limits on a container: cgroup v1, v2 or none behind one seam (told in `base`)."""

from .base import Cgroup, CgroupError, Hierarchy

__all__ = ["Cgroup", "CgroupError", "Hierarchy", "detect"]

CURE = (
    "start the engine as root or, on cgroup v2, have a session of systemd's (as root run `loginctl"
    " enable-linger USER`)"
)


def detect() -> Hierarchy:
    """Return where this process may make cgroups.

    Called once by the spawner, and by the engine for warnings. v1 comes first: on a hybrid machine
    the v2 tree is there without the controllers that limit anything. May move this process to a
    leaf (v2). Never fails: a machine without cgroups yields a hierarchy that says why.
    """
    from .v1 import detect_v1

    v1 = detect_v1()
    if not isinstance(v1, str):
        return v1
    from .v2 import detect_v2

    v2 = detect_v2()
    if not isinstance(v2, str):
        return v2
    from .nothing import Nothing

    return Nothing(f"no cgroup can be made: {v2}; {v1}. {CURE}")
