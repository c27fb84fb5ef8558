"""The machine as `info` tells it; imported when first asked."""

import os
import platform
import socket
from typing import Any

from ipycontainer_runtime.linux import cgroup

# Docker's fields: the controller that each needs, and what `info` says where there is none.
_LIMITS = (
    ("MemoryLimit", "memory", "No memory limit support"),
    ("SwapLimit", "swap", "No swap limit support"),
    ("CpuCfsPeriod", "cpu", "No cpu cfs period support"),
    ("CpuCfsQuota", "cpu", "No cpu cfs quota support"),
    ("CPUShares", "cpu", "No cpu shares support"),
    ("CPUSet", "cpuset", "No cpuset support"),
    ("PidsLimit", "pids", "No pids limit support"),
    ("OomKillDisable", "oom_control", ""),  # v2 has none, and Docker does not warn of that
)
_VERSIONS = {"v1": "1", "v2": "2", "none": "1"}


def describe() -> dict[str, Any]:
    """Return the system, its kernel and its size."""
    uname = os.uname()
    return {
        "Name": socket.gethostname(),
        "OSType": "linux",
        "OperatingSystem": _operating_system(),
        "OSVersion": _os_release().get("VERSION_ID", ""),
        "Architecture": uname.machine,
        "KernelVersion": uname.release,
        "NCPU": len(os.sched_getaffinity(0)),
        "MemTotal": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "BridgeNfIptables": _is_on("net/bridge/bridge-nf-call-iptables"),
        "BridgeNfIp6tables": _is_on("net/bridge/bridge-nf-call-ip6tables"),
        "IPv4Forwarding": _is_on("net/ipv4/ip_forward"),
        "KernelMemory": False,
        "KernelMemoryTCP": False,
    }


def limits() -> tuple[dict[str, Any], list[str]]:
    """Return Docker's fields about cgroups, and its warnings for limits that cannot be had."""
    hierarchy = cgroup.detect()
    fields: dict[str, Any] = {
        "CgroupDriver": "none" if hierarchy.mode == "none" else "cgroupfs",
        "CgroupVersion": _VERSIONS[hierarchy.mode],
    }
    fields |= {name: needed in hierarchy.controllers for name, needed, _ in _LIMITS}
    missing = [text for name, _, text in _LIMITS if text and not fields[name]]
    warnings = [f"WARNING: {text}" for text in missing]
    if hierarchy.reason:
        warnings.append(f"WARNING: {hierarchy.reason}")
    return fields, warnings


def _os_release() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def _operating_system() -> str:
    return _os_release().get("PRETTY_NAME", "Linux")


def _is_on(setting: str) -> bool:
    try:
        with open(f"/proc/sys/{setting}", encoding="ascii") as file:
            return file.read().strip() == "1"
    except OSError:
        return False
