"""What a container's processes may do: capabilities, seccomp, hidden paths."""

import functools
from pathlib import Path
from typing import NamedTuple

from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.linux import seccomp
from ipycontainer_runtime.linux.capabilities import names, supported, tweak
from ipycontainer_runtime.store.records import HostConfig, words

MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

_WITHOUT_EFFECT = ("apparmor=unconfined", "label=disable", "label:disable", "seccomp=builtin")
"""What asks for what is so anyway: neither AppArmor nor SELinux labels are used here."""


class Security(NamedTuple):
    """What SecurityOpt, CapAdd and CapDrop come to."""

    capabilities: frozenset[str]
    confined: bool
    """False when seccomp=unconfined was asked for."""
    no_new_privileges: bool
    profile: str = ""
    """The text of somebody's own seccomp profile; empty for the default."""


def security(host: HostConfig) -> Security:
    """Read the security options; unknown ones and unknown capabilities are refused by name."""
    if host.privileged:
        return privileged()
    confined, no_new, profile = True, False, ""
    for option in host.security_opt or ():
        if option in ("seccomp=unconfined", "seccomp:unconfined"):
            confined = False
        elif option.partition("=")[0].partition(":")[0] == "no-new-privileges":
            no_new = _boolean(option)
        elif option in _WITHOUT_EFFECT:
            continue
        elif option.startswith(("seccomp=", "seccomp:")):
            profile = option[len("seccomp=") :]
        else:
            raise InvalidParameter(f"invalid --security-opt 2: {option[:100]!r}")
    capabilities = _tweak(tuple(words(host.cap_add) or ()), tuple(words(host.cap_drop) or ()))
    return Security(capabilities, confined, no_new, profile)


def privileged() -> Security:
    """Return what a privileged process may do: all that this engine may itself, unfiltered."""
    return Security(
        names(_own_capabilities()) & supported(), confined=False, no_new_privileges=False
    )


@functools.lru_cache(maxsize=1)
def _own_capabilities() -> int:
    status = Path("/proc/self/status").read_text()
    return int(
        next(line for line in status.splitlines() if line.startswith("CapPrm")).split()[1], 16
    )


_tweak = functools.lru_cache(maxsize=64)(tweak)


def _boolean(option: str) -> bool:
    value = option.removeprefix("no-new-privileges")[1:]
    if value not in ("", "true", "false"):
        raise InvalidParameter(f"invalid --security-opt 2: {option!r}")
    return value != "false"


def check_security(host: HostConfig) -> None:
    """Refuse security options that cannot be, and fill in the hidden paths."""
    allowed = security(host)
    if allowed.profile:
        from ipycontainer_runtime.linux.seccomp import conditional, custom

        custom.compiled(conditional.resolved(allowed.profile, allowed.capabilities))
    if host.privileged:
        return
    if host.masked_paths is None:
        host.masked_paths = [*MASKED_PATHS, *_throttles()]
    if host.readonly_paths is None:
        host.readonly_paths = list(READONLY_PATHS)


@functools.lru_cache(maxsize=1)
def _throttles() -> list[str]:
    """Return the folders that tell how often each processor ran hot, and so what others do."""
    found = Path("/sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle")
    return sorted(map(str, found))


class Filters:
    """The compiled seccomp filters, each made once and kept in the run folder."""

    def __init__(self, run: Path, *, one_id: bool = False) -> None:
        compiled = functools.partial(seccomp.cached, run, one_id=one_id)
        self._cached = functools.lru_cache(maxsize=64)(compiled)
        self._run, self._one_id = run, one_id

    def path(self, allowed: Security) -> str | None:
        """Return the path of a container's filter, None for seccomp=unconfined.

        With one id that is a filter too, which only fakes what one id cannot do.
        """
        if allowed.confined and allowed.profile:
            from ipycontainer_runtime.linux.seccomp.conditional import cached_profile

            profile, one_id = allowed.profile, self._one_id
            return str(cached_profile(self._run, profile, allowed.capabilities, one_id=one_id))
        if allowed.confined:
            return str(self._cached(allowed.capabilities))
        if self._one_id:
            return str(seccomp.kept(self._run, "faking alone", seccomp.faking_filter))
        return None
