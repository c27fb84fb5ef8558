"""Sandboxes: containers that a notebook sends code to, see `Sandbox`."""

from .asynchronous import AsyncSandbox
from .box import Sandbox
from .commands import Completed
from .errors import CommandFailed, InterpreterLost, PythonError, SandboxClosed, TimedOut
from .files import Files
from .shown import Opaque

__all__ = [
    "AsyncSandbox",
    "CommandFailed",
    "Completed",
    "Files",
    "InterpreterLost",
    "Opaque",
    "PythonError",
    "Sandbox",
    "SandboxClosed",
    "TimedOut",
]
