"""What ADD fetches, and contexts that are elsewhere: http and git."""

import re
from pathlib import Path

from ipycontainer_runtime.build.instructions import Add
from ipycontainer_runtime.engine.building.sources import Selection
from ipycontainer_runtime.errors import NotImplementedHere

_HTTP = re.compile(r"https?://", re.IGNORECASE)
_GIT = re.compile(r"(git://|git@|ssh://|https?://[^#]+\.git([#?]|$))")


def is_remote(word: str) -> bool:
    """Tell whether a word of ADD is a URL or a git repository."""
    return bool(_HTTP.match(word) or _GIT.match(word))


def fetch(
    instruction: Add, word: str, folder: Path, roots: list[int]
) -> tuple[Selection, Path | None]:
    """Fetch what a word of ADD names into `folder`, whose descriptor joins `roots`."""
    raise NotImplementedHere(f"ADD {word} is not supported yet: COPY it from the context")
