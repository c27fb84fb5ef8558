"""Names and published ports of containers that run: what the helper and the firewall are told."""

import asyncio
import logging
import os
from collections.abc import Callable, Iterable

from ipycontainer_runtime.engine.activity import Activity
from ipycontainer_runtime.engine.container import Container
from ipycontainer_runtime.engine.networks import ports
from ipycontainer_runtime.engine.networks.ground import Ground
from ipycontainer_runtime.engine.networks.networks import Networks
from ipycontainer_runtime.errors import ContainerError
from ipycontainer_runtime.network.bridge import BINDING
from ipycontainer_runtime.network.helper.client import Helper
from ipycontainer_runtime.network.helper.presence import Membership, Presence, Wanted
from ipycontainer_runtime.store import networks as store
from ipycontainer_runtime.store.networks import Endpoint, Network, Sandbox

_log = logging.getLogger(__name__)

_PATIENCE = 5.0
"""Seconds that a removal waits for its ports to be taken back."""
_EVERYWHERE = "0.0.0.0"  # noqa: S104 - what is asked for where nothing is


class Publishing:
    """Tells the helper who runs where, and the firewall which ports lead to whom."""

    def __init__(
        self,
        *,
        networks: Networks,
        ground: Ground,
        helper: Helper,
        activity: Activity,
        find: Callable[[str], Container],
    ) -> None:
        self._networks = networks
        self._ground = ground
        self._helper = helper
        self._activity = activity
        self._find = find
        self._ending: dict[str, asyncio.Task[None]] = {}
        """What takes back names and ports of runs that have ended, by container."""

    def foresee(self, container: Container) -> None:
        """Have the helper warm by the time that a start needs it. Raises Unavailable."""
        if self._needs(container):
            self._helper.start()

    def foresee_names(self, network: Network) -> None:
        """Have the helper warm for the first container of a new network. Raises Unavailable."""
        if not network.predefined and network.driver == "bridge":
            self._helper.start()

    def _needs(self, container: Container) -> bool:
        record = container.record
        host = record.host_config
        if host.network_mode == "host":
            return False
        return self.resolves(container) or bool(host.port_bindings or host.publish_all_ports)

    def resolves(self, container: Container) -> bool:
        """Tell whether a container asks us for names: in a network of somebody's own."""
        found = (self._networks.find(s.network) for s in container.record.networks.values())
        return any(network is not None and not network.predefined for network in found)

    async def begin(self, container: Container, netns: int, shim: int) -> None:
        """Have a container's names resolved and its ports published, from before its start.

        Raises ContainerError, in Docker's words, for a port that is taken.
        """
        sandbox = container.sandbox
        if sandbox is None or not self._needs(container):
            return
        presence = self._presence(container, sandbox)
        process = os.pidfd_open(shim)  # which ends with the run, and no sooner
        try:
            told = presence._replace(process=process, place=self._ground.place.netns)
            sandbox.published = await self._helper.serve(told, netns)
        finally:
            os.close(process)
        if sandbox.published:
            store.save_sandbox(container.folder, sandbox)
            await self._ground.publish(sandbox.published)

    async def change(self, container: Container) -> None:
        """Tell what has changed of a container that runs: its networks, or its name."""
        sandbox = container.sandbox
        if sandbox is None or not container.state.running:
            return
        before = sandbox.published
        if not self._needs(container) and not before:
            return
        sandbox.published = await self._helper.serve(self._presence(container, sandbox))
        store.save_sandbox(container.folder, sandbox)
        await self._ground.unpublish([port for port in before if port not in sandbox.published])
        await self._ground.publish([port for port in sandbox.published if port not in before])

    def end(self, container: Container, sandbox: Sandbox, then: Callable[[Sandbox], None]) -> None:
        """Take back what a run had published, after the reply; `then` is done once nothing is."""
        if not sandbox.published:
            then(sandbox)
        if sandbox.published or self._needs(container):
            work = self._end(container.id, sandbox)
            task = self._activity.background(work, "take back names and ports")
            if sandbox.published:
                self._ending[container.id] = task
                task.add_done_callback(lambda task: then(sandbox))
                task.add_done_callback(lambda task: self._ended(container.id, task))

    def _ended(self, container_id: str, task: "asyncio.Task[None]") -> None:
        if self._ending.get(container_id) is task:  # and not that of a later run
            del self._ending[container_id]

    async def taken_back(self, container_id: str) -> None:
        """Return once the ports of a run that has ended are free; one that fails is logged."""
        if task := self._ending.get(container_id):
            await asyncio.wait([task], timeout=_PATIENCE)

    async def all_taken_back(self) -> None:
        """Return once no port leads to a run that has ended; one that fails is logged."""
        if self._ending:
            await asyncio.wait([*self._ending.values()], timeout=_PATIENCE)

    async def _end(self, container_id: str, sandbox: Sandbox) -> None:
        """Take the rules first: who is given a port that is free must have what comes for it."""
        running = self._run_of(container_id)
        kept = running.published if running else []
        gone = [port for port in sandbox.published if port not in kept]
        try:
            if gone:  # else its names would wait for others' rules
                await self._ground.unpublish(gone)
        finally:
            if self._run_of(container_id) is None:  # else it was started again, and has told all
                await self._helper.drop(container_id)

    def _run_of(self, container_id: str) -> Sandbox | None:
        try:
            return self._find(container_id).sandbox
        except ContainerError:
            return None

    async def settle(self, containers: Iterable[Container]) -> None:
        """Have the helper forget whatever does not run; at a new engine's start."""
        running = {container.id: container for container in containers if container.sandbox}
        try:
            for container_id in await self._helper.held():
                if container_id not in running:
                    await self._helper.drop(container_id)
            for container in running.values():
                await self.change(container)
        except ContainerError as error:
            _log.warning("names and ports of containers that run: %s", error)

    def close(self) -> None:
        """Leave the helper to the next engine."""
        self._helper.close()

    def _presence(self, container: Container, sandbox: Sandbox) -> Presence:
        record = container.record
        main = next((end for end in sandbox.endpoints.values() if end.default), None)
        return Presence(
            container=record.id,
            name=record.name,
            networks=tuple(
                self._membership(end) for end in sandbox.endpoints.values() if end.interface
            ),
            links=tuple(self._links(container)),
            resolves=self.resolves(container),
            upstreams=tuple(record.host_config.dns or ()),
            endpoint=main.id if main else "",
            address=_bare(main.ipv4) if main else "",
            address6=_bare(main.ipv6) if main else "",
            wanted=tuple(self._wanted(container, main)) if main else (),
        )

    def _wanted(self, container: Container, main: Endpoint) -> Iterable[Wanted]:
        """Yield the ports to publish; a network may say at which address of the machine."""
        network = self._networks.find(main.network)
        binding = network.options.get(BINDING, "") if network else ""
        for wanted in ports.asked(container.record.config, container.record.host_config):
            if not wanted.host_address and binding not in ("", _EVERYWHERE):
                yield wanted._replace(host_address=binding)
            else:
                yield wanted

    def _membership(self, end: Endpoint) -> Membership:
        network = self._networks.find(end.network)
        return Membership(
            network=end.network,
            network_name=network.name if network else "",
            names=tuple(end.names),
            addresses=tuple(_bare(text) for text in (end.ipv4, end.ipv6) if text),
            internal=network.internal if network else True,
        )

    def _links(self, container: Container) -> Iterable[tuple[str, str]]:
        """Yield pairs of an alias and the id of the container that it means."""
        host = container.record.host_config
        places = container.record.networks.values()
        for text in (*(host.links or ()), *(link for place in places for link in place.links)):
            name, _, alias = text.partition(":")
            try:
                other = self._find(name)
            except ContainerError as error:  # it was removed since
                _log.info("link %s of container %s: %s", text, container.id, error)
            else:
                yield alias or other.record.name, other.id


def _bare(interface: str) -> str:
    return interface.partition("/")[0]
