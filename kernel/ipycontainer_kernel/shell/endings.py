"""How a cell of the shell ended, in a person's words."""

from __future__ import annotations

import signal
from concurrent.futures import TimeoutError as NotYet
from typing import TYPE_CHECKING, Final

from ipycontainer.failures import CANNOT_EXECUTE, KILLED, NOT_FOUND, Failure, Interrupted

if TYPE_CHECKING:
    from ipycontainer_kernel.container import KernelContainer
    from ipycontainer_kernel.shell.shell import Shell
    from ipycontainer_kernel.shell.turn import Outcome

_MEANINGS: Final = {CANNOT_EXECUTE: "cannot be executed", NOT_FOUND: "command not found"}
# Its streams end a moment before itself.
_KNOWN_WITHIN: Final = 0.5


class ExitStatus(Failure):
    """A cell whose last command failed; `exit_code` is its status."""


class ShellEnded(Failure):
    """A cell with which the shell ended."""


def failed(shell: Shell, outcome: Outcome, seconds: float) -> Failure:
    """Return the failure of a cell whose shell is still there."""
    status, took = outcome.status, _took(seconds)
    if outcome.interrupts:
        return Interrupted(
            f"the command was interrupted after {took}; the shell has kept its state", status
        )
    why = _MEANINGS.get(status, _signal(status))
    if status == KILLED and shell.was_out_of_memory():
        why = "killed: the container was out of memory; `kernel update NAME -m SIZE` gives more"
    told = f" ({why})" if why else ""
    return ExitStatus(f"the cell ended with status {status}{told} after {took}", status)


def died(outcome: Outcome, seconds: float) -> Failure:
    """Return the failure of a cell with which the shell ended."""
    how = f"the shell ended with status {outcome.status} after {_took(seconds)}"
    if outcome.kept:
        kept = "another one has its variables, functions, options and folder"
    else:
        kept = "its variables, functions and folder are gone, the container's files are kept"
    return ShellEnded(f"{how}; {kept}", outcome.status)


def ended(container: KernelContainer) -> Failure | None:
    """Return why the container has ended; None when it runs on."""
    try:
        fate = container.ended.result(_KNOWN_WITHIN)
    except NotYet:
        return None
    return Failure(f"{fate.words}; restart the kernel to have another container")


def _took(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"


def _signal(status: int) -> str:
    if status <= 128:
        return ""
    try:
        return signal.Signals(status - 128).name
    except ValueError:
        return ""
