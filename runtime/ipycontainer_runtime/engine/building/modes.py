"""The modes of --chmod: octal, or symbolic as chmod(1) has it."""

import re
from dataclasses import dataclass

from ipycontainer_runtime.errors import InvalidParameter

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)")
_ACTION = re.compile(r"([-+=])([rwxXst]*|[ugo])")
_SHIFTS = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 4, "w": 2, "x": 1}


@dataclass(frozen=True)
class Mode:
    """What --chmod makes of a mode."""

    text: str

    def __post_init__(self) -> None:
        if not self._octal and not all(map(_CLAUSE.fullmatch, self.text.split(","))):
            raise InvalidParameter(
                f"invalid chmod parameter: '{self.text}'. it should be octal string and between 0"
                " and 07777, or symbolic as in u=rwX,go=rX"
            )

    @property
    def _octal(self) -> bool:
        return re.fullmatch(r"[0-7]{1,5}", self.text) is not None and int(self.text, 8) <= 0o7777

    def of(self, mode: int, *, folder: bool) -> int:
        """Return the mode of a file that had `mode`."""
        if self._octal:
            return int(self.text, 8)
        for clause in self.text.split(","):
            who, actions = _CLAUSE.fullmatch(clause).groups()  # type: ignore[union-attr] # checked when it was made
            for action, what in _ACTION.findall(actions):
                mode = _applied(mode, who, action, what, folder=folder)
        return mode


def _applied(mode: int, who: str, action: str, what: str, *, folder: bool) -> int:
    everyone = "ugo"
    people = everyone if not who or "a" in who else who
    bits = 0
    for person in people:
        shift = _SHIFTS[person]
        if what in _SHIFTS and what:
            bits |= (mode >> _SHIFTS[what] & 7) << shift
            continue
        for letter in what:
            bits |= _BITS.get(letter, 0) << shift
            if letter == "X" and (folder or mode & 0o111):
                bits |= 1 << shift
    if "s" in what:
        bits |= (0o4000 if "u" in people else 0) | (0o2000 if "g" in people else 0)
    if "t" in what:
        bits |= 0o1000
    if action == "+":
        return mode | bits
    if action == "-":
        return mode & ~bits
    cleared = sum(7 << _SHIFTS[person] for person in people)
    if not folder:
        cleared |= (0o4000 if "u" in people else 0) | (0o2000 if "g" in people else 0)
    return mode & ~cleared | bits
