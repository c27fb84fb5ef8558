"""What changes of a container's networks while it runs: connected, disconnected, renamed."""

import contextlib

from ipycontainer_runtime.engine.container import Container
from ipycontainer_runtime.engine.hostfiles import renew_host_files
from ipycontainer_runtime.engine.networks.endpoints import Endpoints, choose_route, names_of
from ipycontainer_runtime.engine.networks.ground import Ground
from ipycontainer_runtime.engine.networks.networks import Networks
from ipycontainer_runtime.engine.networks.opening import namespace
from ipycontainer_runtime.engine.networks.publishing import Publishing
from ipycontainer_runtime.errors import Conflict, ContainerError
from ipycontainer_runtime.store import networks as store
from ipycontainer_runtime.store.networks import Endpoint, EndpointSettings, Network, Sandbox


class Changes:
    """Changes the networks of containers; their locks are held by the caller."""

    def __init__(
        self,
        *,
        networks: Networks,
        ground: Ground,
        publishing: Publishing,
        endpoints: Endpoints,
    ) -> None:
        self._networks = networks
        self._ground = ground
        self._publishing = publishing
        self._endpoints = endpoints

    async def connect(
        self, container: Container, network: Network, settings: EndpointSettings
    ) -> None:
        """Put a container into one more network, at once where it runs."""
        sandbox = container.sandbox
        if sandbox is None or not container.state.running:
            return
        await self._ground.bring_up(network)
        endpoint = self._endpoints.give(container, sandbox, network, settings)
        sandbox.endpoints[network.name] = endpoint
        try:
            store.save_sandbox(container.folder, sandbox)
            with namespace(container) as netns:
                await self._ground.attach([(network, endpoint)], netns)
                await self._route(container, sandbox, netns)
            self._renew_files(container, come=endpoint)
            await self._publishing.change(container)
        except BaseException:
            with contextlib.suppress(ContainerError):
                await self._ground.detach(network, endpoint)
            del sandbox.endpoints[network.name]
            self._endpoints.take_back_one(endpoint)
            store.save_sandbox(container.folder, sandbox)
            raise
        self._networks.publish(network, "connect", container=container.id)

    async def renamed(self, container: Container) -> None:
        """Have a container that runs found by its new name, and no more by its old one."""
        sandbox = container.sandbox
        if sandbox is None or not container.state.running:
            return
        for name, end in sandbox.endpoints.items():
            network = self._networks.find(end.network)
            if network is not None and end.interface:
                end.names = names_of(container, network, container.record.networks[name])
        store.save_sandbox(container.folder, sandbox)
        await self._publishing.change(container)

    async def disconnect(self, container: Container, network: Network) -> None:
        """Take a container out of a network, at once where it runs."""
        sandbox = container.sandbox
        endpoint = sandbox.endpoints.get(network.name) if sandbox else None
        if sandbox is None or endpoint is None:
            return
        if endpoint.interface:
            await self._ground.detach(network, endpoint)
        del sandbox.endpoints[network.name]
        if endpoint.interface:
            with contextlib.suppress(Conflict), namespace(container) as netns:
                await self._route(container, sandbox, netns)
        self._endpoints.take_back_one(endpoint)
        store.save_sandbox(container.folder, sandbox)
        self._renew_files(container, gone=endpoint)
        await self._publishing.change(container)
        self._networks.publish(network, "disconnect", container=container.id)

    def has(self, container: Container, network: Network) -> bool:
        """Tell whether a container that runs is in a network."""
        return container.sandbox is not None and network.name in container.sandbox.endpoints

    def _renew_files(
        self,
        container: Container,
        *,
        come: Endpoint | None = None,
        gone: Endpoint | None = None,
    ) -> None:
        renew_host_files(
            container.record,
            container.folder,
            container.sandbox,
            resolved=self._publishing.resolves(container),
            come=come,
            gone=gone,
        )

    async def _route(self, container: Container, sandbox: Sandbox, netns: int) -> None:
        """Have the default route go by the endpoint that is to have it now."""
        before = next((end for end in sandbox.endpoints.values() if end.default), None)
        choose_route(container, sandbox)
        now = next((end for end in sandbox.endpoints.values() if end.default), None)
        if now is not before or now is None:
            await self._ground.route(now, netns)
