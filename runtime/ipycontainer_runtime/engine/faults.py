"""Why a run ended badly or never began, as data: in inspect, in events, in what `wait` answers."""

import signal as signals

from ipycontainer_runtime.engine.container import Container
from ipycontainer_runtime.errors import ContainerError, StartFailed
from ipycontainer_runtime.shim.messages import Exited
from ipycontainer_runtime.store.records import Fault

_START_KINDS = {126: "command-not-executable", 127: "command-not-found"}


def failed_start(error: ContainerError) -> Fault:
    """Return why a container could not be started."""
    step = error.step if isinstance(error, StartFailed) else "prepare"
    code = error.exit_code if isinstance(error, StartFailed) else 125
    return Fault(kind=_START_KINDS.get(code, "start-failed"), message=str(error), step=step)


def bad_end(container: Container, exited: Exited) -> Fault | None:
    """Return what ended a run from outside; None when its command ended by itself."""
    if container.timed_out:
        return Fault(kind="timeout", message="it ran longer than its timeout", signal=exited.signal)
    if exited.oom and exited.code:
        return Fault(kind="oom", message="it passed its memory limit", signal=exited.signal)
    if exited.signal:
        name = _name(exited.signal)
        return Fault(
            kind="killed", message=f"killed by signal {exited.signal}{name}", signal=exited.signal
        )
    return None


def _name(number: int) -> str:
    try:
        return f" ({signals.Signals(number).name})"
    except ValueError:
        return ""  # a real-time signal


def fault_attributes(fault: Fault | None) -> dict[str, str]:
    """Return what an event says of a fault."""
    if fault is None:
        return {}
    said = {"fault": fault.kind, "signal": str(fault.signal or ""), "step": fault.step}
    return {name: value for name, value in said.items() if value}
