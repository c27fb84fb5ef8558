"""The trial of an ipykernel that an image has of its own: old ones may not run with what is beside.

The image's own packages win, so none is injected in its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ipycontainer.failures import one_line
from ipycontainer_kernel.inject.probe import UnfitPython

if TYPE_CHECKING:
    from pathlib import Path

    from ipycontainer_kernel.inject.probe import Facts
    from ipycontainer_kernel.inject.throwaway import Trial

_SECONDS: Final = 90.0
_LIMIT: Final = 1 << 20


def attempt(trial: Trial, facts: Facts, inside: Path) -> None:
    """Have the image's own ipykernel run one cell; raises UnfitPython where it does not."""
    from ipycontainer_kernel.inject import INSIDE

    ended = trial.run(
        [facts.executable, f"{INSIDE}/trying.py"],
        seconds=_SECONDS,
        limit=_LIMIT,
        binds=[f"{inside}:{INSIDE}:ro"],
    )
    if not ended.code:
        return
    lines = ended.stderr.decode(errors="replace").strip().splitlines() or ["nothing"]
    said = one_line(lines[-1])[:200]
    version = facts.distributions.get("ipykernel", "of no version")
    raise UnfitPython(
        f"image {trial.image} has an ipykernel of its own, {version}, which runs no cell with what"
        f" else is installed there ({said}): update it there, or remove it and one is injected"
    )
