"""This project's own profile as other runtimes take it: the runtime spec's `linux.seccomp`."""

import os
from typing import Any

from .profile import ALLOW, Allow, Refuse, Verdict, verdicts

NAMES = {
    "x86_64": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
    "aarch64": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
}


def portable(capabilities: frozenset[str], machine: str = os.uname().machine) -> dict[str, Any]:
    """Return the default profile of a container with these capabilities (`CAP_` names)."""
    by_verdict: dict[Verdict, list[str]] = {}
    for name, verdict in verdicts(capabilities).items():
        by_verdict.setdefault(verdict, []).append(name)
    syscalls: list[dict[str, Any]] = []
    for verdict, names in by_verdict.items():
        syscalls += _entries(verdict, sorted(names))
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": NAMES[machine],
        "syscalls": syscalls,
    }


def _entries(verdict: Verdict, names: list[str]) -> list[dict[str, Any]]:
    if isinstance(verdict, Refuse):
        return [{"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": verdict.errno}]
    allowed = {"names": names, "action": "SCMP_ACT_ALLOW"}
    if verdict == ALLOW:
        return [allowed]
    return [{**allowed, "args": [_argument(verdict, value)]} for value in verdict.values]


def _argument(verdict: Allow, value: int) -> dict[str, Any]:
    if verdict.mask == 0xFFFFFFFF:
        return {"index": verdict.argument, "value": value, "op": "SCMP_CMP_EQ"}
    return {
        "index": verdict.argument,
        "value": verdict.mask,
        "valueTwo": value,
        "op": "SCMP_CMP_MASKED_EQ",
    }
