"""The compiled filter says what libseccomp's says for the same list, call by call."""

import errno
import re
from pathlib import Path

import bpf_interpreter as bpf
import pytest
from libseccomp import ARCHES, Libseccomp

from ipycontainer_runtime.errors import Unavailable
from ipycontainer_runtime.linux import capabilities, seccomp
from ipycontainer_runtime.linux.seccomp import profile
from support.needs import require

MACHINE = {"x86_64": "x86_64", "i386": "x86_64", "aarch64": "aarch64", "arm": "aarch64"}
EPERM, ENOSYS = 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
X32 = 0x40000000
SETS = {
    "default": capabilities.DEFAULT,
    "none": frozenset[str](),
    "admin": capabilities.DEFAULT | {"CAP_SYS_ADMIN"},
    "all": frozenset(capabilities.NAMES),
}
INTERESTING = sorted(
    {0, 1, 2, 7, 8, 16, 17, 20, 21, 38, 40, 0x20000, 0x20008, 0x40000, 0xFFFFFFFF, 0x80000000}
    | {1 << bit for bit in range(32)}
    | set(range(48))
    | {0x1200011, 0x3D0F00, 0x7D0F00, (1 << 32) | 1, (1 << 32) | 38, (1 << 63)}
)


@pytest.fixture(scope="module")
def libseccomp() -> Libseccomp:
    return Libseccomp()


def verdict(arch: str, names: frozenset[str], call: str, *arguments: int) -> int:
    program = bpf.unpack(seccomp.default_filter(names, MACHINE[arch]))
    return bpf.run(program, ARCHES[arch], seccomp.table(arch)[call], *arguments)


@pytest.mark.parametrize("arch", ARCHES)
def test_the_table_is_libseccomps_and_what_is_newer(arch: str, libseccomp: Libseccomp) -> None:
    ours, theirs = seccomp.table(arch), libseccomp.numbers(arch)
    assert theirs.items() <= ours.items()
    assert all(number > 450 or number in (335, 336) for _, number in ours.items() - theirs.items())


@pytest.mark.parametrize(
    ("arch", "header"),
    [
        ("x86_64", "asm/unistd_64.h"),
        ("i386", "asm/unistd_32.h"),
        ("aarch64", "asm-generic/unistd.h"),
    ],
)
def test_the_table_is_the_kernel_headers(arch: str, header: str) -> None:
    paths = [*Path("/usr/include").glob(f"*/{header}"), Path("/usr/include", header)]
    require("kernel headers")
    text = next(path for path in paths if path.exists()).read_text()
    numbers = {name: int(n) for name, n in re.findall(r"#define __NR_(\w+)\s+(\d+)\b", text)}
    names = ("syscalls", "arch_specific_syscall", "sync_file_range2")
    numbers = {name: number for name, number in numbers.items() if name not in names}
    if arch == "aarch64":  # the generic header has the calls of 32-bit machines, too
        numbers = {name: number for name, number in numbers.items() if not 403 <= number <= 423}
    assert len(numbers) > 250
    table = seccomp.table(arch)
    assert {name: table.get(name) for name in numbers} == numbers


@pytest.mark.parametrize("names", SETS.values(), ids=SETS)
@pytest.mark.parametrize("arch", ARCHES)
def test_every_verdict_is_libseccomps(
    arch: str, names: frozenset[str], libseccomp: Libseccomp
) -> None:
    verdicts = profile.verdicts(names)
    if arch == "i386":
        # libseccomp answers `socket` by allowing socketcall's SYS_SOCKET for any family.
        del verdicts["socket"]
    ours = bpf.unpack(seccomp.default_filter(names, MACHINE[arch]))
    theirs = bpf.unpack(libseccomp.compile(arch, verdicts, errno.EPERM))
    known, compared = libseccomp.numbers(arch), 0
    for name, number in seccomp.table(arch).items():
        if name not in known or (arch == "i386" and name == "socket"):
            continue
        rule = verdicts.get(name)
        conditional = isinstance(rule, profile.Allow) and rule.values
        for argument in INTERESTING if conditional else (0, 0x7E020080):
            call = (ARCHES[arch], number, argument)
            assert bpf.run(ours, *call) == bpf.run(theirs, *call), (name, hex(argument))
            compared += 1
    assert compared > 600


def test_i386_sockets_are_of_the_same_families_as_others() -> None:
    for family in range(64):
        wanted = bpf.ALLOW if family in profile.FAMILIES else EPERM
        for arch in ARCHES:
            assert verdict(arch, capabilities.DEFAULT, "socket", family) == wanted


