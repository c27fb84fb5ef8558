"""An assembler for classic BPF, as far as seccomp needs it.

A program is built bottom up from pieces that all end by returning, so no piece needs a label: a
branch is a test with the piece for yes right behind it and the piece for no behind that.

Source: Documentation/userspace-api/seccomp_filter.rst, include/uapi/linux/filter.h.
"""

import struct
from typing import NamedTuple

# Operation codes, sorted: include/uapi/linux/bpf_common.h.
BPF_ALU_AND_K = 0x54
BPF_JMP_JA = 0x05
BPF_JMP_JEQ_K = 0x15
BPF_JMP_JGT_K = 0x25
BPF_JMP_JGE_K = 0x35
BPF_LD_W_ABS = 0x20
BPF_RET_K = 0x06
BPF_MAXINSNS = 4096

# struct seccomp_data: number, architecture, instruction pointer (8 bytes), six arguments.
NUMBER = 0
ARCHITECTURE = 4
ARGUMENTS = 16


class Instruction(NamedTuple):
    """One `struct sock_filter`: `jt` and `jf` count the instructions to skip."""

    code: int
    jt: int
    jf: int
    k: int


Piece = tuple[Instruction, ...]


def ret(action: int) -> Piece:
    """Return from the filter with this action."""
    return (Instruction(BPF_RET_K, 0, 0, action),)


def load(offset: int, then: Piece) -> Piece:
    """Load the 32-bit word at `offset` of struct seccomp_data, then go on."""
    return (Instruction(BPF_LD_W_ABS, 0, 0, offset), *then)


def masked(mask: int, then: Piece) -> Piece:
    """Keep the bits in `mask` of what was loaded, then go on."""
    if mask == 0xFFFFFFFF:
        return then
    return (Instruction(BPF_ALU_AND_K, 0, 0, mask), *then)


def branch(test: int, k: int, yes: Piece, no: Piece) -> Piece:
    """Test what was loaded against `k`; a conditional jump reaches 255 instructions, JA any."""
    if len(yes) <= 255:
        return (Instruction(test, 0, len(yes), k), *yes, *no)
    over = Instruction(BPF_JMP_JA, 0, 0, len(yes))
    return (Instruction(test, 1, 0, k), over, *yes, *no)


def search(ranges: "list[tuple[int, Piece]]") -> Piece:
    """Find by halving the range that holds what was loaded.

    `ranges` are (first number, piece) in order; the first begins with 0, each ends where the next
    begins.
    """
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    return branch(
        BPF_JMP_JGE_K, ranges[middle][0], search(ranges[middle:]), search(ranges[:middle])
    )


def pack(program: Piece) -> bytes:
    """Return the program as an array of `struct sock_filter`."""
    if len(program) > BPF_MAXINSNS:
        raise ValueError(f"{len(program)} instructions; the kernel takes {BPF_MAXINSNS}")
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
