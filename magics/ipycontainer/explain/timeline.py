"""A container's timeline, as text for terminals and saved notebooks, and as a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..failures import one_line
from ..listing import Listing, align
from .facts import Section, sections
from .scale import Scale

PARTIES = {
    "client": "what you called: this notebook or command",
    "engine": "serves Docker's API, keeps images and containers",
    "shim": "the container's parent: its streams, its log, its exit",
    "launcher": "the container's first process, until it becomes the program",
    "program": "the command itself",
}
_WIDTH = 30  # characters of a bar's column
_EIGHTHS = " ▏▎▍▌▋▊▉█"


class Step(NamedTuple):
    """What a party did; times are nanoseconds from the first moment."""

    who: str
    what: str
    begin: int
    took: int
    detail: str = ""
    waits: bool = False
    """Whether it is the time of others, who have steps of their own."""

    @property
    def end(self) -> int:
        """When it was done."""
        return self.begin + self.took


def duration(nanoseconds: int) -> str:
    """Write a short time so that its digits can be compared: `0.06 ms`, `12.3 ms`, `1.25 s`."""
    milliseconds = nanoseconds / 1_000_000
    if milliseconds >= 1000:
        return f"{milliseconds / 1000:.2f} s"
    return f"{milliseconds:.1f} ms" if milliseconds >= 100 else f"{milliseconds:.2f} ms"


class Timeline(Listing[dict[str, Any]]):
    """What happened to one container; the list holds the engine's document.

    `own` are the steps of the client; `unseen` says in a line what could not be known.
    """

    def __init__(
        self, document: Mapping[str, Any], own: Sequence[Step] = (), unseen: Sequence[str] = ()
    ) -> None:
        super().__init__([dict(document)])
        self.steps = _in_order([*own, *(_step(entry) for entry in document["Steps"])])
        self.unseen = list(unseen)
        command = " ".join(document["Command"])
        self.title = one_line(f"{document['Image']['Name']} {command}".strip())
        self.scale = _scale(self.steps)
        self.sections: list[Section] = sections(document)
        self.summary = self._summary(document)

    def _summary(self, document: Mapping[str, Any]) -> str:
        begun = min((step.begin for step in self.steps), default=0)
        spoke = [s.end for s in self.steps if s.who == "program" and "first byte" in s.what]
        ran = [s.begin for s in self.steps if s.who == "program"]
        parts = []
        if ran:
            parts.append(f"its command was executed after {duration(ran[0] - begun)}")
        if spoke:
            parts.append(f"the first byte of output came after {duration(spoke[0] - begun)}")
        if document.get("Error"):
            parts.append(one_line(f"it was not started: {document['Error']}"))
        elif document.get("Status") == "exited":
            parts.append(f"it ended with exit code {document['ExitCode']}")
        return "; ".join(parts)

    @property
    def parties(self) -> dict[str, list[Step]]:
        """The steps of each party, in the order of the parties."""
        known = {who: [s for s in self.steps if s.who == who] for who in PARTIES}
        return {who: steps for who, steps in known.items() if steps}

    def text(self) -> str:
        """Return the steps of each party with a bar each, and the facts under them."""
        blocks = [self.title, *([self.summary] if self.summary else [])]
        for who, steps in self.parties.items():
            blocks += ["", f"{who}: {PARTIES[who]}", *(self._line(step) for step in steps)]
        for section in self.sections:
            rows = [[one_line(cell) for cell in row] for row in section.rows]
            blocks += ["", f"{section.title}. {section.meaning}"]
            blocks += _indented(align([list(section.headings), *rows])) if rows else []
        return "\n".join([*blocks, *(f"\n{line}" for line in self.unseen)])

    def _line(self, step: Step) -> str:
        bar = _bar(self.scale.at(step.begin), self.scale.at(step.end))
        return f"  {bar} {duration(step.took):>9}  {one_line(step.what)}"

    def html(self) -> str:
        """Return the figure; it needs no script."""
        from .figure import timeline

        return timeline(self)


def _step(entry: Mapping[str, Any]) -> Step:
    waits = entry["Who"] == "program" or entry["What"].startswith("have the shim")
    return Step(entry["Who"], entry["What"], entry["Begin"], entry["Took"], entry["Detail"], waits)


def _in_order(steps: Sequence[Step]) -> list[Step]:
    """Return the steps by their beginning, counted from the first."""
    first = min((step.begin for step in steps), default=0)
    moved = [step._replace(begin=step.begin - first) for step in steps]
    return sorted(moved, key=lambda step: (step.begin, -step.took))


def _scale(steps: Sequence[Step]) -> Scale:
    busy = [(step.begin, step.end) for step in steps if not step.waits]
    return Scale(busy, max((step.end for step in steps), default=0))


def _bar(left: float, right: float) -> str:
    """Return a bar between two places of a width of 1; the shortest is a thin line."""
    start, end = left * _WIDTH, right * _WIDTH
    first = min(int(start), _WIDTH - 1)
    length = max(end - first, 0.125)
    whole, part = int(length), round((length - int(length)) * 8)
    cells = _EIGHTHS[8] * whole + (_EIGHTHS[part] if part else "")
    return f"{' ' * first}{cells}".ljust(_WIDTH)[:_WIDTH]


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines()]
