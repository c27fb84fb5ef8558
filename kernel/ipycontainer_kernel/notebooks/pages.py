"""The page that the running cell is in, as far as a kernel can know it.

A kernel has no way to the document: it can ask a page of ours (labextension/) over a comm, which
writes into the document that is open and answers. Where nobody answers, the document may still have
a file, of which jupyter_server tells in JPY_SESSION_NAME and VS Code in a variable of the notebook.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipycontainer.listing import Lines
from ipycontainer_kernel.inside.page import write
from ipycontainer_kernel.notebooks.lock import Lock


@dataclass(frozen=True)
class Page:
    """The notebook of the running cell; `path` is its file, where that is known."""

    kernel: Any
    path: Path | None

    def write(self, lock: Lock) -> bool:
        """Have the page write a lock into its document; False where no page of ours answers."""
        return write(self.kernel, lock.metadata)


def current() -> Page | None:
    """Return the notebook that this code runs in, None where it runs in none."""
    # On the command line nobody has imported it, and it takes a while.
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    kernel = getattr(shell, "kernel", None)
    if shell is None or kernel is None:
        return None
    told = shell.user_ns.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME")
    path = Path(told) if isinstance(told, str) and told.endswith(".ipynb") else None
    return Page(kernel, path)


def shown(lock: Lock) -> Lines:
    """Return a lock as it would stand in a notebook's file."""
    return Lines(json.dumps(lock.metadata, indent=1, ensure_ascii=False).splitlines())
