"""libseccomp by ctypes: the reference that our table and our compiler are held against."""

import ctypes
import ctypes.util
import os
import tempfile

from ipycontainer_runtime.linux.seccomp.profile import Allow, Verdict
from support.needs import require

ARCHES = {"x86_64": 0xC000003E, "i386": 0x40000003, "aarch64": 0xC00000B7, "arm": 0x40000028}
SCMP_ACT_ALLOW = 0x7FFF0000
SCMP_ACT_ERRNO = 0x00050000
SCMP_CMP_MASKED_EQ = 7
SCMP_FLTATR_CTL_OPTIMIZE = 8
BINARY_TREE = 2


class Comparison(ctypes.Structure):
    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


class Libseccomp:
    def __init__(self) -> None:
        require("libseccomp")
        name = ctypes.util.find_library("seccomp")
        self._library = library = ctypes.CDLL(name)
        library.seccomp_init.restype = ctypes.c_void_p
        library.seccomp_init.argtypes = (ctypes.c_uint32,)
        for function, arguments in {
            "seccomp_arch_add": (ctypes.c_void_p, ctypes.c_uint32),
            "seccomp_arch_native": (),
            "seccomp_arch_remove": (ctypes.c_void_p, ctypes.c_uint32),
            "seccomp_attr_set": (ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32),
            "seccomp_export_bpf": (ctypes.c_void_p, ctypes.c_int),
            "seccomp_release": (ctypes.c_void_p,),
            "seccomp_syscall_resolve_name": (ctypes.c_char_p,),
            "seccomp_syscall_resolve_num_arch": (ctypes.c_uint32, ctypes.c_int),
        }.items():
            getattr(library, function).argtypes = arguments
        library.seccomp_arch_native.restype = ctypes.c_uint32
        library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_char_p
        library.seccomp_rule_add_array.argtypes = (
            ctypes.c_void_p,
            ctypes.c_uint32,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.POINTER(Comparison),
        )

    def numbers(self, arch: str) -> dict[str, int]:
        """Return the numbers that it knows, by name; not asked by name, since for a call that

        i386 has both directly and through a multiplexer it answers a made-up number to a name.
        """
        asked = (*range(1000), *range(0xF0000, 0xF0010))
        return {name: number for number in asked if (name := self.name(arch, number))}

    def name(self, arch: str, number: int) -> str | None:
        found = self._library.seccomp_syscall_resolve_num_arch(ARCHES[arch], number)
        return found.decode() if found else None

    def compile(self, arch: str, verdicts: dict[str, Verdict], otherwise: int) -> bytes:
        """Return the BPF program for one architecture, refusing unnamed calls with an errno."""
        context = self._begin(arch, SCMP_ACT_ERRNO | otherwise)
        for name, verdict in verdicts.items():
            self._add(context, name, verdict)
        return self._end(context)

    def compile_rules(
        self, arch: str, default: int, rules: dict[str, list[tuple[int, list[Comparison]]]]
    ) -> bytes:
        """Return the BPF program of (action, what arguments are asked) by the call's name."""
        context = self._begin(arch, default)
        for name, of_call in rules.items():
            number = self._library.seccomp_syscall_resolve_name(name.encode())
            for action, asked in of_call if number != -1 else ():
                self._rule(context, action, number, *asked)
        return self._end(context)

    def _begin(self, arch: str, default: int) -> int:
        library = self._library
        context: int = library.seccomp_init(default)
        native = library.seccomp_arch_native()
        if native != ARCHES[arch]:
            assert library.seccomp_arch_remove(context, native) == 0
            assert library.seccomp_arch_add(context, ARCHES[arch]) == 0
        assert library.seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, BINARY_TREE) == 0
        return context

    def _end(self, context: int) -> bytes:
        with tempfile.TemporaryFile() as file:
            assert self._library.seccomp_export_bpf(context, file.fileno()) == 0
            self._library.seccomp_release(context)
            return os.pread(file.fileno(), 1 << 20, 0)

    def _add(self, context: int, name: str, verdict: Verdict) -> None:
        number = self._library.seccomp_syscall_resolve_name(name.encode())
        if number == -1:
            return  # a call later than this libseccomp
        if not isinstance(verdict, Allow):
            self._rule(context, SCMP_ACT_ERRNO | verdict.errno, number)
        elif not verdict.values:
            self._rule(context, SCMP_ACT_ALLOW, number)
        else:
            for value in verdict.values:
                asked = Comparison(verdict.argument, SCMP_CMP_MASKED_EQ, verdict.mask, value)
                self._rule(context, SCMP_ACT_ALLOW, number, asked)

    def _rule(self, context: int, action: int, number: int, *asked: Comparison) -> None:
        array = (Comparison * len(asked))(*asked)
        add = self._library.seccomp_rule_add_array
        assert add(context, action, number, len(asked), array) == 0
