"""The system-call filter: a profile, compiled to classic BPF by hand.

`profile` says what is allowed, `tables` what the calls' numbers are, `assembler` turns rules into
instructions; nothing here is needed when a container starts but the bytes it made once.
"""

import hashlib
import os
import platform
from pathlib import Path

__all__ = ["cached", "default_filter"]


def default_filter(capabilities: frozenset[str], machine: str = platform.machine()) -> bytes:
    """Return the default filter as an array of `struct sock_filter`, for prctl or seccomp(2).

    Some calls are allowed only to containers that have a capability (`CAP_` names). `machine` is
    `x86_64` or `aarch64`; raises Unavailable for others.
    """
    raise NotImplementedError


def cached(run: Path, capabilities: frozenset[str]) -> Path:
    """Return `<run>/seccomp-<hash>.bpf` with the default filter, compiling it when absent.

    The name is a hash of the profile's sources and of those capabilities it asks about: a new
    version of the profile never meets an old file.
    """
    raise NotImplementedError
