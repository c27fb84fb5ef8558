"""Widgets for a notebook: `Pull`, `Run`, `Commit`, `Containers`, `Logs` and `Stats`.

Each is an ipywidget, so it can be put into boxes and tabs, and leaves a still form in a notebook
that is saved. They use the engine that DOCKER_HOST means, as `%container` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .commit import Commit
    from .containers import Containers
    from .logs import Logs
    from .pull import Pull
    from .run import Run
    from .stats import Stats

__all__ = ["Commit", "Containers", "Logs", "Pull", "Run", "Stats"]


def __getattr__(name: str) -> Any:
    # A cell with a terminal or with long output needs none of them, and each takes its time.
    if name in __all__:
        from importlib import import_module

        return getattr(import_module(f".{name.lower()}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
