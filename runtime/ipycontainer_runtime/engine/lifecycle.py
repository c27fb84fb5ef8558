"""A container's life: its start, and its exit.

A start is: host files, mounts, bundle; a shim; the connections that attached before; the start
itself. An exit comes from the shim as an event, is written down, wakes those who wait, and removes
the container where that was asked for. Both hold the container's lock, so an exit that comes
before its start is finished waits for it.
"""

import asyncio
import contextlib
import functools
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from ipycontainer_runtime.engine import operations, runtimes
from ipycontainer_runtime.engine.activity import Activity
from ipycontainer_runtime.engine.annotations import requires_limits, wants_explained, wants_lease
from ipycontainer_runtime.engine.cgroups import Cgroups
from ipycontainer_runtime.engine.container import Attendant, Container, Ended, Found, not_running
from ipycontainer_runtime.engine.containers import Containers
from ipycontainer_runtime.engine.execs import Execs, FilterPath
from ipycontainer_runtime.engine.faults import bad_end, failed_start, fault_attributes
from ipycontainer_runtime.engine.joining import Joined, join
from ipycontainer_runtime.engine.logoptions import completed
from ipycontainer_runtime.engine.moments import encoded
from ipycontainer_runtime.engine.mounts import Placed
from ipycontainer_runtime.engine.networks.attachments import Attachments
from ipycontainer_runtime.engine.restarts import Restarts
from ipycontainer_runtime.engine.security import security
from ipycontainer_runtime.engine.spec import build_spec
from ipycontainer_runtime.engine.times import parse_rfc3339, rfc3339
from ipycontainer_runtime.engine.volumes.attaching import Attaching
from ipycontainer_runtime.errors import Conflict, ContainerError, NotFound, StartFailed, Unavailable
from ipycontainer_runtime.layers.snapshot import Snapshotter
from ipycontainer_runtime.linux.grade import Grade
from ipycontainer_runtime.shim.client import ShimConnection
from ipycontainer_runtime.shim.messages import (
    Detached,
    Event,
    ExecExited,
    Exited,
    InputWanted,
    LogOptions,
    Started,
    StartRequest,
)
from ipycontainer_runtime.shim.spawning import Spawner
from ipycontainer_runtime.store.records import State

if TYPE_CHECKING:
    from ipycontainer_runtime.engine.adoption import Adoption

_log = logging.getLogger(__name__)

_SAVE_DELAY = 0.1
"""Seconds after a change before it is written to state.json."""

_RETRY_DELAY = 5.0
"""Seconds after which a state is written again that could not be."""