@pytest.mark.parametrize("family", [38, 40], ids=["AF_ALG", "AF_VSOCK"])
def test_the_two_dangerous_families_are_refused(family: int) -> None:
    for arch in ARCHES:
        assert verdict(arch, frozenset(capabilities.NAMES), "socket", family) == EPERM


def test_socketcall_makes_no_socket_and_does_the_rest() -> None:
    for number in range(1, 21):
        wanted = EPERM if number == 1 else bpf.ALLOW
        assert verdict("i386", capabilities.DEFAULT, "socketcall", number) == wanted


@pytest.mark.parametrize("arch", ARCHES)
def test_clone_makes_no_namespace_but_for_an_administrator(arch: str) -> None:
    thread, fork = 0x3D0F00, 17
    for flags in (thread, fork):
        assert verdict(arch, capabilities.DEFAULT, "clone", flags) == bpf.ALLOW
    for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert verdict(arch, capabilities.DEFAULT, "clone", flag | fork) == EPERM
        assert verdict(arch, SETS["admin"], "clone", flag | fork) == bpf.ALLOW


@pytest.mark.parametrize("arch", ARCHES)
def test_clone3_is_unknown_but_to_an_administrator(arch: str) -> None:
    assert verdict(arch, capabilities.DEFAULT, "clone3") == ENOSYS
    assert verdict(arch, SETS["admin"], "clone3") == bpf.ALLOW


REFUSED = """
    acct add_key bpf delete_module fanotify_init finit_module fsconfig fsmount fsopen fspick
    init_module io_uring_enter io_uring_register io_uring_setup kcmp kexec_file_load kexec_load
    keyctl lookup_dcookie mbind mount mount_setattr move_mount open_by_handle_at open_tree
    perf_event_open pidfd_getfd pivot_root quotactl reboot request_key setdomainname sethostname
    setns settimeofday swapoff swapon syslog umount2 unshare userfaultfd vhangup
"""


@pytest.mark.parametrize("call", REFUSED.split())
def test_by_default_it_is_refused(call: str) -> None:
    for arch in ARCHES:
        if call in seccomp.table(arch):
            assert verdict(arch, capabilities.DEFAULT, call) == EPERM, arch


NEVER = "io_uring_setup kexec_load keyctl pivot_root userfaultfd add_key swapon"


@pytest.mark.parametrize("call", NEVER.split())
def test_no_capability_allows_it(call: str) -> None:
    assert verdict("x86_64", frozenset(capabilities.NAMES), call) == EPERM


@pytest.mark.parametrize("capability", profile.GRANTED)
def test_a_capability_allows_its_calls(capability: str) -> None:
    calls = profile.GRANTED[capability] & seccomp.table("x86_64").keys()
    for call in calls:
        assert verdict("x86_64", frozenset(), call, 0x10000000) != bpf.ALLOW, call
        assert verdict("x86_64", frozenset({capability}), call, 0x10000000) == bpf.ALLOW, call


@pytest.mark.parametrize("arch", ARCHES)
def test_later_kernels_calls_are_unknown(arch: str) -> None:
    program = bpf.unpack(seccomp.default_filter(capabilities.DEFAULT, MACHINE[arch]))
    for number in (600, 1000, 0x3FFFFFFF, 0xFFFFFFFF):
        assert bpf.run(program, ARCHES[arch], number) == ENOSYS


def test_x32_calls_are_unknown() -> None:
    program = bpf.unpack(seccomp.default_filter(SETS["all"], "x86_64"))
    for number in range(600):
        assert bpf.run(program, ARCHES["x86_64"], X32 | number) == ENOSYS


def test_another_architecture_is_killed() -> None:
    for machine, others in {"x86_64": ("aarch64", "arm"), "aarch64": ("x86_64", "i386")}.items():
        program = bpf.unpack(seccomp.default_filter(SETS["all"], machine))
        for other in others:
            assert bpf.run(program, ARCHES[other], 0) == bpf.KILL_PROCESS


def test_the_arguments_of_calls_past_the_first_do_not_matter() -> None:
    for arch in ARCHES:
        assert verdict(arch, capabilities.DEFAULT, "clone", 17, 0x10000000, 38) == bpf.ALLOW


def test_the_profile_names_no_call_that_does_not_exist() -> None:
    known = {name for arch in ARCHES for name in seccomp.table(arch)}
    granted = {name for names in profile.GRANTED.values() for name in names}
    assert profile.ALLOWED | granted | profile.CONDITIONAL.keys() <= known


def test_a_machine_without_a_table_is_not_left_unfiltered() -> None:
    with pytest.raises(Unavailable, match=r"riscv64.*seccomp=unconfined"):
        seccomp.default_filter(capabilities.DEFAULT, "riscv64")
