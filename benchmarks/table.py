"""The one table of a run, in Markdown."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from measure import Result

PEERS = ("docker", "podman", "crun")


class Goal(NamedTuple):
    """At most `limit` times the peer's figure or, without a peer, at most `limit` itself."""

    limit: float
    peer: str = ""
    words: str = ""


class Row(NamedTuple):
    """One figure of ours beside its peers'. `unit` multiplies seconds into what `digits` show."""

    what: str
    figures: Mapping[str, Result]
    goals: tuple[Goal, ...] = ()
    unit: str = "ms"

    def shown(self, name: str) -> str:
        """Return a contender's median with its spread, or a dash."""
        if name not in self.figures:
            return "-"
        result = self.figures[name]
        low, high = result.spread
        if low == high:
            return f"{scaled(result.median, self.unit)} {self.unit}"
        spread = f"{scaled(low, self.unit)}-{scaled(high, self.unit)}"
        return f"{scaled(result.median, self.unit)} {self.unit} ({spread})"

    def verdict(self, goal: Goal) -> str:
        """Return the goal, what was reached, and whether that meets it."""
        ours = self.figures["ours"].median
        if not goal.peer:
            met, reached = ours <= goal.limit, f"{scaled(ours, self.unit)} {self.unit}"
        elif goal.peer not in self.figures:
            return f"{goal.words}: {goal.peer} is not here"
        else:
            ratio = ours / self.figures[goal.peer].median
            met, reached = ratio <= goal.limit, f"{ratio:.3g} of {goal.peer}"
        return f"{goal.words}: {reached}, {'met' if met else '**missed**'}"


def scaled(seconds_or_bytes: float, unit: str) -> str:
    """Return a figure of the base unit in `unit`, with three digits."""
    factor = {"ms": 1e3, "s": 1, "MB": 1 / 2**20}[unit]
    value = seconds_or_bytes * factor
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def markdown(rows: Iterable[Row]) -> str:
    """Return the table: medians, in brackets what the middle three quarters of rounds took."""
    lines = [
        "| what | ours | Docker | Podman | crun | goal |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [row.what, row.shown("ours"), *(row.shown(peer) for peer in PEERS)]
        cells.append("; ".join(row.verdict(goal) for goal in row.goals) or "-")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
