"""The filter, installed in a child: what the kernel then answers.

Each refusal is also asked for without the filter, where the kernel must answer something else.
"""

import ctypes
import errno
import json
import mmap
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from ipycontainer_runtime.linux import capabilities, seccomp

pytestmark = [
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="needs an x86_64 kernel"),
    pytest.mark.ordinary_user,
]

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
CLONE_NEWUSER = 0x10000000
NONE = 0xFFFFFFFF
NUMBERS = seccomp.table("x86_64")

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


class Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def install(content: bytes) -> None:
    program = Program(len(content) // 8, content)
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) == 0


def in_child(question: Callable[[], object], content: bytes | None) -> object:
    """Return the answer of a child that has the filter; a signal's number, negative, if killed."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if content is not None:
                install(content)
            os.write(writer, json.dumps(question()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        said = file.read()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code else json.loads(said)


def syscall(number: int, *arguments: int | bytes | None) -> int:
    """Return the errno of a call, 0 when it succeeds."""
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    ctypes.set_errno(0)
    return ctypes.get_errno() if libc.syscall(ctypes.c_long(number), *words) < 0 else 0


def int80(number: int, *arguments: int) -> int:
    """Make an i386 system call from 64-bit code; return what it returns, or minus errno.

    push rbx; mov eax, number; mov ebx, ecx, edx, arguments; int 0x80; pop rbx; ret
    """
    a, b, c = (*arguments, 0, 0, 0)[:3]
    words = (0xB8, number), (0xBB, a), (0xB9, b), (0xBA, c)
    loads = b"".join(bytes([code]) + word.to_bytes(4, "little") for code, word in words)
    memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(b"\x53" + loads + b"\xcd\x80\x5b\xc3")
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    return int(ctypes.CFUNCTYPE(ctypes.c_int)(address)())


@pytest.fixture(scope="module")
def default() -> bytes:
    return seccomp.default_filter(capabilities.DEFAULT)


# Arguments with which root is answered something other than EPERM, and nothing happens.
REFUSED = {
    "add_key": (None, None, None, 0, 0),
    "bpf": (-1, None, 0),
    "clone": (CLONE_NEWUSER | 0x20000,),
    "fsopen": (None, 0),
    "io_uring_setup": (0, None),
    "keyctl": (-1,),
    "mount": (None, None, None, 0, None),
    "open_by_handle_at": (-1, None, 0),
    "perf_event_open": (None, 0, 0, -1, 0),
    "personality": (0x40000,),
    "setns": (-1, 0),
    "umount2": (b"/no/such/folder", 0),
    "unshare": (CLONE_NEWUSER,),
    "userfaultfd": (NONE,),
}


@pytest.mark.parametrize("call", REFUSED)
def test_a_refused_call_is_refused_by_the_filter_alone(call: str, default: bytes) -> None:
    def question() -> int:
        if call == "clone":  # in a grandchild nobody waits for, should it succeed
            pid = libc.syscall(NUMBERS[call], CLONE_NEWUSER | 17, None, None, None, None)
            if pid == 0:
                os._exit(0)
            return ctypes.get_errno() if pid < 0 else 0
        return syscall(NUMBERS[call], *REFUSED[call])

    assert in_child(question, default) == errno.EPERM
    if os.getuid() == 0:
        assert in_child(question, None) != errno.EPERM


def test_clone3_says_that_it_does_not_exist(default: bytes) -> None:
    assert in_child(lambda: syscall(NUMBERS["clone3"], None, 0), default) == errno.ENOSYS
    assert in_child(lambda: syscall(NUMBERS["clone3"], None, 0), None) == errno.EINVAL


@pytest.mark.parametrize("number", [600, 100000, 0x40000000 | 39])
def test_a_number_of_no_call_says_so(number: int, default: bytes) -> None:
    assert in_child(lambda: syscall(number), default) == errno.ENOSYS


def family(number: int) -> int:
    try:
        socket.socket(number, socket.SOCK_STREAM).close()
    except OSError as error:
        return error.errno or 0
    return 0


def test_ordinary_sockets_are_made(default: bytes) -> None:
    for number in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6):
        assert in_child(lambda number=number: family(number), default) == 0


@pytest.mark.parametrize("number", [38, 40], ids=["AF_ALG", "AF_VSOCK"])
def test_dangerous_sockets_are_refused(number: int, default: bytes) -> None:
    assert in_child(lambda: family(number), default) == errno.EPERM
    assert in_child(lambda: family(number), None) != errno.EPERM


def test_a_family_with_bits_that_the_kernel_drops_is_no_way_around(default: bytes) -> None:
    hidden = (1 << 32) | 38
    assert in_child(lambda: syscall(NUMBERS["socket"], hidden, 5, 0), default) == errno.EPERM


@pytest.fixture(scope="module")
def i386() -> dict[str, int]:
    numbers = seccomp.table("i386")
    if in_child(lambda: int80(numbers["getpid"]) > 0, None) is not True:
        pytest.skip("this kernel runs no i386 programs")
    return numbers


def test_int80_is_no_escape(i386: dict[str, int], default: bytes) -> None:
    calls = {
        "unshare": (CLONE_NEWUSER,),
        "keyctl": (NONE,),
        "mount": (0, 0, 0),
        "bpf": (NONE, 0, 0),
        "socket": (38, 5, 0),
        "socketcall": (1, 0),
        "personality": (0x40000,),
        "io_uring_setup": (0, 0),
    }
    for call, arguments in calls.items():
        question = (int80, i386[call], *arguments)
        assert in_child(lambda q=question: q[0](*q[1:]), default) == -errno.EPERM, call
        if os.getuid() == 0:
            assert in_child(lambda q=question: q[0](*q[1:]), None) != -errno.EPERM, call


def test_i386_programs_work_for_the_rest(i386: dict[str, int], default: bytes) -> None:
    assert in_child(lambda: int80(i386["getpid"]) == os.getpid(), default) is True
    assert in_child(lambda: int80(i386["socket"], socket.AF_UNIX, 1, 0) > 0, default) is True
    # connect by way of socketcall gets as far as its arguments, which are not there
    assert in_child(lambda: int80(i386["socketcall"], 3, 0), default) == -errno.EFAULT


def test_the_same_number_means_another_call_to_i386(i386: dict[str, int], default: bytes) -> None:
    # 310 is unshare to i386 and process_vm_readv, which is allowed, to x86_64
    assert i386["unshare"] == NUMBERS["process_vm_readv"]
    assert in_child(lambda: int80(310, CLONE_NEWUSER), default) == -errno.EPERM


def test_a_capability_lets_its_calls_through() -> None:
    content = seccomp.default_filter(capabilities.DEFAULT | {"CAP_SYS_ADMIN"})
    assert in_child(lambda: syscall(NUMBERS["setns"], -1, 0), content) == errno.EBADF


def test_python_runs_threads_and_programs_under_the_filter(default: bytes) -> None:
    def question() -> str:
        import subprocess
        import threading

        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()
        return subprocess.run(["echo", "hello"], capture_output=True, text=True).stdout

    assert in_child(question, default) == "hello\n"


def test_the_process_says_that_it_is_filtered(default: bytes) -> None:
    status = in_child(lambda: Path("/proc/self/status").read_text(), default)
    assert "Seccomp:\t2\n" in str(status)


def test_compiled_bytes_are_kept_by_their_capabilities(tmp_path: Path) -> None:
    first = seccomp.cached(tmp_path, capabilities.DEFAULT)
    assert first.read_bytes() == seccomp.default_filter(capabilities.DEFAULT)
    made = first.stat().st_mtime_ns
    assert seccomp.cached(tmp_path, capabilities.DEFAULT) == first
    assert first.stat().st_mtime_ns == made
    # CAP_KILL changes nothing in the filter, CAP_SYS_TIME does
    assert seccomp.cached(tmp_path, capabilities.DEFAULT - {"CAP_KILL"}) == first
    assert seccomp.cached(tmp_path, capabilities.DEFAULT | {"CAP_SYS_TIME"}) != first
    assert sorted(os.listdir(tmp_path)) == sorted({p.name for p in tmp_path.glob("seccomp-*.bpf")})


FAKED = {
    "chown": (b"/no/such/file", 1, 1),
    "fchown": (-1, 1, 1),
    "fchownat": (-1, b"no", 1, 1, 0),
    "lchown": (b"/no/such/file", 1, 1),
    "setgroups": (-1, None),
    "setresgid": (7, 7, 7),
    "setresuid": (7, 7, 7),
    "setuid": (7,),
}


@pytest.mark.parametrize("call", FAKED)
@pytest.mark.parametrize("confined", [True, False], ids=["confined", "unconfined"])
def test_with_one_id_a_change_of_owner_seems_to_succeed(call: str, confined: bool) -> None:
    one = seccomp.default_filter(capabilities.DEFAULT, one_id=True)
    content = one if confined else seccomp.faking_filter()
    before = os.getresuid(), os.getresgid()

    def question() -> tuple[int, bool]:
        answered = syscall(NUMBERS[call], *FAKED[call])
        return answered, (os.getresuid(), os.getresgid()) == before

    assert in_child(question, content) == [0, True]
    refused = in_child(lambda: syscall(NUMBERS["personality"], 0x40000), content)
    assert refused == (errno.EPERM if confined else 0)
