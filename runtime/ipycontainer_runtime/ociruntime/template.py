"""What `spec` writes: a config.json to begin with, as strict as this project's own containers."""

from typing import Any

from ..linux.capabilities import DEFAULT

QUIET = ["nosuid", "noexec", "nodev"]
KINDS = ("pid", "network", "ipc", "uts", "mount", "cgroup")
MASKED = (
    *("acpi", "asound", "interrupts", "kcore", "keys", "latency_stats"),
    *("sched_debug", "scsi", "timer_list", "timer_stats"),
)
READ_ONLY = ("bus", "fs", "irq", "sys", "sysrq-trigger")


def template(*, rootless: bool, uid: int = 0, gid: int = 0) -> dict[str, Any]:
    """Return the spec of a shell in `rootfs`; `rootless` maps the caller's ids to root's."""
    sets = dict.fromkeys(("bounding", "effective", "permitted"), sorted(DEFAULT))
    spec: dict[str, Any] = {
        "ociVersion": "1.2.0",
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": [
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "TERM=xterm",
            ],
            "cwd": "/",
            "capabilities": sets,
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "ipycontainer",
        "mounts": _mounts(),
        "linux": {
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [{"type": kind} for kind in KINDS],
            "maskedPaths": [*(f"/proc/{name}" for name in MASKED), "/sys/firmware"],
            "readonlyPaths": [f"/proc/{name}" for name in READ_ONLY],
        },
    }
    if rootless:
        _make_rootless(spec, uid, gid)
    return spec


def _mounts() -> list[dict[str, Any]]:
    pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
    tmpfs = ["nosuid", "strictatime", "mode=755", "size=65536k"]
    rows: list[tuple[str, str, str, list[str]]] = [
        ("/proc", "proc", "proc", []),
        ("/dev", "tmpfs", "tmpfs", tmpfs),
        ("/dev/pts", "devpts", "devpts", pts),
        ("/dev/shm", "tmpfs", "shm", [*QUIET, "mode=1777", "size=65536k"]),  # noqa: S108 - in the container
        ("/dev/mqueue", "mqueue", "mqueue", QUIET),
        ("/sys", "sysfs", "sysfs", [*QUIET, "ro"]),
        ("/sys/fs/cgroup", "cgroup", "cgroup", [*QUIET, "relatime", "ro"]),
    ]
    names = ("destination", "type", "source", "options")
    return [dict(zip(names, row, strict=True)) for row in rows]


def _make_rootless(spec: dict[str, Any], uid: int, gid: int) -> None:
    linux = spec["linux"]
    linux["namespaces"].append({"type": "user"})
    del linux["resources"]
    for key, number in (("uidMappings", uid), ("gidMappings", gid)):
        linux[key] = [{"containerID": 0, "hostID": number, "size": 1}]
    for mount in spec["mounts"]:
        # Group 5, tty, is not among the ids that there are.
        mount["options"] = [option for option in mount["options"] if option != "gid=5"]
    spec["mounts"] = [mount for mount in spec["mounts"] if mount["type"] != "cgroup"]
