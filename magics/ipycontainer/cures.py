"""What an engine says, in the words that a person wrote, and what helps.

The engine speaks of its API's fields; a person has written flags. Our engine's messages and
Docker's are both known here.
"""

from __future__ import annotations

import re

# Fields of the API's HostConfig, by the flag of `run` that fills them.
_FLAGS = {
    "Binds": "--volume",
    "CapAdd": "--cap-add",
    "CapDrop": "--cap-drop",
    "CpuPeriod": "--cpu-period",
    "CpuQuota": "--cpu-quota",
    "CpuShares": "--cpu-shares",
    "CpusetCpus": "--cpuset-cpus",
    "Devices": "--device",
    "Dns": "--dns",
    "DnsOptions": "--dns-option",
    "DnsSearch": "--dns-search",
    "ExtraHosts": "--add-host",
    "GroupAdd": "--group-add",
    "Init": "--init",
    "IpcMode": "--ipc",
    "Links": "--link",
    "LogConfig": "--log-driver",
    "Memory": "--memory",
    "MemoryReservation": "--memory-reservation",
    "MemorySwap": "--memory-swap",
    "Mounts": "--mount",
    "NanoCpus": "--cpus",
    "NetworkMode": "--network",
    "OomKillDisable": "--oom-kill-disable",
    "PidMode": "--pid",
    "PidsLimit": "--pids-limit",
    "PortBindings": "--publish",
    "Privileged": "--privileged",
    "PublishAllPorts": "--publish-all",
    "ReadonlyRootfs": "--read-only",
    "RestartPolicy": "--restart",
    "SecurityOpt": "--security-opt",
    "ShmSize": "--shm-size",
    "Sysctls": "--sysctl",
    "Tmpfs": "--tmpfs",
    "UTSMode": "--uts",
    "Ulimits": "--ulimit",
    "VolumeDriver": "--volume-driver",
    "VolumesFrom": "--volumes-from",
}
_FIELD = re.compile(r"HostConfig\.(\w+)")

# Messages that name neither the flag nor, some of them, what would be right.
_REWORDED = (
    (r"Minimum memory limit allowed is (\d+)MB", "--memory: {0}m is the least that there can be"),
    (
        r"Minimum memory reservation allowed is (\d+)MB",
        "--memory-reservation: {0}m is the least that there can be",
    ),
    (
        r"Minimum memoryswap limit should be larger than memory limit, see usage",
        "--memory-swap is memory and swap together: write at least what --memory says",
    ),
    (
        r"You should always set the Memory limit when using Memoryswap limit, see usage",
        "--memory-swap is memory and swap together: write --memory too",
    ),
    (
        r"Minimum memory limit can not be less than memory reservation limit, see usage",
        "--memory-reservation is a part of the memory: write at most what --memory says",
    ),
    (
        r"Range of CPUs is from (\S+) to (\S+), as .*",
        "--cpus: write a number from {0} to {1}, as this machine has no more",
    ),
    (
        r"Conflicting options: Nano CPUs and CPU (?:Period|Quota) cannot both be set\.?",
        "--cpus sets the CFS period and quota: leave it out, or --cpu-period and --cpu-quota",
    ),
    (
        r"CPU cfs period can not be less than .*",
        "--cpu-period: write microseconds, from 1000 to 1000000",
    ),
    (
        r"CPU cfs quota can not be less than .*",
        "--cpu-quota: write microseconds, 1000 or more",
    ),
    (
        r"Invalid container name \((.*)\), only .*",
        "--name {0!r}: write two or more letters, digits, '_', '.' or '-', not one of those three"
        " first",
    ),
    (r"invalid --security-opt 2: (.*)", "--security-opt {0}: there is no such option"),
)

# What helps is put after the message. `{program}` is how verbs are called.
_CURES = (
    (r"No such image: (\S+)", "`{program} images` lists those here, `{program} pull {0}` fetches"),
    (r"No such container: (\S+)", "`{program} ps -a` lists all containers"),
    (r"[Nn]etwork (\S+) not found|No such network: (\S+)", "`{program} network ls` lists them"),
    (r"get (\S+): no such volume|No such volume: (\S+)", "`{program} volume ls` lists them"),
    (r"network (\S+) .*has active endpoints", "`{program} network show` tells who is in it"),
    (r"volume is in use - \[", "`{program} ps -a --filter volume=NAME` lists who has it"),
    (
        r"port is already allocated|address already in use",
        "`{program} ps` tells who has published what",
    ),
    (r"No such exec instance", "it has ended"),
    (r"page not found", "this engine has no such operation"),
)


_MALFORMED = re.compile(
    "invalid reference format|invalid tag format|invalid repository name|repository name must"
    "|invalid (checksum )?digest|unsupported digest|no image was given|names no image"
)


def malformed(image: str, message: str) -> str | None:
    """Return what would be right when an engine's message says that a name is malformed."""
    if not _MALFORMED.search(message):
        return None
    if "lowercase" in message:
        return "write its repository in small letters"
    if "@" in image:
        return "after the @ write sha256: and the 64 digits of its digest"
    return "write [HOST/]NAME[:TAG] or NAME@sha256:DIGEST"


def in_flags(message: str) -> str:
    """Return the message with the flags of `run` for the fields of the API."""
    return _FIELD.sub(lambda match: _FLAGS.get(match[1], match[0]), message)


def cured(message: str, program: str) -> str:
    """Return what to tell a person of an engine's message: the value, and what helps."""
    for pattern, words in _REWORDED:
        if match := re.fullmatch(pattern, message):
            return words.format(*match.groups())
    told = in_flags(message)
    for pattern, cure in _CURES:
        if match := re.search(pattern, told):
            return f"{told}; {cure.format(*match.groups(), program=program)}"
    return told
