"""The steps of a timeline, laid side by side from what the engine, shim and launcher noted."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from ipycontainer_runtime.engine.moments import Account, Moments, Operation, Span

ENGINE, SHIM, LAUNCHER, PROGRAM = "engine", "shim", "launcher", "program"

_BEFORE_OPERATIONS = "make mounts private"
"""The launcher's step after which its operations begin."""

_CREATION = (
    ("asked", "resolved", "find the image that the name means"),
    ("resolved", "checked", "check and complete what was asked for"),
    ("checked", "made", "keep the record, make the layer to write in"),
)
_LAUNCH = (
    ("asked", "shim", "take a shim that was forked ahead"),
    ("shim", "bundle", "compose the bundle: host files, mounts, privileges, filter"),
    ("bundle", "network", "wait for its interfaces, names and ports, begun before the bundle"),
    ("network", "started", "have the shim launch it"),
    ("network", "failed", "have the shim launch it, which fails"),
)
_SHIM = (
    ("asked", "ready", "have its first process, cloned ahead into new namespaces"),
    ("ready", "piped", "make its streams"),
    ("piped", "limited", "set the limits of its cgroup, where some were asked for"),
    ("limited", "handed", "open the log, hand the bundle to the first process"),
)
_PROGRAM = (
    ("executed", "spoke", "run until its first byte of output"),
    ("executed", "ended", "run until its end"),
)
_WORDS = {
    "prepare": "receive the bundle",
    _BEFORE_OPERATIONS: "keep mounts from spreading to the host",
    "take the terminal": "make the terminal its standard streams",
    "find the user": "find the user in the image's accounts",
    "give up privileges": "give up privileges: capabilities, ids, filter",
    "look around": "look at /proc, for this account alone",
    "execute": "find the command and execute it",
}


class Step(NamedTuple):
    """What somebody did; times are nanoseconds of the monotonic clock."""

    who: str
    what: str
    begin: int
    end: int
    detail: str = ""


class Laid(NamedTuple):
    """Steps side by side."""

    began: int
    """The first moment, in nanoseconds since 1970; 0 when nobody knows."""
    boot: str
    monotonic: int
    """The first moment by the monotonic clock of that boot, from which the steps count."""
    steps: list[dict[str, Any]]
    """Oldest first: who, what, Begin and Took in nanoseconds."""


def laid(moments: Moments) -> Laid:
    """Return what is known. A creation before the last reboot is left out: its clock has gone."""
    creation, launch = moments.creation, moments.launch
    both = creation.boot == launch.boot or not launch.boot
    first = creation if both else launch
    monotonic = first.times.get("asked", 0)
    found = sorted(_all(moments, both), key=lambda step: (step.begin, -step.end))
    steps = [
        {
            "Who": step.who,
            "What": step.what,
            "Begin": step.begin - monotonic,
            "Took": step.end - step.begin,
            "Detail": step.detail,
        }
        for step in found
    ]
    return Laid(first.at, first.boot, monotonic, steps)


def _all(moments: Moments, both: bool) -> Iterator[Step]:
    launch = moments.launch
    if both:
        yield from _between(ENGINE, moments.creation.times, _CREATION)
    yield from _between(ENGINE, launch.times, _LAUNCH)
    yield from _between(SHIM, moments.shim, _SHIM)
    times = dict(moments.shim)
    if times.get("spoke"):
        # The shim may hear of the first output before it hears of the execution.
        times["executed"] = min(times.get("executed", times["spoke"]), times["spoke"])
    executed = times.get("executed", 0)
    if moments.account is not None:
        yield from _of_launcher(moments.account, executed)
    elif executed:
        what = "make the container's root, give up privileges, execute the command"
        yield Step(LAUNCHER, what, times.get("handed", executed), executed)
    if "started" in launch.times:
        yield from _between(PROGRAM, times, _PROGRAM)
    yield from _exit(times, launch)


def _exit(shim: dict[str, int], launch: Span) -> Iterator[Step]:
    ended, taken = shim.get("ended", 0), launch.times.get("exited", 0)
    if ended and taken > ended:
        yield Step(ENGINE, "take the exit", ended, taken)


def _between(
    who: str, times: dict[str, int], known: tuple[tuple[str, str, str], ...]
) -> Iterator[Step]:
    for begin, end, what in known:
        if times.get(begin) and times.get(end):
            yield Step(who, what, times[begin], times[end])


def _of_launcher(account: Account, executed: int) -> Iterator[Step]:
    """Yield the launcher's steps; its operations are told in words beside them."""
    if not account.steps:
        return
    names, begins = zip(*account.steps, strict=True)
    ends = (*begins[1:], max(executed, begins[-1]))
    first = names.index(_BEFORE_OPERATIONS) + 1 if _BEFORE_OPERATIONS in names else len(names)
    made, operations = _mount_points(account), dict(enumerate(account.operations, first))
    for number, (name, begin, end) in enumerate(zip(names, begins, ends, strict=True)):
        if operation := operations.get(number):
            yield Step(LAUNCHER, _told(operation, made), begin, end, operation.detail)
        else:
            yield Step(LAUNCHER, _WORDS.get(name, name), begin, end)


def _mount_points(account: Account) -> frozenset[str]:
    lines = (account.seen.get("/proc/self/mountinfo") or "").splitlines()
    return frozenset(line.split(" ")[4] for line in lines if line.count(" ") > 4)


def _told(operation: Operation, made: frozenset[str]) -> str:
    """Say of what is done only where something is whether it was."""
    if not operation.where or operation.where in made:
        return operation.what
    # The kernel's own folders hold no links on these ways, so no mount there means nothing there.
    known = made and operation.where.startswith(("/proc/", "/sys/"))
    return f"{operation.what}: it is not there" if known else f"{operation.what}, if it is there"