_LOST = 137
"""Exit code when nobody saw the exit: the shim was killed."""


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
        restarts: Restarts,
        seccomp: FilterPath,
        cgroups: Cgroups,
        attaching: Attaching,
        grade: Grade,
        attachments: Attachments,
    ) -> None:
        self._attaching = attaching
        self._containers = containers
        self._attachments = attachments
        self._snapshotter = snapshotter
        self._shims = shims
        self._activity = activity
        self._seccomp = seccomp
        self._cgroups = cgroups
        self._grade = grade
        self._execs = execs
        self._restarts = restarts
        self._attendants: list[Attendant] = [restarts, attaching]
        self._unsaved: dict[str, Container] = {}
        self.adoption: Adoption | None = None
        """Finds the shims again whose connection has broken; set once it is made."""

    def attend(self, attendant: Attendant) -> None:
        """Tell somebody of every run that begins or ends from now on."""
        self._attendants.append(attendant)

    # -- start

    async def start(self, reference: str) -> bool:
        """Start a container; False when it runs already, or is about to by its restart policy.

        Raises StartFailed with Docker's exit code, which the container's state keeps.
        """
        container = self._containers.get(reference)
        async with container.lock:
            if container.state.paused:
                raise Conflict("cannot start a paused container, try unpause instead")
            if container.state.active:
                return False
            self._refuse_removing(container)
            container.delay = 0.0
            await self._start(container, restart_count=0)
        return True

    async def _start_again(self, container: Container) -> None:
        """Start a container for its restart policy; a start that fails is the last."""
        async with container.lock:
            if not container.state.restarting or container.removing:
                return
            try:
                await self._start(container, restart_count=container.state.restart_count + 1)
            except ContainerError as error:
                _log.warning("container %s was not started again: %s", container.id, error)

    async def _start(self, container: Container, *, restart_count: int) -> None:
        try:
            started = await self._launch(container)
        except ContainerError as error:
            self._start_failed(container, error)
            raise
        except OSError as error:
            failure = Unavailable(f"cannot start container {container.id}: {error}")
            self._start_failed(container, failure)
            raise failure from error
        container.moments.launch.note("started")
        container.moments.take(started.times, started.told)
        container.state = State(
            status="running",
            pid=started.pid,
            started_at=started.started_at,
            restart_count=restart_count,
        )
        container.cgroup = started.cgroup
        container.timed_out = False
        self.save_soon(container)
        self._containers.publish(container, "start")
        self.began(container)

    async def taken_back(self, container: Container) -> None:
        """Return once the ports of a container that has ended are free for others."""
        await self._attachments.taken_back(container)

    def began(self, container: Container) -> None:
        """Tell the attendants that a container runs."""
        for attendant in self._attendants:
            attendant.began(container)

    async def _launch(self, container: Container) -> Started:
        self._grade.check_containers()
        launch = container.moments.begin_run()
        # The shim makes its folder and socket while the bundle is composed here.
        shim = await self._shims.shim(
            container.id,
            functools.partial(self.on_event, container),
            apart=container.record.ids is not None,
        )
        launch.note("shim")
        self._watch(container, shim)
        try:
            joined = await join(container, self._containers.get, self._grade)
            with contextlib.closing(joined):
                async with self._attachments.wired(container, shim, joined, self._grade):
                    volumes = await self._attaching.mount(container)
                    record = container.record
                    placed = await self._attaching.place(
                        record.mounts, volumes, mapped=record.ids is not None
                    )
                    request = self._request(container, joined, placed)
                    launch.note("bundle")
                    waiting, container.waiting = container.waiting, []
                    for attachment in waiting:
                        shim.attach(attachment.sock, attachment.options)
                launch.note("network")
                try:
                    return await shim.start(request)
                except StartFailed as error:
                    if request.runtime:
                        raise  # not our launcher's words
                    raise operations.in_words(error, request.spec) from error
        except BaseException as error:
            container.moments.failed(error)
            container.shim = None
            if shim.closed.done():  # it was killed; any other cleans up behind itself
                await self._clear(container, shim.cgroup)
            shim.close()
            raise

    def _request(self, container: Container, joined: Joined, placed: Placed) -> StartRequest:
        """Write the files that the container gets of its host and return what to start."""
        record, folder = container.record, container.folder
        self._containers.store.clear_exit(record.id)
        if not joined.files:
            self._attachments.write_files(container)
        if requires_limits(record.host_config):
            self._containers.unbound(record.host_config)  # this may be another kind of engine now
        allowed = security(record.host_config)
        spec = build_spec(
            record,
            folder=folder,
            rootfs=self._snapshotter.mounts(
                Path(folder), record.chain, transient=record.host_config.auto_remove
            ),
            placed=placed,
            security=allowed,
            seccomp=self._seccomp(allowed),
            cgroups=self._cgroups,
            grade=self._grade,
            joined=joined,
            links=container.link_variables,
        )
        runtime = runtimes.path_of(record.host_config)
        if not runtime and wants_explained(record.host_config):
            container.moments.account = operations.ask(cast(dict[str, Any], spec), self._cgroups)
        if runtime:
            spec = runtimes.bundle(spec, record.host_config, allowed)
        config, log = record.config, record.host_config.log_config
        return StartRequest(
            runtime=runtime,
            spec=cast(dict[str, Any], spec),
            state_dir=Path(folder),
            log=LogOptions(log.type, Path(container.log_path), completed(log)),
            tty=config.tty,
            stdin=config.open_stdin,
            stdin_once=config.stdin_once,
            lease=wants_lease(container.record.host_config),
            resources=spec["linux"]["resources"],
        )

    def _start_failed(self, container: Container, error: ContainerError) -> None:
        state = container.state
        if state.restarting:
            state.status = "exited"
        state.exit_code = error.exit_code if isinstance(error, StartFailed) else 128
        state.error = str(error)
        state.fault = error.fault = failed_start(error)
        self._attachments.ended(container)
        self.save_soon(container)
        self._containers.publish(container, "fault", **fault_attributes(state.fault))
        container.drop_waiting()
        container.inputs.end(None)
        for attendant in self._attendants:
            attendant.ended(container)
        if container.record.host_config.auto_remove:
            self._containers.forget(container, volumes=True)

    def _refuse_removing(self, container: Container) -> None:
        if container.removing:
            raise Conflict(
                "container is marked for removal and cannot be started: create another one"
            )

    # -- events of the shim

    def take(self, container: Container, shim: ShimConnection) -> None:
        """Go on with a container by another connection to its shim."""
        self._watch(container, shim)

    def _watch(self, container: Container, shim: ShimConnection) -> None:
        container.shim = shim
        container.inputs.connected(shim)
        shim.closed.add_done_callback(lambda _: self._lost(container, shim))

    def on_event(self, container: Container, event: Event) -> None:
        """Take what a container's shim tells."""
        if isinstance(event, Exited):
            self._activity.background(self._exited(container, event), "take an exit")
        elif isinstance(event, ExecExited):
            self._execs.ended(event)
        elif isinstance(event, Detached):
            if event.exec is None:
                self._containers.publish(container, "detach")
            else:
                self._execs.detached(event.exec)
        elif isinstance(event, InputWanted):
            container.inputs.tell(event)

    async def _exited(self, container: Container, exited: Exited) -> None:
        async with container.lock:
            if container.state.running:
                container.moments.launch.note("exited")
                self.end(container, exited)

    def _lost(self, container: Container, shim: ShimConnection) -> None:
        """The connection is gone: nothing follows an exit; without one the shim may live."""
        if container.shim is shim and container.state.running:
            self._activity.background(self._orphaned(container, shim), "look for an exit")
        elif container.shim is None:
            self._execs.abandon(container)
            if not container.lock.locked():
                self._shims.clear(container.id)  # it was killed on its way out, if any is there

    async def _orphaned(self, container: Container, shim: ShimConnection) -> None:
        async with container.lock:
            if container.shim is not shim or not container.state.running:
                return
            assert self.adoption is not None, "set before the first start"
            if await self.adoption.adopt(container) is Found.RUNNING:
                return
            unseen = self._containers.store.exit_record(container.id) is None
            exited = self.unseen_exit(container, _LOST)
            self._execs.abandon(container)
            try:
                if unseen:
                    await self._clear(container, container.cgroup)
            finally:  # what cannot be cleared away must not keep anybody waiting for the exit
                self.end(container, exited)

    async def reunited(self, container: Container, shim: ShimConnection) -> None:
        """Return once a connection that has broken was replaced, or its container has ended."""
        while container.shim is shim and container.state.running:
            await asyncio.sleep(0)  # whoever finds the shim again takes the lock in a moment
            async with container.lock:
                pass

    async def _clear(self, container: Container, cgroup: str) -> None:
        """Remove what a shim left that was killed."""
        self._shims.clear(container.id)
        await asyncio.to_thread(self._cgroups.clear, cgroup)

    def unseen_exit(self, container: Container, otherwise: int) -> Exited:
        """Return the exit as the shim wrote it down, or one that says that nobody knows."""
        written = self._containers.store.exit_record(container.id)
        if written is not None:
            signal = written.signal or 0
            return Exited(
                written.code,
                signal,
                written.at,
                written.oom,
                written.started_at,
                written.times,
                written.peak,
            )
        return Exited(otherwise, 0, rfc3339(time.time_ns()), False, container.state.started_at)

    def end(self, container: Container, exited: Exited) -> None:
        """Take the end of a run, tell it, and see whether another one follows."""
        container.shim = None
        container.moments.take(exited.times)
        container.state = msgspec.structs.replace(
            container.state,
            status="exited",
            pid=0,
            paused=False,
            exit_code=exited.code,
            finished_at=exited.at,
            oom_killed=exited.oom,
            fault=bad_end(container, exited),
        )
        if exited.oom:
            self._containers.publish(container, "oom")
        state = container.state
        lasted = (parse_rfc3339(exited.at) - parse_rfc3339(state.started_at)) / 1_000_000_000
        self._containers.publish(
            container,
            "die",
            exitCode=str(exited.code),
            execDuration=str(max(int(lasted), 0)),
            **fault_attributes(state.fault),
        )
        self._attachments.ended(container)
        container.exits.wake(Ended(exited.code, fault=state.fault))
        container.inputs.end(None)
        self.settle(container, lasted)
        for attendant in self._attendants:
            attendant.ended(container)

    def settle(self, container: Container, lasted: float = 0.0) -> None:
        """Start a container that has ended again, remove it, or keep it, as was asked for."""
        if self._restarts.wants(container, container.state.exit_code):
            container.state.status = "restarting"
            self._restarts.later(container, lasted, self._start_again)
            self.save_soon(container)
        elif container.record.host_config.auto_remove and not container.restart_requests:
            self._containers.forget(container, volumes=True)
        else:
            self.save_soon(container)

    # -- state.json

    def save_soon(self, container: Container) -> None:
        """Write a state once nobody waits for this engine; a short life is never written.

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
                self.save_now(container)

    def save_now(self, container: Container) -> None:
        """Write a container's state; a disk that is full gets another chance."""
        try:
            self._containers.store.save_state(container.id, container.state)
            self._containers.store.save_timeline(container.id, encoded(container.moments))
        except OSError as error:
            _log.warning("the state of container %s is not written: %s", container.id, error)
            if not self._unsaved:
                asyncio.get_running_loop().call_later(_RETRY_DELAY, self.save)
            self._unsaved[container.id] = container

    # -- wait

    def wait(self, reference: str, condition: str) -> "asyncio.Future[Ended]":
        """Return what is fulfilled at the condition: not-running, next-exit or removed."""
        container = self._containers.get(reference)
        if condition == "removed":
            return container.removals.add()
        if condition == "next-exit" or container.state.active:
            return container.exits.add()
        done: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        done.set_result(Ended(container.state.exit_code, fault=container.state.fault))
        return done

    # -- terminal

    async def resize(self, reference: str, width: int, height: int) -> None:
        """Set the size of a container's terminal, in characters."""
        container = self._containers.get(reference)
        if not container.state.running or container.shim is None:
            raise not_running(container)
        with contextlib.suppress(NotFound, Unavailable):
            await container.shim.resize(width, height)
        self._containers.publish(container, "resize", width=str(width), height=str(height))
