"""One container as the running engine knows it: its record, its state, and who waits for it."""

import asyncio
import enum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ipycontainer_runtime.engine.moments import Moments
from ipycontainer_runtime.engine.wanted import Inputs
from ipycontainer_runtime.errors import Conflict
from ipycontainer_runtime.store.networks import Sandbox
from ipycontainer_runtime.store.records import Fault, Record, State

if TYPE_CHECKING:
    from ipycontainer_runtime.engine.attach import Attachment
    from ipycontainer_runtime.shim.client import ShimConnection


class Found(enum.Enum):
    """What a container's shim was found to be."""

    RUNNING = enum.auto()
    NEVER_STARTED = enum.auto()
    """It is there, and was not told to start the container, or that has just ended."""
    GONE = enum.auto()


class Ended(NamedTuple):
    """How a container's run ended, as `wait` says it."""

    code: int
    error: str = ""
    fault: Fault | None = None


class Waiters:
    """Those who wait for one kind of moment in a container's life; each moment wakes them all."""

    def __init__(self) -> None:
        self._futures: set[asyncio.Future[Ended]] = set()

    def add(self) -> "asyncio.Future[Ended]":
        """Return what is fulfilled at the next such moment."""
        future: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self._futures.add(future)
        future.add_done_callback(self._futures.discard)
        return future

    def wake(self, ended: Ended) -> None:
        """Fulfil what all are waiting for."""
        for future in tuple(self._futures):
            if not future.done():
                future.set_result(ended)


class Container:
    """A container in this engine: made at creation or at the engine's start, never twice for one.

    `lock` is held by whatever changes the state: start, the exit, removal.
    """

    def __init__(self, record: Record, state: State, folder: str) -> None:
        self.record = record
        self.state = state
        self.folder = folder
        self.lock = asyncio.Lock()
        self.shim: ShimConnection | None = None
        self.cgroup = ""
        """Its name while it runs."""
        self.waiting: list[Attachment] = []
        """Attached before the start; handed to the shim just before it starts."""
        self.exits = Waiters()
        self.removals = Waiters()
        self.inputs = Inputs()
        self.exec_ids: list[str] = []
        self.removing = False
        self.restart_requests = 0
        """How many are stopping it in order to start it again."""
        self.next_start: asyncio.TimerHandle | None = None
        """Set while its restart policy waits between two runs."""
        self.delay = 0.0
        """Seconds that the policy waited last."""
        self.timed_out = False
        """True once its time was up."""
        self.sandbox: Sandbox | None = None
        """Its places in networks, from a moment before its start to its end."""
        self.moments = Moments()
        """When it and its last run reached what; `Lifecycle` keeps them beside it."""

    @property
    def id(self) -> str:
        """The full id."""
        return self.record.id

    @property
    def tty(self) -> bool:
        """True when it has a terminal, and so one raw stream instead of two framed ones."""
        return self.record.config.tty

    @property
    def link_variables(self) -> list[str]:
        """What its processes are told of those to which it is linked: NAME=VALUE."""
        return self.sandbox.variables if self.sandbox else []

    @property
    def attributes(self) -> dict[str, str]:
        """What its events say of it."""
        config = self.record.config
        return {**(config.labels or {}), "image": config.image, "name": self.record.name}

    @property
    def log_path(self) -> str:
        """Where its log is, or would be."""
        suffix = "json.log" if self.record.host_config.log_config.type == "json-file" else "log"
        return f"{self.folder}/{self.record.id}-{suffix}"

    @property
    def logged(self) -> bool:
        """True unless its log driver keeps nothing."""
        return self.record.host_config.log_config.type != "none"

    def drop_waiting(self) -> None:
        """Close the connections that waited for a start: it failed, or will not come."""
        for attachment in self.waiting:
            attachment.sock.close()
        self.waiting.clear()


def not_running(container: Container) -> Conflict:
    """Return the refusal of what only a running container can do, in Docker's words."""
    if container.state.restarting:
        return Conflict(
            f"Container {container.id} is restarting, wait until the container is running"
        )
    return Conflict(f"Container {container.id} is not running")


class Attendant(Protocol):
    """Something that goes along with each run of a container, in this engine or a later one."""

    def began(self, container: Container) -> None:
        """The container runs: it was started, or found running by a new engine."""

    def ended(self, container: Container) -> None:
        """The run is over; the state tells how."""
