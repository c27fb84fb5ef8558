"""The profile of `--security-opt seccomp=FILE`: the runtime spec's, with conditions beside it.

Docker's and Podman's files say of a list of calls for which capabilities, machines and kernels it
is meant, and name the architectures in a map. What is left when that is answered is the runtime
spec's `linux.seccomp`, which `custom` compiles.

Source: https://docs.docker.com/engine/security/seccomp/, moby's profiles/seccomp.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...errors import InvalidParameter
from . import custom, kept
from .profile import FAKED_CALLS

# What such files call the machines.
GOARCH = {"x86_64": "amd64", "aarch64": "arm64"}


def cached_profile(
    run: Path, text: str, capabilities: frozenset[str], *, one_id: bool = False
) -> Path:
    """Return `<run>/seccomp-<hash>.bpf` with the filter of such a file's text, made when absent.

    `capabilities` are the container's `CAP_` names; with `one_id` the calls that change owners are
    faked where it allows them. Raises InvalidParameter for what is no profile, NotImplementedHere
    for what needs a listener.
    """
    faked = FAKED_CALLS if one_id else frozenset[str]()
    what = f"custom {one_id} {' '.join(sorted(capabilities))} {os.uname().release} {text}"
    return kept(run, what, lambda: custom.compiled(resolved(text, capabilities), faked=faked))


def resolved(
    text: str,
    capabilities: frozenset[str],
    machine: str = os.uname().machine,
    release: str = os.uname().release,
) -> dict[str, Any]:
    """Return the spec's `linux.seccomp` for a container with these capabilities, here."""
    try:
        return _resolved(json.loads(text), capabilities, machine, _version(release))
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise InvalidParameter(f"Decoding seccomp profile failed: {error}") from error


def _resolved(
    profile: dict[str, Any], capabilities: frozenset[str], machine: str, kernel: tuple[int, ...]
) -> dict[str, Any]:
    answers: dict[str, Callable[[Any], bool]] = {
        "caps": capabilities.__contains__,
        "arches": GOARCH.get(machine, machine).__eq__,
        "minKernel": lambda least: kernel >= _version(least),
    }
    syscalls = [
        {**entry, "names": _names(entry)}
        for entry in profile.get("syscalls") or ()
        if _meant(entry.get("includes") or {}, entry.get("excludes") or {}, answers)
    ]
    kept_as_it_is = ("defaultAction", "defaultErrnoRet", "listenerPath")
    fields = {name: profile[name] for name in kept_as_it_is if name in profile}
    return {**fields, "architectures": _architectures(profile, machine), "syscalls": syscalls}


def _meant(
    includes: dict[str, Any], excludes: dict[str, Any], answers: dict[str, Callable[[Any], bool]]
) -> bool:
    """Tell whether a list of calls is for this container: all it includes, none it excludes.

    Of the machines that it is for, being one of them is enough.
    """
    for name, holds in answers.items():
        wanted, unwanted = _listed(includes.get(name)), _listed(excludes.get(name))
        enough = any if name == "arches" else all
        if (wanted and not enough(map(holds, wanted))) or any(map(holds, unwanted)):
            return False
    return True


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []


def _names(entry: dict[str, Any]) -> list[str]:
    if entry.get("name") and entry.get("names"):
        raise ValueError("a call has both 'name' and 'names': leave one out")
    names = entry.get("names") or [entry["name"]]
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"names of calls are strings, and these are not: {names}")
    return list(names)


def _architectures(profile: dict[str, Any], machine: str) -> list[str]:
    listed, mapped = profile.get("architectures") or [], profile.get("archMap") or []
    if listed and mapped:
        raise ValueError("both 'architectures' and 'archMap' are given: leave one out")
    for entry in mapped:
        if custom.ARCHITECTURES.get(entry["architecture"]) == machine:
            return [entry["architecture"], *(entry.get("subArchitectures") or ())]
    return list(listed)


def _version(release: str) -> tuple[int, ...]:
    """Return the first two numbers of a kernel's release, such as 6.18.5+."""
    major, _, rest = release.partition(".")
    minor = rest.partition(".")[0].partition("-")[0].rstrip("+")
    return int(major), int(minor or 0)
