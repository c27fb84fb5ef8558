"""How many system calls a compiled filter lets through, found by following its bytes.

Classic BPF jumps forward only, so every way through a filter can be followed for one architecture
and one number; where the filter looks at an argument both ways are taken.
"""

import functools
import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from . import ARCHITECTURES, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, bpf, table

SECCOMP_RET_LOG = 0x7FFC0000
_LETS_THROUGH = (SECCOMP_RET_ALLOW, SECCOMP_RET_LOG)
_INSTRUCTION = struct.Struct("=HBBI")
_TESTS: dict[int, Callable[[int, int], bool]] = {
    bpf.BPF_JMP_JEQ_K: int.__eq__,
    bpf.BPF_JMP_JGT_K: int.__gt__,
    bpf.BPF_JMP_JGE_K: int.__ge__,
}

Program = Sequence[tuple[int, int, int, int]]
Way = tuple[int, int | None]
"""Where a way through the filter is, and what it has loaded, None for an argument."""


class Census(NamedTuple):
    """What becomes of the calls that one architecture has."""

    architecture: str
    calls: int
    allowed: int
    conditional: int
    """Allowed or not by an argument."""
    refused: int
    faked: int
    """Answered as done, without being done."""


def census(path: Path, machine: str = os.uname().machine) -> list[Census]:
    """Return the census of the filter in this file, for each architecture of the machine."""
    return _counted(path.read_bytes(), machine)


@functools.lru_cache(maxsize=16)
def _counted(content: bytes, machine: str) -> list[Census]:
    program = list(_INSTRUCTION.iter_unpack(content))
    return [_count(program, name, audit) for name, audit in ARCHITECTURES.get(machine, {}).items()]


def _count(program: Program, name: str, audit: int) -> Census:
    found = dict.fromkeys(("allowed", "conditional", "refused", "faked"), 0)
    numbers = set(table(name).values())
    for number in numbers:
        found[_fate(program, {bpf.NUMBER: number, bpf.ARCHITECTURE: audit})] += 1
    return Census(name, len(numbers), **found)


def _fate(program: Program, known: dict[int, int]) -> str:
    """Return what becomes of a call; `known` are the words of `struct seccomp_data`."""
    kinds = {_kind(end) for end in _ends(program, known)}
    return kinds.pop() if len(kinds) == 1 else "conditional"


def _kind(end: int) -> str:
    if end in _LETS_THROUGH:
        return "allowed"
    return "faked" if end == SECCOMP_RET_ERRNO else "refused"


def _ends(program: Program, known: dict[int, int]) -> set[int]:
    """Return every value that the filter may return."""
    ends: set[int] = set()
    ways: list[Way] = [(0, None)]
    seen: set[Way] = set()
    while ways:
        at, value = way = ways.pop()
        if way in seen:
            continue
        seen.add(way)
        if program[at][0] == bpf.BPF_RET_K:
            ends.add(program[at][3])
        else:
            ways += _onwards(program[at], at + 1, value, known)
    return ends


def _onwards(
    instruction: tuple[int, int, int, int], after: int, value: int | None, known: dict[int, int]
) -> list[Way]:
    code, yes, no, k = instruction
    if code == bpf.BPF_LD_W_ABS:
        return [(after, known.get(k))]
    if code == bpf.BPF_ALU_AND_K:
        return [(after, None if value is None else value & k)]
    if code == bpf.BPF_JMP_JA:
        return [(after + k, value)]
    if value is None:
        return [(after + yes, None), (after + no, None)]
    return [(after + (yes if _TESTS[code](value, k) else no), value)]
