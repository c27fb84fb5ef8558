"""What a person prefers: a default image, limits, profiles of flags, and how things are shown.

In a notebook `%config IPyContainer` tells them and `%config IPyContainer.memory = "1g"` sets one.
They are kept in `ipycontainer_config.py` or `.json` in a folder of `jupyter --paths`, which the
notebook and the command line both read: `c.IPyContainer.memory = "1g"`.

Verbs work with `Preferences`, which is light; the traits are imported where there is a notebook or
such a file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from .failures import Failure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traitlets.config import Config

NAME = "ipycontainer_config"
"""The file's name, without its ending."""


OUTPUT_LINES = 5000
"""How many lines a cell shows of what a container prints, before its last ones."""


@dataclass(frozen=True)
class Preferences:
    """The preferences as they stand; `IPyContainer` tells what each means."""

    image: str = ""
    memory: str = ""
    cpus: float | None = None
    pids_limit: int | None = None
    profiles: Mapping[str, str] = field(default_factory=dict)
    display: str = "rich"
    output_lines: int = OUTPUT_LINES

    def limits(self) -> dict[str, str]:
        """Return the flags of the limits that are set, with their values."""
        return {
            "--memory": self.memory,
            "--cpus": "" if self.cpus is None else f"{self.cpus:g}",
            "--pids-limit": "" if self.pids_limit is None else str(self.pids_limit),
        }


PREFERENCES = tuple(found.name for found in fields(Preferences))


def stored() -> Preferences:
    """Return what the files say; raises `Failure` naming a file that cannot be used."""
    if not (paths := _files()):
        return Preferences()  # traits are slow to import, and most people have no such file
    from .traits import IPyContainer

    return IPyContainer.made(stored_config(paths)).current()


def stored_config(paths: Sequence[str] | None = None) -> Config:
    """Return the configuration in the files, the ones nearest to the person last."""
    from traitlets.config import Config
    from traitlets.config.loader import JSONFileConfigLoader, PyFileConfigLoader

    found = Config()
    for path in _files() if paths is None else paths:
        loader = JSONFileConfigLoader if path.endswith(".json") else PyFileConfigLoader
        try:
            found.merge(loader(os.path.basename(path), os.path.dirname(path)).load_config())
        except Exception as error:  # a .py file is a program, and may raise anything
            raise Failure(f"{path}: {type(error).__name__}: {error}; mend or move it") from error
    return found


def _files() -> list[str]:
    from jupyter_core.paths import jupyter_config_path

    candidates = [
        os.path.join(folder, NAME + ending)
        for folder in reversed(jupyter_config_path())
        for ending in (".py", ".json")
    ]
    return [path for path in candidates if os.path.exists(path)]
