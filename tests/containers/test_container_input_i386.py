"""Programs that wait for input by the system calls of i386, some of them in 64-bit code."""

import io
import platform
import struct
import tarfile

import pytest

from support.calls import Make, start
from support.engines import Engine
from support.inputs import Listener

pytestmark = [pytest.mark.needs("docker", "busybox"), pytest.mark.ordinary_user]

INPUT = {"OpenStdin": True, "StdinOnce": True}


def program(bits: int, code: bytes) -> bytes:
    """Return the tar of an executable, /tmp/asks, that is nothing but this code."""
    base = 0x400000
    kind = b"\x7fELF" + bytes((bits // 32, 1, 1))
    if bits == 32:
        size = 84
        header = struct.pack("<16sHHI", kind, 2, 3, 1) + struct.pack("<3I", base + size, 52, 0)
        header += struct.pack("<I6H", 0, 52, 32, 1, 0, 0, 0)
        header += struct.pack("<8I", 1, 0, base, base, size + len(code), size + len(code), 7, 4096)
    else:
        size = 120
        header = struct.pack("<16sHHI", kind, 2, 62, 1) + struct.pack("<3Q", base + size, 64, 0)
        header += struct.pack("<I6H", 0, 64, 56, 1, 0, 0, 0)
        whole = size + len(code)
        header += struct.pack("<II6Q", 1, 7, 0, base, base, whole, whole, 4096)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        entry = tarfile.TarInfo("tmp/asks")
        entry.size, entry.mode = len(header) + len(code), 0o755
        tar.addfile(entry, io.BytesIO(header + code))
    return out.getvalue()


def int80(number: int, *arguments: int) -> bytes:
    """mov eax, ebx, ecx, edx, esi, edi; int 0x80; and, should it return, hlt."""
    moves = (0xB8, 0xBB, 0xB9, 0xBA, 0xBE, 0xBF)
    values = (number, *arguments, *(0,) * (5 - len(arguments)))
    code = b"".join(struct.pack("<BI", m, v) for m, v in zip(moves, values, strict=True))
    return code + b"\xcd\x80\xf4"


def with_data(bits: int, number: int, data: bytes, *arguments: int | None) -> bytes:
    """The same with data behind it; None stands for their address."""
    at = 0x400000 + (84 if bits == 32 else 120) + len(int80(0))
    return int80(number, *(at if value is None else value for value in arguments)) + data


I386 = {
    "read": (3, b" ", (0, None, 1)),
    "poll": (168, struct.pack("<ihh", 0, 1, 0), (None, 1, 0xFFFFFFFF)),
    "select": (142, b"\1" + bytes(127), (1, None, 0, 0, 0)),
    # Its set is the beginning of the program, 0x7f: descriptors 0 to 6, of which it takes one.
    "the old select": (82, struct.pack("<5I", 1, 0x400000, 0, 0, 0), (None,)),
}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="these are programs of x86_64")
@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("case", I386)
def test_a_program_that_waits_by_i386s_numbers_is_seen(
    shared_engine: Engine, make: Make, case: str, bits: int
) -> None:
    number, data, arguments = I386[case]
    container = make("/tmp/asks", **INPUT)
    archive = program(bits, with_data(bits, number, data, *arguments))
    assert shared_engine.client.api.put_archive(container, "/", archive)
    with Listener(shared_engine, container) as listener:
        start(shared_engine, container)
        assert listener.question()["process"] == "asks"
