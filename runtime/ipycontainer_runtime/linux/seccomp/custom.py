"""A profile that somebody else wrote: the runtime spec's `linux.seccomp`, compiled to classic BPF.

The rules of a call are asked in their order, one without conditions before all others, and the
first that fits answers; else the profile's default does. A number that our tables do not know,
being of a later kernel, is answered ENOSYS unless the default lets calls through, so that programs
fall back to what they did before (runc does the same). x32 calls are ENOSYS always: a list of what
is refused would not hold for them.

Source: https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#seccomp,
seccomp_rule_add(3), include/uapi/linux/seccomp.h; tests hold it against libseccomp.
"""

import errno
import os
from collections.abc import Container
from typing import Any, NamedTuple

from ...errors import InvalidParameter, NotImplementedHere
from . import assemble, bpf, dispatch, table

SECCOMP_RET_DATA = 0xFFFF
ACTIONS = {
    "SCMP_ACT_ALLOW": 0x7FFF0000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_TRAP": 0x00030000,
}
ERRNO = ACTIONS["SCMP_ACT_ERRNO"]
LETS_THROUGH = (ACTIONS["SCMP_ACT_ALLOW"], ACTIONS["SCMP_ACT_LOG"])
ARCHITECTURES = {
    "SCMP_ARCH_AARCH64": "aarch64",
    "SCMP_ARCH_ARM": "arm",
    "SCMP_ARCH_X86": "i386",
    "SCMP_ARCH_X86_64": "x86_64",
}
WIDE = ("aarch64", "x86_64")  # whose arguments have 64 bits
X32 = 0x40000000
ALL = (1 << 64) - 1
# Whether the answer is turned round, and the test of the low word where the high words are equal.
COMPARISONS = {
    "SCMP_CMP_EQ": (False, bpf.BPF_JMP_JEQ_K),
    "SCMP_CMP_GE": (False, bpf.BPF_JMP_JGE_K),
    "SCMP_CMP_GT": (False, bpf.BPF_JMP_JGT_K),
    "SCMP_CMP_LE": (True, bpf.BPF_JMP_JGT_K),
    "SCMP_CMP_LT": (True, bpf.BPF_JMP_JGE_K),
    "SCMP_CMP_MASKED_EQ": (False, bpf.BPF_JMP_JEQ_K),
    "SCMP_CMP_NE": (True, bpf.BPF_JMP_JEQ_K),
}


class Condition(NamedTuple):
    """One argument of a call, compared as 64 bits with `value`; `mask` is of SCMP_CMP_MASKED_EQ."""

    argument: int
    operator: str
    value: int
    mask: int


class Rule(NamedTuple):
    """What the kernel does with a call for which every condition holds."""

    action: int
    conditions: tuple[Condition, ...]


def compiled(
    profile: dict[str, Any],
    machine: str = os.uname().machine,
    faked: Container[str] = (),
) -> bytes:
    """Return a spec's `linux.seccomp` as an array of `struct sock_filter`.

    What the profile lets through of the `faked` calls is answered as if it were done. Raises
    InvalidParameter for what is no profile, NotImplementedHere for what needs a listener.
    """
    try:
        return _compiled(profile, machine, faked)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidParameter(f"the seccomp profile is not valid: {error!r}") from error


def _compiled(profile: dict[str, Any], machine: str, faked: Container[str]) -> bytes:
    if profile.get("listenerPath"):
        raise NotImplementedHere("seccomp listenerPath is not supported: leave it out")
    default = _action(profile["defaultAction"], profile.get("defaultErrnoRet"))
    rules = _rules(profile.get("syscalls") or [], default)
    wanted = _architectures(profile.get("architectures") or [], machine)

    def calls(architecture: str) -> bpf.Piece:
        if architecture not in wanted:
            return bpf.ret(ACTIONS["SCMP_ACT_KILL_PROCESS"])
        otherwise, wide = bpf.ret(default), architecture in WIDE
        numbers = table(architecture)
        known = {
            number: _ordered(rules[name], default, wide) if name in rules else otherwise
            for name, number in numbers.items()
        }
        for name in filter(faked.__contains__, numbers):
            without = [rule._replace(action=_fake(rule.action)) for rule in rules.get(name, ())]
            known[numbers[name]] = _ordered(without, _fake(default), wide)
        refused = bpf.ret(ERRNO | errno.ENOSYS)
        later = otherwise if default in LETS_THROUGH else refused
        return bpf.branch(bpf.BPF_JMP_JGE_K, X32, refused, dispatch(known, later))

    return assemble(calls, machine)


