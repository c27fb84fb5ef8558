"""Why a run ended badly or never began, as data: in inspect, in events, in what `wait` answers."""

import signal as signals

import msgspec

from ipycontainer_runtime.engine.container import Container
from ipycontainer_runtime.errors import ContainerError, StartFailed
from ipycontainer_runtime.shim.messages import Exited
from ipycontainer_runtime.store.records import Fault

_START_KINDS = {126: "command-not-executable", 127: "command-not-found"}
_EXECUTING = ("execute", "create", "start", "exec")
"""The steps, of our launcher and of calls of another runtime, in which the command is executed."""


def failed_start(error: ContainerError) -> Fault:
    """Return why a container, or an exec, could not be started."""
    step = error.step if isinstance(error, StartFailed) else "prepare"
    code = error.exit_code if isinstance(error, StartFailed) else 125
    # An exec has Docker's code of a bad command whatever it failed at.
    codes = _START_KINDS if step in _EXECUTING else {}
    return Fault(kind=codes.get(code, "start-failed"), message=str(error), step=step)


def bad_end(container: Container, exited: Exited) -> Fault | None:
    """Return what ended a run from outside; None when its command ended by itself."""
    if container.timed_out:
        return Fault(kind="timeout", message="it ran longer than its timeout", signal=exited.signal)
    if exited.oom and exited.code:
        said = "it passed its memory limit"
        return Fault(kind="oom", message=said, signal=exited.signal, peak=exited.peak)
    if exited.signal or not container.record.host_config.init:
        return by_signal(exited.signal)
    # Our own init tells its command's signal as a shell does, and so may the command itself.
    told = by_signal(exited.code - 128)
    said = f", or it said so itself by exit code {exited.code}"
    return told and msgspec.structs.replace(told, message=told.message + said)


def by_signal(number: int) -> Fault | None:
    """Return the fault of a process that a signal ended; None when `number` is no signal."""
    if number not in signals.valid_signals():
        return None
    return Fault(kind="killed", message=f"killed by signal {number}{_name(number)}", signal=number)


def _name(number: int) -> str:
    try:
        return f" ({signals.Signals(number).name})"
    except ValueError:
        return ""  # a real-time signal


def fault_attributes(fault: Fault | None) -> dict[str, str]:
    """Return what an event says of a fault."""
    if fault is None:
        return {}
    numbers = {"signal": str(fault.signal or ""), "peak": str(fault.peak or "")}
    said = {"fault": fault.kind, **numbers, "step": fault.step}
    return {name: value for name, value in said.items() if value}
