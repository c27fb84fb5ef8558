"""How a kernelspec starts a module of ours on this computer.

Jupyter starts it in the notebook's folder, which may be a stranger's: `python -m` would look for
modules there before anywhere else, and run what is meant for the container outside of it.
`python -P` is not in Python 3.10.
"""

from __future__ import annotations

import sys
from typing import Final

_CODE: Final = (
    "import sys; sys.path[:] = [folder for folder in sys.path if folder]; import runpy;"
    " runpy.run_module({!r}, run_name='__main__', alter_sys=True)"
)


def python_argv(module: str) -> list[str]:
    """Return the command of `module` that imports nothing from the folder it is started in."""
    return [sys.executable, "-c", _CODE.format(module)]
