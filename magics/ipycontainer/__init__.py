"""Containers in the notebook: `%load_ext ipycontainer`, then `%container --help`.

Importing this costs a few milliseconds: docker-py, click and everything that draws are imported
by the first verb that needs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from docker import DockerClient
    from IPython.core.interactiveshell import InteractiveShell

    from . import widgets
    from .sandbox import AsyncSandbox, Sandbox

    __version__: str

__all__ = [
    "AsyncSandbox",
    "Sandbox",
    "__version__",
    "connect",
    "load_ipython_extension",
    "unload_ipython_extension",
    "widgets",
]


def connect() -> DockerClient:
    """Return a client of the engine, which is started if need be.

    `DOCKER_HOST` makes it somebody else's engine. Raises `ContainerError` where there is no engine
    to be had.
    """
    from ipycontainer_runtime.client import connect as connect_to_engine

    return connect_to_engine()


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register `%container` and `%%container`; called by `%load_ext ipycontainer`."""
    from .magic import load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Take back what `%load_ext ipycontainer` registered; called by `%unload_ext`."""
    from .magic import unload

    unload(shell)


def __getattr__(name: str) -> object:
    if name in ("AsyncSandbox", "Sandbox"):
        from . import sandbox

        return getattr(sandbox, name)
    if name == "__version__":
        from ipycontainer_runtime import __version__

        return __version__
    if name == "widgets":
        from importlib import import_module

        return import_module(".widgets", __name__)
    raise AttributeError(f"module 'ipycontainer' has no attribute {name!r}")
