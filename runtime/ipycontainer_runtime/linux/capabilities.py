"""Capabilities: names, numbers, Docker's default fourteen, and --cap-add/--cap-drop arithmetic."""

from collections.abc import Iterable

from ..errors import InvalidParameter


def _names(text: str) -> tuple[str, ...]:
    return tuple(f"CAP_{name}" for name in text.split())


# In the kernel's order: a name's place is its number. Source: include/uapi/linux/capability.h.
NAMES = _names(
    """CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
    NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO
    SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME
    SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG
    WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"""
)
NUMBERS = {name: number for number, name in enumerate(NAMES)}

# Source: https://docs.docker.com/engine/containers/run/#runtime-privilege-and-linux-capabilities
DEFAULT = frozenset(
    _names(
        """CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP
        NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE"""
    )
)
ALL = "ALL"


def tweak(
    add: Iterable[str] = (), drop: Iterable[str] = (), *, privileged: bool = False
) -> frozenset[str]:
    """Return a container's capabilities, `CAP_` names, as Docker derives them from its flags.

    `ALL` in `add` begins with every capability and takes `drop` away; `ALL` in `drop` begins with
    none and adds `add`; else `drop` is taken from the default and `add` is added, which wins.
    Privileged containers have all, whatever is dropped. Raises InvalidParameter for an unknown
    name. Source: moby, oci/caps/utils.go.
    """
    adds, drops = [normalize(name) for name in add], [normalize(name) for name in drop]
    if privileged:
        return supported()
    if ALL in adds:
        return supported() - set(drops)
    base = frozenset() if ALL in drops else DEFAULT
    return (base - set(drops)) | set(adds)


def normalize(name: str) -> str:
    """Return `CAP_NAME` for a name in any case, with or without the prefix; `ALL` stays."""
    upper = name.upper()
    if upper == ALL:
        return ALL
    full = upper if upper.startswith("CAP_") else f"CAP_{upper}"
    if full not in supported():
        raise InvalidParameter(f'invalid capability: "{name}": see capabilities(7) for the names')
    return full


def supported() -> frozenset[str]:
    """Return the capabilities that both this table and the running kernel know."""
    return frozenset(NAMES[: last_capability() + 1])


def last_capability() -> int:
    """Return the kernel's highest capability number."""
    with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as file:
        return int(file.read())


def mask(names: Iterable[str]) -> int:
    """Return the bit set of these `CAP_` names, as in /proc/PID/status and capset(2)."""
    return sum(1 << NUMBERS[name] for name in set(names))


def names(bits: int) -> frozenset[str]:
    """Return the names of a bit set; bits past the table are left out."""
    return frozenset(name for number, name in enumerate(NAMES) if bits >> number & 1)
