"""When a container's creation and its last run reached what: a few numbers that are always kept.

All are nanoseconds of CLOCK_MONOTONIC, which every process of the machine shares, so what the
engine, the shim and the launcher note can be laid side by side. A reboot begins it anew.
"""

import functools
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from ipycontainer_runtime.errors import StartFailed


@functools.cache
def boot_id() -> str:
    """Return what tells this boot of the machine from all others."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class Span(msgspec.Struct):
    """Moments of one boot by name; `at` is nanoseconds since 1970 at the first."""

    boot: str = ""
    at: int = 0
    times: dict[str, int] = {}

    @classmethod
    def begun(cls) -> "Span":
        """Return one that begins now, with the moment `asked`."""
        return cls(boot_id(), time.time_ns(), {"asked": time.monotonic_ns()})

    def note(self, moment: str) -> None:
        """Note that a moment is now."""
        self.times[moment] = time.monotonic_ns()


class Operation(msgspec.Struct, frozen=True):
    """One of the launcher's operations: what it does in words, and as it is."""

    what: str
    detail: str
    where: str = ""
    """The path that it changes, if it is there; empty for one that is always done."""


class Account(msgspec.Struct):
    """What a launcher told that was asked to explain itself."""

    steps: list[tuple[str, int]] = []
    """Each step and when it began."""
    operations: list[Operation] = []
    """Those among the steps that made the root, from the bundle's plan."""
    seen: dict[str, str | None] = {}
    """What the files of /proc held in the container just before the command."""
    outside: dict[str, str | None] = {}
    """The engine's own namespaces then: a later one of an ordinary user's has others."""


class Moments(msgspec.Struct):
    """What is kept of one container, as `timeline.json` beside it has it.

    `creation`: asked, resolved, checked, made. `launch` by the engine: asked, shim, bundle, started
    or failed, and exited. `shim`: asked, ready, piped, limited, handed, executed; then spoke, the
    first output, and ended.
    """

    creation: Span = msgspec.field(default_factory=Span)
    launch: Span = msgspec.field(default_factory=Span)
    shim: dict[str, int] = {}
    account: Account | None = None

    def begin_run(self) -> Span:
        """Forget the last run; another one begins."""
        self.launch, self.shim, self.account = Span.begun(), {}, None
        return self.launch

    def failed(self, error: BaseException) -> None:
        """Take what is told of a start that came to nothing."""
        self.launch.note("failed")
        if isinstance(error, StartFailed):
            self.take(error.times, error.told)

    def take(self, times: Mapping[str, int], told: str = "") -> None:
        """Take what a shim tells of its moments, and what it was told by the launcher."""
        self.shim.update(times)
        if self.account is not None:
            for line in told.splitlines():
                _take_line(self.account, line)


class _Line(msgspec.Struct):
    steps: list[tuple[str, int]] | None = None
    seen: dict[str, str | None] | None = None


def _take_line(account: Account, line: str) -> None:
    try:
        found = msgspec.json.decode(line, type=_Line)
    except msgspec.MsgspecError:
        return  # cut short: who is killed meanwhile tells no more
    account.steps = found.steps or account.steps
    account.seen = found.seen or account.seen


def encoded(moments: Moments) -> bytes:
    """Return what `timeline.json` holds."""
    return msgspec.json.encode(moments)


def decoded(data: bytes) -> Moments:
    """Return what was kept; nothing where nothing was, or where a power cut tore it."""
    try:
        return msgspec.json.decode(data, type=Moments)
    except msgspec.MsgspecError:
        return Moments()
