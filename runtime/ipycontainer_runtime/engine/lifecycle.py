"""A container's life: start, exit, stop, kill, remove; and what a new engine makes of old ones.

A start is: host files, mounts, bundle; a shim; the connections that attached before; the start
itself. An exit comes from the shim as an event, is written down, wakes those who wait, and removes
the container where that was asked for. Both hold the container's lock, so an exit that comes
before its start is finished waits for it.
"""

import asyncio
import contextlib
import functools
import signal as signals
import time
from pathlib import Path
from typing import Any, cast

from ipycontainer_runtime.engine.activity import Activity
from ipycontainer_runtime.engine.cgroups import Cgroups
from ipycontainer_runtime.engine.container import Container, Ended
from ipycontainer_runtime.engine.containers import Containers
from ipycontainer_runtime.engine.execs import Execs, FilterPath
from ipycontainer_runtime.engine.hostfiles import write_host_files
from ipycontainer_runtime.engine.mounts import place
from ipycontainer_runtime.engine.pausing import Pausing
from ipycontainer_runtime.engine.security import security
from ipycontainer_runtime.engine.signals import signal_number
from ipycontainer_runtime.engine.spec import build_spec
from ipycontainer_runtime.engine.times import parse_rfc3339, rfc3339
from ipycontainer_runtime.errors import Conflict, ContainerError, NotFound, StartFailed, Unavailable
from ipycontainer_runtime.layers.snapshot import Snapshotter
from ipycontainer_runtime.paths import Paths
from ipycontainer_runtime.shim.client import ShimConnection
from ipycontainer_runtime.shim.messages import (
    Detached,
    Event,
    ExecExited,
    Exited,
    LogOptions,
    Started,
    StartRequest,
)
from ipycontainer_runtime.shim.spawning import Spawner
from ipycontainer_runtime.store.records import State

STOP_TIMEOUT = 10
"""Seconds between a stop's signal and SIGKILL."""

_SAVE_DELAY = 0.1
"""Seconds after a change before it is written to state.json."""

_LOST, _LOST_BEFORE = 137, 255
"""Exit codes when nobody saw the exit: the shim was killed now, or before this engine began."""


