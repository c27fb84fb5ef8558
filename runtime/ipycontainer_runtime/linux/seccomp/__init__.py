"""The system-call filter: a profile, compiled to classic BPF by hand.

`profile` says what is allowed, `syscalls.txt` what the calls' numbers are, `bpf` puts instructions
together. None of it is needed to start a container but the bytes that it made once.
"""

import functools
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from ...errors import Unavailable
from . import bpf
from .profile import (
    ALLOW,
    ENOSYS,
    EPERM,
    FAKED,
    FAKED_CALLS,
    GRANTED,
    Refuse,
    Verdict,
    faking,
    verdicts,
)

__all__ = ["assemble", "cached", "default_filter", "dispatch", "faking_filter", "kept", "table"]

# Actions, sorted: include/uapi/linux/seccomp.h.
SECCOMP_RET_ALLOW = 0x7FFF0000
SECCOMP_RET_ERRNO = 0x00050000
SECCOMP_RET_KILL_PROCESS = 0x80000000

# What a process on this machine may enter the kernel as, and AUDIT_ARCH_* of <linux/audit.h>.
ARCHITECTURES = {
    "x86_64": {"x86_64": 0xC000003E, "i386": 0x40000003},
    "aarch64": {"aarch64": 0xC00000B7, "arm": 0x40000028},
}


def default_filter(
    capabilities: frozenset[str], machine: str = os.uname().machine, *, one_id: bool = False
) -> bytes:
    """Return the default filter as an array of `struct sock_filter`, for prctl or seccomp(2).

    Some calls are allowed only to containers that have a capability (`CAP_` names); with `one_id`
    those that change owners are faked. `machine` is `x86_64` or `aarch64`; raises Unavailable for
    others: a filter is never silently absent.
    """
    allowed = verdicts(capabilities)
    if one_id:
        allowed = faking(allowed)
    return assemble(lambda architecture: _calls(table(architecture), allowed), machine)


def assemble(calls: Callable[[str], bpf.Piece], machine: str) -> bytes:
    """Return the filter that does what `calls` has for each architecture a process may be of."""
    if machine not in ARCHITECTURES:
        raise Unavailable(
            f"there is no seccomp filter for {machine} machines: run containers with"
            " --security-opt seccomp=unconfined, if you accept that they are not filtered"
        )
    # An unknown architecture means that this table is wrong about the machine: nothing is safe.
    program = bpf.ret(SECCOMP_RET_KILL_PROCESS)
    for architecture, audit in reversed(ARCHITECTURES[machine].items()):
        piece = bpf.load(bpf.NUMBER, calls(architecture))
        program = bpf.branch(bpf.BPF_JMP_JEQ_K, audit, piece, program)
    return bpf.pack(bpf.load(bpf.ARCHITECTURE, program))


def faking_filter(machine: str = os.uname().machine) -> bytes:
    """Return a filter that fakes what one id cannot do and allows all else: it confines nothing."""

    def calls(architecture: str) -> bpf.Piece:
        numbers = table(architecture)
        known = {numbers[name]: _code(FAKED) for name in FAKED_CALLS if name in numbers}
        return dispatch(known, _code(ALLOW))

    return assemble(calls, machine)


def cached(run: Path, capabilities: frozenset[str], *, one_id: bool = False) -> Path:
    """Return `<run>/seccomp-<hash>.bpf` with the default filter, compiling it when absent.

    The name is a hash of the profile's sources and of those capabilities it asks about: a later
    version of the profile never meets an older file.
    """
    asked = " ".join(sorted(capabilities & GRANTED.keys()))
    what = f"one id {asked}" if one_id else asked
    return kept(run, what, lambda: default_filter(capabilities, one_id=one_id))


def kept(run: Path, what: str, compiled: Callable[[], bytes]) -> Path:
    """Return the file of the filter that `what` describes, written when it is not there."""
    name = hashlib.sha256(f"{_version()} {os.uname().machine} {what}".encode()).hexdigest()[:16]
    path = run / f"seccomp-{name}.bpf"
    if not path.exists():
        _write(path, compiled())
    return path


@functools.cache
def table(architecture: str) -> dict[str, int]:
    """Return the numbers of an architecture's calls by name."""
    lines = Path(__file__).with_name("syscalls.txt").read_text("ascii").splitlines()
    column = lines[1].split().index(architecture) - 1
    rows = (line.split() for line in lines if not line.startswith("#"))
    return {row[0]: int(row[column]) for row in rows if row[column] != "-"}


def dispatch(known: dict[int, bpf.Piece], unknown: bpf.Piece) -> bpf.Piece:
    """Return the code that does with a call's number what `known` has for it."""
    ranges = [(0, known.get(0, unknown))]
    for number in sorted(known.keys() | {number + 1 for number in known}):
        piece = known.get(number, unknown)
        if piece != ranges[-1][1]:
            ranges.append((number, piece))
    return bpf.search(ranges)


def _calls(numbers: dict[str, int], allowed: dict[str, Verdict]) -> bpf.Piece:
    known = {number: _code(allowed.get(name, EPERM)) for name, number in numbers.items()}
    return dispatch(known, _code(ENOSYS))


def _code(verdict: Verdict) -> bpf.Piece:
    if isinstance(verdict, Refuse):
        return bpf.ret(SECCOMP_RET_ERRNO | verdict.errno)
    if verdict == ALLOW:
        return bpf.ret(SECCOMP_RET_ALLOW)
    yes, no = bpf.ret(SECCOMP_RET_ALLOW), bpf.ret(SECCOMP_RET_ERRNO | EPERM.errno)
    ranges = [(0, yes if 0 in verdict.values else no)]
    for value in sorted({v + step for v in verdict.values for step in (0, 1)}):
        piece = yes if value in verdict.values else no
        if piece != ranges[-1][1] and value <= 0xFFFFFFFF:
            ranges.append((value, piece))
    low_word = bpf.ARGUMENTS + 8 * verdict.argument  # both machines are little-endian
    return bpf.load(low_word, bpf.masked(verdict.mask, bpf.search(ranges)))


@functools.cache
def _version() -> str:
    """Return a hash of everything that the bytes are made from."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.*")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _write(path: Path, content: bytes) -> None:
    """Write the file under another name, then give it its own: present means whole."""
    fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=".seccomp-")
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(fd)
    os.rename(temporary, path)
