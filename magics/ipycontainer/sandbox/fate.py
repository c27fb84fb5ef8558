"""What became of an interpreter, or a container, that is no longer there."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from ..endings import was_out_of_memory
from ..failures import Failure
from ..units import binary_size
from . import commands
from .errors import InterpreterLost, SandboxClosed
from .interpreter import Interpreter

if TYPE_CHECKING:
    from ..session import Session
    from .channel import Broken

_GONE = "its variables are gone, and its files are kept; the next code gets another interpreter"
_KILLED = 128 + signal.SIGKILL


def lost(
    session: Session, container: str, name: str, memory: int, old: Interpreter, why: Broken
) -> Failure:
    """Return what to tell of an interpreter whose stream has broken."""
    if (found := ended(session, container, name, memory)) is not None:
        return found
    code = old.exit_code()
    if code is None:  # it still runs: what it sent is no message
        commands.kill(session, container, old.pid)
        return InterpreterLost(f"sandbox {name}: its interpreter was ended, {why}; {_GONE}")
    if code == _KILLED and _oom_kills(session, container, name) > old.oom_kills:
        limit = f" of {binary_size(memory)}" if memory else ""
        return InterpreterLost(
            f"sandbox {name}: the code passed the memory limit{limit} and was killed; {_GONE}. Give"
            " it more with memory=",
            oom=True,
        )
    told = f"with code {code}{_signal(code)}"
    return InterpreterLost(f"sandbox {name}: its interpreter has ended {told}; {_GONE}")


def ended(session: Session, container: str, name: str, memory: int) -> SandboxClosed | None:
    """Return what to tell of a container that has ended; None when it runs."""
    from docker.errors import NotFound

    try:
        state = session.api.inspect_container(container)["State"]
    except NotFound:
        state = {}
    if state.get("Running"):
        return None
    fault = (state.get("Fault") or {}).get("Kind")
    if fault == "oom" or state.get("OOMKilled") or was_out_of_memory(session, container):
        limit = f" of {binary_size(memory)}" if memory else ""
        why = f"it passed its memory limit{limit} and was killed: give it more with memory="
    else:
        why = "its container was stopped or removed: make another"
    return SandboxClosed(f"sandbox {name} has ended: {why}")


def _oom_kills(session: Session, container: str, name: str) -> int:
    """Ask the kernel's count, which another interpreter reads."""
    asker = Interpreter(session, container, name=name, trusted=False)
    try:
        asker.start()
    except Failure:
        return 0  # then the exit code is all that is known
    asker.close()
    return asker.oom_kills


def _signal(code: int) -> str:
    if code <= 128:
        return ""
    try:
        return f" ({signal.Signals(code - 128).name})"
    except ValueError:
        return ""