class Lifecycle:
    """Starts and ends containers; the only one that changes their state."""

    def __init__(
        self,
        *,
        containers: Containers,
        snapshotter: Snapshotter,
        shims: Spawner,
        activity: Activity,
        execs: Execs,
        pausing: Pausing,
        seccomp: FilterPath,
        cgroups: Cgroups,
        paths: Paths,
        rootless: bool,
    ) -> None:
        self._containers = containers
        self._snapshotter = snapshotter
        self._shims = shims
        self._activity = activity
        self._seccomp = seccomp
        self._cgroups = cgroups
        self._paths = paths
        self._rootless = rootless
        self._execs = execs
        self._pausing = pausing
        self._unsaved: dict[str, Container] = {}

    # -- start

    async def start(self, reference: str) -> bool:
        """Start a container; False when it runs already.

        Raises StartFailed with Docker's exit code, which the container's state keeps.
        """
        container = self._containers.get(reference)
        async with container.lock:
            if container.state.running:
                return False
            self._refuse_removing(container)
            try:
                started = await self._launch(container)
            except ContainerError as error:
                self._start_failed(container, error)
                raise
            except OSError as error:
                failure = Unavailable(f"cannot start container {container.id}: {error}")
                self._start_failed(container, failure)
                raise failure from error
            container.state = State(
                status="running", pid=started.pid, started_at=started.started_at
            )
            container.cgroup = started.cgroup
            self._save_soon(container)
            self._containers.publish(container, "start")
        return True

    async def _launch(self, container: Container) -> Started:
        # The shim makes its folder and socket while the bundle is composed here.
        shim = await self._shims.shim(container.id, functools.partial(self._on_event, container))
        self._watch(container, shim)
        try:
            request = self._request(container)
            waiting, container.waiting = container.waiting, []
            for attachment in waiting:
                shim.attach(attachment.sock, attachment.options)
            return await shim.start(request)
        except BaseException:
            container.shim = None
            shim.close()
            raise

    def _request(self, container: Container) -> StartRequest:
        """Write the files that the container gets of its host and return what to start."""
        record, folder = container.record, container.folder
        self._containers.store.clear_exit(record.id)
        write_host_files(record, folder)
        allowed = security(record.host_config)
        spec = build_spec(
            record,
            folder=folder,
            rootfs=self._snapshotter.mounts(
                Path(folder), record.chain, transient=record.host_config.auto_remove
            ),
            placed=place(record.host_config, self._paths),
            security=allowed,
            seccomp=self._seccomp(allowed),
            cgroups=self._cgroups,
            rootless=self._rootless,
        )
        config, log = record.config, record.host_config.log_config
        return StartRequest(
            spec=cast(dict[str, Any], spec),
            state_dir=Path(folder),
            log=LogOptions(log.type, Path(container.log_path), log.config or {}),
            tty=config.tty,
            stdin=config.open_stdin,
            stdin_once=config.stdin_once,
            resources=spec["linux"]["resources"],
        )

    def _start_failed(self, container: Container, error: ContainerError) -> None:
        state = container.state
        state.exit_code = error.exit_code if isinstance(error, StartFailed) else 128
        state.error = str(error)
        self._save_soon(container)
        container.drop_waiting()
        if container.record.host_config.auto_remove:
            self._containers.forget(container)

    def _refuse_removing(self, container: Container) -> None:
        if container.removing:
            raise Conflict(
                "container is marked for removal and cannot be started: create another one"
            )

    # -- events of the shim

    def _watch(self, container: Container, shim: ShimConnection) -> None:
        container.shim = shim
        shim.closed.add_done_callback(lambda _: self._lost(container, shim))

    def _on_event(self, container: Container, event: Event) -> None:
        if isinstance(event, Exited):
            self._activity.background(self._exited(container, event), "take an exit")
        elif isinstance(event, ExecExited):
            self._execs.ended(event)
        elif isinstance(event, Detached):
            self._containers.publish(container, "detach")

    async def _exited(self, container: Container, exited: Exited) -> None:
        async with container.lock:
            if container.state.running:
                self._end(container, exited)

    def _lost(self, container: Container, shim: ShimConnection) -> None:
        """The connection is gone: nothing follows an exit; without one the shim was killed."""
        self._execs.abandon(container)
        if container.shim is shim and container.state.running:
            self._activity.background(self._orphaned(container, shim), "look for an exit")

    async def _orphaned(self, container: Container, shim: ShimConnection) -> None:
        async with container.lock:
            if container.shim is not shim or not container.state.running:
                return
            if self._containers.store.exit_record(container.id) is None:
                self._shims.clear(container.id)
                await asyncio.to_thread(self._cgroups.clear, container.cgroup)
            self._end(container, self._unseen_exit(container, _LOST))

    def _unseen_exit(self, container: Container, otherwise: int) -> Exited:
        """Return the exit as the shim wrote it down, or one that says that nobody knows."""
        written = self._containers.store.exit_record(container.id)
        if written is not None:
            return Exited(
                written.code, written.signal or 0, written.at, written.oom, written.started_at
            )
        return Exited(otherwise, 0, rfc3339(time.time_ns()), False, container.state.started_at)

    def _end(self, container: Container, exited: Exited) -> None:
        container.shim = None
        state = container.state
        container.state = State(
            status="exited",
            exit_code=exited.code,
            started_at=state.started_at,
            finished_at=exited.at,
            oom_killed=exited.oom,
        )
        if exited.oom:
            self._containers.publish(container, "oom")
        lasted = (parse_rfc3339(exited.at) - parse_rfc3339(state.started_at)) // 1_000_000_000
        self._containers.publish(
            container, "die", exitCode=str(exited.code), execDuration=str(max(lasted, 0))
        )
        container.exits.wake(Ended(exited.code))
        if container.record.host_config.auto_remove and not container.restarts:
            self._containers.forget(container)
        else:
            self._save_soon(container)

    # -- state.json

    def _save_soon(self, container: Container) -> None:
        """Write the state once nobody waits for this engine; a short life is never written.

        Until then the shim's own files tell the next engine as much: see `recover`.
        """
        if not self._unsaved:
            asyncio.get_running_loop().call_later(_SAVE_DELAY, self.save)
        self._unsaved[container.id] = container

    def save(self) -> None:
        """Write every state that changed; called a little after the changes, and at the end."""
        unsaved, self._unsaved = self._unsaved, {}
        for container in unsaved.values():
            if not container.removing:
                self._containers.store.save_state(container.id, container.state)

    # -- wait

    def wait(self, reference: str, condition: str) -> "asyncio.Future[Ended]":
        """Return what is fulfilled at the condition: not-running, next-exit or removed."""
        container = self._containers.get(reference)
        if condition == "removed":
            return container.removals.add()
        if condition == "next-exit" or container.state.running:
            return container.exits.add()
        done: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        done.set_result(Ended(container.state.exit_code))
        return done

    # -- stop and kill

    async def stop(self, reference: str, timeout: int | None, signal: str = "") -> bool:
        """Signal a container, wait, then kill it; False when it does not run. -1 waits for ever."""
        container = self._containers.get(reference)
        if not container.state.running:
            return False
        config = container.record.config
        number = signal_number(signal or config.stop_signal or "", signals.SIGTERM)
        if timeout is None:
            timeout = config.stop_timeout if isinstance(config.stop_timeout, int) else STOP_TIMEOUT
        ended = container.exits.add()
        await self._signal(container, number)
        try:
            await asyncio.wait_for(asyncio.shield(ended), None if timeout < 0 else timeout)
        except (asyncio.TimeoutError, TimeoutError):
            await self._signal(container, signals.SIGKILL)
            await ended
        self._containers.publish(container, "stop")
        return True

    async def restart(self, reference: str, timeout: int | None, signal: str = "") -> None:
        """Stop a container if it runs, and start it; one with `--rm` is not removed in between."""
        container = self._containers.get(reference)
        container.restarts += 1
        try:
            await self.stop(container.id, timeout, signal)
        finally:
            container.restarts -= 1
        await self.start(container.id)
        self._containers.publish(container, "restart")

    async def kill(self, reference: str, signal: str = "") -> None:
        """Send a signal; after SIGKILL return once the container has ended."""
        container = self._containers.get(reference)
        number = signal_number(signal, signals.SIGKILL)
        if not container.state.running:
            raise Conflict(
                f"Cannot kill container: {reference}: Container {container.id} is not running"
            )
        ended = container.exits.add()
        await self._signal(container, number)
        if number == signals.SIGKILL:
            await ended

    async def _signal(self, container: Container, number: int) -> None:
        if container.shim is not None:
            self._containers.publish(container, "kill", signal=str(number))
            # It may have ended a moment ago; its exit is on the way then.
            with contextlib.suppress(NotFound, Unavailable):
                await container.shim.signal(number)
            await self._pausing.let_go(container)

    async def resize(self, reference: str, width: int, height: int) -> None:
        """Set the size of a container's terminal, in characters."""
        container = self._containers.get(reference)
        if not container.state.running or container.shim is None:
            raise Conflict(f"Container {container.id} is not running")
        with contextlib.suppress(NotFound, Unavailable):
            await container.shim.resize(width, height)
        self._containers.publish(container, "resize", width=str(width), height=str(height))

    # -- remove

    async def remove(self, reference: str, *, force: bool = False) -> None:
        """Remove a container; a running one only by force, which kills it first."""
        container = self._containers.get(reference)
        while not container.removing:
            if container.state.running:
                await self._end_by_force(container, force)
            async with container.lock:  # a start that was under way has finished then
                if not container.state.running and not container.removing:
                    self._containers.forget(container)

    async def _end_by_force(self, container: Container, force: bool) -> None:
        if not force:
            raise Conflict(
                f"You cannot remove a running container {container.id}. Stop the container "
                "before attempting removal or force remove"
            )
        ended = container.exits.add()
        await self._signal(container, signals.SIGKILL)
        await ended

    # -- adoption

    async def recover(self) -> None:
        """Take over what earlier engines left: containers that run, and exits nobody saw.

        A shim that answers means that its container runs, whatever state.json says: an engine that
        was killed may not have written it. An exit.json of another run than the state's is news.
        """
        for container in self._containers.all():
            written = self._containers.store.exit_record(container.id)
            if await self._adopt(container):
                continue
            if written is not None and written.started_at != container.state.started_at:
                container.state = State(status="running", started_at=written.started_at)
            if container.state.running:
                self._end(container, self._unseen_exit(container, _LOST_BEFORE))
            elif container.record.host_config.auto_remove and container.state.status == "exited":
                self._containers.forget(container)

    async def _adopt(self, container: Container) -> bool:
        """Connect to the container's shim and take its word; False when there is none."""
        shim = await self._shims.reconnect(
            container.id, functools.partial(self._on_event, container)
        )
        if shim is None:
            return False
        try:
            status = await shim.status()
        except Unavailable:
            return False  # it ended just now, and has written so
        if not status.pid:
            shim.close()  # it was never started, and leaves
            return False
        if container.state.started_at != status.started_at:
            self._save_soon(container)
        known = container.state.started_at == status.started_at
        container.state = State(
            status="running",
            pid=status.pid,
            started_at=status.started_at,
            paused=known and container.state.paused,
        )
        container.cgroup = status.cgroup
        self._watch(container, shim)
        self._execs.adopt(container, status.execs)
        return True
