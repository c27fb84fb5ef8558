"""An attack that is expected, the defence that stops it, and the tests that try it."""

from typing import NamedTuple

ROOT, ORDINARY = "root", "an ordinary user"
BOTH = (ROOT, ORDINARY)


class Defence(NamedTuple):
    """One defence, and how it is taken out.

    `sound` is the defence as it stands in `file`, once; with `unsound` in its place one of the
    tests must fail.
    """

    line: str
    """The attack's number in SECURITY.md."""
    what: str
    file: str
    """Below the package of the runtime; of the magics or kernels where it begins with that."""
    sound: str
    unsound: str
    tests: tuple[str, ...]
    """Node ids below tests/; one that names no parameter stands for all of them."""
    who: tuple[str, ...] = (ROOT,)
    """Whose engines the defence holds for, each by itself; tests of no engine are run by root."""
