"""A user namespace that nobody is in, for mounts that show ids as it maps them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# A process with threads may not unshare its user namespace, nor should this one be forked.
_HOLD = (
    "import ctypes, os; libc = ctypes.CDLL(None, use_errno=True); "
    "os.write(1, b'made') if libc.unshare(0x10000000) == 0 else None; os.read(0, 1)"
)


@contextmanager
def user_namespace(first: int, count: int) -> Iterator[int]:
    """Give a namespace in which 0 to `count` - 1 are the machine's ids from `first` on.

    A descriptor, which is closed at the end of the block; what was mounted with it keeps it.
    """
    holder = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _HOLD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout is not None, "asked for"
        if holder.stdout.read(4) != b"made":
            raise OSError(f"no user namespace can be made (exit code {holder.wait()})")
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/{holder.pid}/{name}", "w", encoding="ascii") as file:
                file.write(f"0 {first} {count}\n")
        namespace = os.open(f"/proc/{holder.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield namespace
        finally:
            os.close(namespace)
