"""Memory that work left behind in the allocator, given back to the machine."""

import ctypes


def give_back() -> None:
    """Return freed memory to the kernel; called on a thread, some time after bulk work.

    glibc keeps an arena for each thread, and what threads free that pull or commit stays in theirs:
    tens of megabytes, which only malloc_trim(3) gives back. musl does not, and has no such call.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))
