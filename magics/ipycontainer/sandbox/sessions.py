"""The session of a sandbox that no magic has made: output goes where `print` writes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ..cell import Cell
from ..session import Session

if TYPE_CHECKING:
    from docker import DockerClient


def fresh_surface() -> Cell:
    """Return a surface that writes to what is now standard output, as a cell does."""
    return Cell(None, live=_in_notebook(), rich=True)


def own_session(client: DockerClient | None) -> Session:
    """Return a session for `client`, or for this user's engine."""
    from .. import connect

    return Session(fresh_surface(), connect if client is None else lambda: client)


def _in_notebook() -> bool:
    if "IPython" not in sys.modules:
        return False
    from IPython.core.getipython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None
