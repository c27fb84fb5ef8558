"""The kernel's interpreter of classic BPF, as far as seccomp programs use it."""

import struct

ALLOW, KILL_PROCESS = 0x7FFF0000, 0x80000000

Program = list[tuple[int, int, int, int]]


def unpack(content: bytes) -> Program:
    return list(struct.iter_unpack("=HBBI", content))


def run(program: Program, architecture: int, number: int, *arguments: int) -> int:
    """Return the action for one system call."""
    padded = (*arguments, *(0,) * (6 - len(arguments)))
    words = struct.unpack("<16I", struct.pack("<IIQ6Q", number, architecture, 0, *padded))
    at = accumulator = 0
    while True:
        code, yes, no, k = program[at]
        at += 1
        if code == 0x20:
            assert k % 4 == 0
            accumulator = words[k // 4]
        elif code == 0x54:
            accumulator &= k
        elif code == 0x05:
            at += k
        elif code == 0x06:
            return k
        else:
            at += yes if _holds(code, accumulator, k) else no


def _holds(code: int, accumulator: int, k: int) -> bool:
    return {
        0x15: accumulator == k,
        0x25: accumulator > k,
        0x35: accumulator >= k,
        0x45: bool(accumulator & k),
    }[code]
