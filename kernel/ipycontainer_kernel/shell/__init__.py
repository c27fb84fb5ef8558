"""The shell kernel: cells run in one long-lived shell inside a container of any image with `sh`.

The kernel is a process of this computer; what it runs is in the container. `script` has what is
said to the shell, `control` carries it, `stage` has the streams of cells, `turn` runs one, and
`kernel` is Jupyter's side.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ipycontainer_kernel.processes import python_argv

if TYPE_CHECKING:
    from ipycontainer_kernel.settings import Settings


def spec_argv(settings: Settings) -> list[str]:
    """Return the `argv` of a kernelspec of a shell kernel."""
    asked = json.dumps(settings.to_json())
    module = python_argv("ipycontainer_kernel.shell")
    return [*module, "-f", "{connection_file}", "--settings", asked]
