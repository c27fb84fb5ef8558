"""The Dockerfile kernel: each cell holds instructions, and its place in the notebook is its layer.

It runs on the host and drives an engine by its API. `notebook` turns Dockerfiles into notebooks and
back, byte for byte; it needs neither kernel nor engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipycontainer_kernel.processes import python_argv

if TYPE_CHECKING:
    from ipycontainer_kernel.settings import Settings

MIMETYPE = "text/x-dockerfile"
LANGUAGE = {
    "name": "dockerfile",
    "mimetype": MIMETYPE,
    "file_extension": ".dockerfile",
    "pygments_lexer": "docker",
    "codemirror_mode": "dockerfile",
}


def spec_argv(settings: Settings) -> list[str]:
    """Return what a kernelspec of this kind starts: it runs here, whatever the image."""
    return [*python_argv("ipycontainer_kernel.dockerfile"), "-f", "{connection_file}"]
