"""Memory that work left behind in the allocator: kept small, and given back to the machine."""

import ctypes

_M_ARENA_MAX = -8  # malloc.h of glibc
_ARENAS = 2
"""As many as threads that allocate at once where one of them has Python's lock."""


def keep_little() -> None:
    """Have threads share what they freed; called once, before there are any.

    glibc gives each thread an arena, up to eight for a processor. What a capture or a pull read and
    freed stays in its thread's, 25 MB, and another thread does the next: they would add up.
    """
    if mallopt := _glibc("mallopt"):
        mallopt(ctypes.c_int(_M_ARENA_MAX), ctypes.c_int(_ARENAS))


def give_back() -> None:
    """Return freed memory to the kernel; called on a thread, some time after bulk work.

    What threads free that pull or commit stays in arenas: tens of megabytes, which only
    malloc_trim(3) gives back.
    """
    if trim := _glibc("malloc_trim"):
        trim(ctypes.c_size_t(0))


def _glibc(name: str) -> "ctypes._NamedFuncPointer | None":
    """Return a function of glibc; None of musl, which keeps nothing and has none of these."""
    found: ctypes._NamedFuncPointer | None = getattr(ctypes.CDLL(None), name, None)
    return found
