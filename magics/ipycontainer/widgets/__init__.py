"""Widgets for a notebook: `Pull`, `Run`, `Commit`, `Containers`, `Logs` and `Stats`.

Each is an ipywidget, so it can be put into boxes and tabs, and leaves a still form in a notebook
that is saved. They use the engine that DOCKER_HOST means, as `%container` does.
"""

from .commit import Commit
from .containers import Containers
from .logs import Logs
from .pull import Pull
from .run import Run
from .stats import Stats

__all__ = ["Commit", "Containers", "Logs", "Pull", "Run", "Stats"]
