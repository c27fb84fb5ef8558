"""A tar stream into a folder, never outside it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What a layer may ask for before it is taken for a bomb."""

    entries: int = 2_000_000
    header: int = 1 << 20
    """Bytes of one extended header."""
    file: int = 1 << 40
    """Bytes of one file as it looks, holes included."""
    unpacked: int = 256 << 30
    """Bytes of the whole archive."""
    free: int = 2 << 30
    """Bytes it may have whatever its compressed size."""
    ratio: int = 200
    """How many times its compressed size it may have beyond that."""


DEFAULT_LIMITS = Limits()
