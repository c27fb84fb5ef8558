"""Whether a notebook comes to the same when it is run again, and to what it was saved with."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from ipycontainer_kernel.notebooks.compare import AGAIN, SAVED, Difference, differences


@dataclass(frozen=True)
class Verdict:
    """What two runs of a notebook in fresh containers came to."""

    cells: int
    """How many were run."""
    different: tuple[Difference, ...]
    unsaved: bool
    """Whether the notebook had no outputs to compare with."""

    @property
    def same(self) -> bool:
        """Whether nothing differed."""
        return not self.different

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON's types."""
        return {
            "same": self.same,
            "cells": self.cells,
            "compared_with_saved": not self.unsaved,
            "differences": [one.to_json() for one in self.different],
        }


def verify(notebook: Any, run: Callable[[Any], object]) -> Verdict:
    """Return how two runs differ; `run` runs a notebook in a fresh container, in place.

    Outputs that were saved are compared with the first run, which is compared with the second.
    """
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    unsaved = not any(cell.outputs or cell.execution_count for cell in code)
    first, second = deepcopy(notebook), deepcopy(notebook)
    run(first)
    run(second)
    found = [] if unsaved else [*differences(notebook, first, SAVED)]
    found += differences(first, second, AGAIN)
    return Verdict(len(code), tuple(sorted(found, key=lambda one: one.cell)), unsaved)
