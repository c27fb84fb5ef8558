"""Time contenders by turns, so that whatever the machine does meanwhile hits them all."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

PAUSE = 0.5
RHYTHMS = ((0.0, "back to back"), (PAUSE, f"{PAUSE} s apart"))
"""The seconds before each run, and what they are called."""


class Timed:
    """The seconds that the body of `with clock()` took; everything around it is not counted."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds = time.perf_counter() - began


Contender = Callable[[Timed], None]


class Result(NamedTuple):
    """What one contender took, in seconds, one figure a round."""

    figures: tuple[float, ...]

    @property
    def median(self) -> float:
        """The figure that half of the rounds were under."""
        return statistics.median(self.figures)

    @property
    def spread(self) -> tuple[float, float]:
        """The figures that an eighth of the rounds were under, and over."""
        if len(self.figures) == 1:
            return self.median, self.median
        eighths = statistics.quantiles(self.figures, n=8, method="inclusive")
        return eighths[0], eighths[-1]


def by_turns(
    contenders: Mapping[str, Contender], rounds: int, pause: float = 0.0, warm: int = 2
) -> dict[str, Result]:
    """Run every contender `rounds` times, in an order that turns, after `warm` uncounted rounds.

    `pause` seconds pass before each, as between two cells of a notebook.
    """
    figures: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for number in range(-warm, rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            time.sleep(pause if number >= 0 else 0)
            clock = Timed()
            contenders[name](clock)
            if number >= 0:
                figures[name].append(clock.seconds)
    return {name: Result(tuple(values)) for name, values in figures.items()}