def _fake(action: int) -> int:
    return ERRNO if action in LETS_THROUGH else action  # errno 0 is success


def _architectures(names: list[str], machine: str) -> set[str]:
    """Return those of the profile's architectures that we know; the machine's is always one."""
    for name in names:
        if not name.startswith("SCMP_ARCH_"):
            raise InvalidParameter(f"unknown architecture in the seccomp profile: {name!r}")
    return {ARCHITECTURES[name] for name in names if name in ARCHITECTURES} | {machine}


def _action(name: str, number: int | None) -> int:
    if name == "SCMP_ACT_NOTIFY":
        raise NotImplementedHere("SCMP_ACT_NOTIFY is not supported: use SCMP_ACT_ERRNO")
    if name not in ACTIONS:
        raise InvalidParameter(f"unknown action in the seccomp profile: {name!r}")
    action = ACTIONS[name]
    if name in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"):
        action |= (errno.EPERM if number is None else number) & SECCOMP_RET_DATA
    return action


def _rules(entries: list[dict[str, Any]], default: int) -> dict[str, list[Rule]]:
    """Return the rules by the call's name; what only says the default again is left out."""
    rules: dict[str, list[Rule]] = {}
    for entry in entries:
        action = _action(entry["action"], entry.get("errnoRet"))
        if action == default:
            continue
        conditions = tuple(map(_condition, entry.get("args") or ()))
        asked = [condition.argument for condition in conditions]
        # One argument asked twice: libseccomp has no way to say "and", and runc takes it as "or".
        together = [conditions] if len(set(asked)) == len(asked) else [(c,) for c in conditions]
        for name in entry["names"]:
            rules.setdefault(name, []).extend(Rule(action, each) for each in together)
    return rules


def _condition(argument: dict[str, Any]) -> Condition:
    operator, value = argument["op"], argument["value"]
    second = argument.get("valueTwo") or 0
    if operator not in COMPARISONS:
        raise InvalidParameter(f"unknown operator in the seccomp profile: {operator!r}")
    if (
        argument["index"] not in range(6)
        or not 0 <= min(value, second) <= max(value, second) <= ALL
    ):
        raise InvalidParameter(f"the seccomp profile asks about no argument: {argument}")
    if operator == "SCMP_CMP_MASKED_EQ":
        return Condition(argument["index"], operator, second & value, value)
    return Condition(argument["index"], operator, value, ALL)


def _ordered(rules: list[Rule], default: int, wide: bool) -> bpf.Piece:
    """Return the code that asks one rule after the other; `wide`: arguments have 64 bits."""
    for rule in rules:
        if not rule.conditions:
            return bpf.ret(rule.action)
    code: list[bpf.Instruction] = []
    for rule in rules:
        body = list(bpf.ret(rule.action))
        for condition in reversed(rule.conditions):
            body = _tested(condition, len(body), wide) + body
        code += body
    return (*code, *bpf.ret(default))


def _tested(condition: Condition, behind: int, wide: bool) -> list[bpf.Instruction]:
    """Return a test that goes on when it holds, else skips the `behind` instructions after it."""
    negated, test = COMPARISONS[condition.operator]
    low = bpf.ARGUMENTS + 8 * condition.argument  # both machines are little-endian
    values = condition.value & 0xFFFFFFFF, condition.value >> 32
    masks = condition.mask & 0xFFFFFFFF, condition.mask >> 32
    steps: list[bpf.Instruction] = []
    places: dict[int, tuple[str, str]] = {}
    if wide:
        steps += bpf.load(low + 4, bpf.masked(masks[1], ()))
        if test != bpf.BPF_JMP_JEQ_K:
            places[len(steps)] = ("holds", "next")
            steps.append(bpf.Instruction(bpf.BPF_JMP_JGT_K, 0, 0, values[1]))
        places[len(steps)] = ("next", "fails")
        steps.append(bpf.Instruction(bpf.BPF_JMP_JEQ_K, 0, 0, values[1]))
    steps += bpf.load(low, bpf.masked(masks[0], ()))
    places[len(steps)] = ("holds", "fails")
    steps.append(bpf.Instruction(test, 0, 0, values[0]))
    for at, (yes, no) in places.items():
        rest = len(steps) - at - 1
        skip = {"next": 0, "holds": rest + behind * negated, "fails": rest + behind * (not negated)}
        steps[at] = steps[at]._replace(jt=skip[yes], jf=skip[no])
    return steps
