"""Which devices the processes of a cgroup may use, on cgroup v2: an eBPF program of the rules.

v1 has a controller for it, which is told one rule after the other and keeps what they come to. Here
the kernel asks a program at each open and each mknod. It looks at the rules from the last to the
first: what is still asked for is refused by the first that denies any of it, and granted once
nothing is left that no rule has allowed. What no rule is about is granted, as on v1.

Source: include/uapi/linux/bpf.h, Documentation/bpf/standardization/instruction-set.rst.
"""

import ctypes
import os
import struct
from collections.abc import Iterable
from typing import NamedTuple

# Sorted: include/uapi/linux/bpf.h.
BPF_CGROUP_DEVICE = 6
BPF_DEVCG_ACC = {"m": 1, "r": 2, "w": 4}
BPF_DEVCG_DEV = {"b": 1, "c": 2}
BPF_F_ALLOW_MULTI = 2
BPF_PROG_ATTACH = 8
BPF_PROG_LOAD = 5
BPF_PROG_TYPE_CGROUP_DEVICE = 15
NR_BPF = {"aarch64": 280, "x86_64": 321}

AND, EXIT, JEQ, JNE, LOAD, MOVE, MOVE_REGISTER, SHIFT_RIGHT = (
    *(0x57, 0x95, 0x15, 0x55),
    *(0x61, 0xB7, 0xBF, 0x77),
)
# The program's registers: its answer, the context that it is given, and what that says.
ANSWER, CONTEXT, KIND, LEFT, MAJOR, MINOR = range(6)

_ANY = None


class DeviceRule(NamedTuple):
    """Devices of a kind (b, c, or a for both) and numbers, None for any, and r, w, m of them."""

    allow: bool
    kind: str = "a"
    major: int | None = _ANY
    minor: int | None = _ANY
    access: str = "rwm"


def attach(folder: str, rules: Iterable[DeviceRule]) -> None:
    """Have the kernel ask these rules of whatever is in a cgroup, and in those below it.

    Raises OSError: EPERM where CAP_BPF or CAP_NET_ADMIN of the machine is lacking, ENOSYS or EINVAL
    where the kernel has no such programs. The program goes with the cgroup.
    """
    code = ctypes.create_string_buffer(program(rules))
    license_name = ctypes.create_string_buffer(b"GPL")
    count = (len(code) - 1) // 8
    where = ctypes.addressof(code), ctypes.addressof(license_name)
    loaded = _bpf(BPF_PROG_LOAD, struct.pack("=IIQQ", BPF_PROG_TYPE_CGROUP_DEVICE, count, *where))
    try:
        cgroup = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            asked = (cgroup, loaded, BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI)
            _bpf(BPF_PROG_ATTACH, struct.pack("=IIII", *asked))
        finally:
            os.close(cgroup)
    finally:
        os.close(loaded)


def program(rules: Iterable[DeviceRule]) -> bytes:
    """Return the rules as an array of `struct bpf_insn`."""
    # struct bpf_cgroup_dev_ctx: access in the upper half of the first word and kind in the lower.
    code = _one(LOAD, KIND, CONTEXT, 0) + _one(MOVE_REGISTER, LEFT, KIND)
    code += _one(AND, KIND, value=0xFFFF) + _one(SHIFT_RIGHT, LEFT, value=16)
    code += _one(LOAD, MAJOR, CONTEXT, 4) + _one(LOAD, MINOR, CONTEXT, 8)
    for rule in reversed(list(rules)):
        code += _tested(rule)
    return code + _answer(True)


def _tested(rule: DeviceRule) -> bytes:
    access = sum(BPF_DEVCG_ACC[letter] for letter in set(rule.access))
    if rule.allow:
        answer = _answer(True)
        code = _one(AND, LEFT, value=~access & 7) + _past(JNE, LEFT, 0, answer) + answer
    else:
        answer = _answer(False)
        code = _one(MOVE_REGISTER, ANSWER, LEFT) + _one(AND, ANSWER, value=access)
        code += _past(JEQ, ANSWER, 0, answer) + answer
    asked = {MINOR: rule.minor, MAJOR: rule.major, KIND: BPF_DEVCG_DEV.get(rule.kind)}
    for register, value in asked.items():
        if value is not None:
            code = _past(JNE, register, value, code) + code
    return code


def _answer(granted: bool) -> bytes:
    return _one(MOVE, ANSWER, value=int(granted)) + _one(EXIT)


def _past(test: int, register: int, value: int, code: bytes) -> bytes:
    """Jump over `code` where the test holds."""
    return _one(test, register, offset=len(code) // 8, value=value)


def _one(code: int, to: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return struct.pack("=BBhi", code, to | source << 4, offset, value)


def _bpf(command: int, attributes: bytes) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    given = ctypes.create_string_buffer(attributes, 128)  # zeros are taken for what is not given
    number = NR_BPF.get(os.uname().machine, -1)
    result = libc.syscall(ctypes.c_long(number), ctypes.c_int(command), given, ctypes.c_uint(128))
    if result < 0:
        failed = ctypes.get_errno()
        raise OSError(failed, os.strerror(failed), "bpf")
    return int(result)
