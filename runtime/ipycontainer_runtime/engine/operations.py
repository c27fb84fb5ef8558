"""The launcher's operations in words, for who asks what a launch does."""

import re
from typing import Any

from ipycontainer_runtime.engine.cgroups import Cgroups
from ipycontainer_runtime.engine.moments import Account, Operation
from ipycontainer_runtime.engine.seen import namespaces_of, wanted
from ipycontainer_runtime.errors import StartFailed
from ipycontainer_runtime.launch import said
from ipycontainer_runtime.launch.account import LONGEST_STEP
from ipycontainer_runtime.launch.plan import MOUNT_ATTRIBUTES, plan
from ipycontainer_runtime.launch.root import (
    Bind,
    Console,
    Device,
    Filesystem,
    Hostname,
    Link,
    Loopback,
    Mask,
    Overlay,
    Pivot,
    ReadOnly,
    ReadOnlyRoot,
    RootFolder,
    Sysctl,
)
from ipycontainer_runtime.launch.root import Operation as Launched

_NUMBER = re.compile(r"\[Errno \d+\] ")


def ask(spec: dict[str, Any], cgroups: Cgroups) -> Account:
    """Have a bundle's launcher give an account of itself, and return what is known beforehand."""
    spec["ipycontainer"]["explain"] = wanted(cgroups)
    return Account(
        operations=[_operation(done) for done in plan(spec)], outside=namespaces_of("self")
    )


def in_words(error: StartFailed, spec: dict[str, Any]) -> StartFailed:
    """Return a failed start with the operation that it came to in words; any other as it is."""
    done = next((done for done in plan(spec) if said(repr(done)) == error.step), None)
    if done is None:
        return error
    step, message = words(done), str(error)
    if message.startswith(error.step):
        message = f"cannot {step}{_NUMBER.sub('', message.removeprefix(error.step))}"
    return StartFailed(
        message, exit_code=error.exit_code, step=step, times=error.times, told=error.told
    )


def _operation(done: Launched) -> Operation:
    where = done.path if isinstance(done, (Mask, ReadOnly)) else ""
    return Operation(words(done), repr(done)[:LONGEST_STEP], where)


def words(done: Launched) -> str:
    """Return what one operation does, in a phrase that begins with a verb."""
    match done:
        case Overlay():
            lower, options = len(done.lower), _listed(done.flags)
            if done.target:
                return f"mount an image, {lower} read-only layers, at {done.target}{options}"
            return f"mount an overlay: {lower} read-only layers below, one to write in{options}"
        case RootFolder():
            return "bind a folder that holds a copy of the image as the root"
        case Filesystem():
            options = _listed((*_attributes(done.attributes), *done.options))
            return f"mount a new {done.kind} at {done.target}{options}"
        case Bind():
            part = f"/{done.beneath}" if done.beneath else ""
            what = f"show the host's {done.source}{part} at {done.target}"
            return f"{what}{_listed(_attributes(done.attributes))}"
        case Device():
            return f"show the host's device {done.source} ({done.major}:{done.minor})"
        case _:
            return _small(done)


def _small(done: Launched) -> str:
    match done:
        case Link():
            return f"link /dev/{done.name} to {done.target}"
        case Console():
            return "show the terminal at /dev/console"
        case Hostname():
            return f"set the host name to {done.name}"
        case Loopback():
            return "bring the network's loopback up"
        case Sysctl():
            return f"set the kernel parameter {done.name} to {done.value}"
        case ReadOnly():
            return f"make {done.path} read-only"
        case Mask():
            return f"hide {done.path}"
        case ReadOnlyRoot():
            return "make the root read-only"
        case Pivot():
            return "pivot: the new root becomes /, the host's is let go"
        case _:
            return repr(done)


def _attributes(bits: int) -> tuple[str, ...]:
    return tuple(name for name, bit in MOUNT_ATTRIBUTES.items() if bits & bit)


def _listed(options: tuple[str, ...]) -> str:
    return f" ({', '.join(options)})" if options else ""
