"""From an image's name to the first byte of output: what happened, who did it, when and how long.

A few moments are noted of every container, for what a handful of nanoseconds costs. One that is
asked for by the annotation `io.ipycontainer.explain` has its launcher note every operation, and
look at /proc just before the command; its timeline is kept a while after its removal too.
"""

import asyncio
from collections import OrderedDict
from pathlib import Path
from typing import Any

from ipycontainer_runtime.engine import runtimes, seen
from ipycontainer_runtime.engine.annotations import wants_explained
from ipycontainer_runtime.engine.cgroups import Cgroups
from ipycontainer_runtime.engine.container import Container
from ipycontainer_runtime.engine.containers import Containers
from ipycontainer_runtime.engine.execs import FilterPath
from ipycontainer_runtime.engine.imageviews import layers_with_steps
from ipycontainer_runtime.engine.resources import limits
from ipycontainer_runtime.engine.security import security
from ipycontainer_runtime.engine.steps import laid
from ipycontainer_runtime.engine.times import rfc3339
from ipycontainer_runtime.errors import NotFound, Unavailable
from ipycontainer_runtime.layers.snapshot import Snapshotter
from ipycontainer_runtime.linux.seccomp.census import census
from ipycontainer_runtime.store.images import ImageStore
from ipycontainer_runtime.store.layers import LayerStore

_PERIOD = 100_000
"""Microseconds of a CPU period where none was asked for."""

_REMEMBERED = 16
"""Containers whose timeline outlives them."""

Document = dict[str, Any]


class Timelines:
    """Tells what happened to containers; an `Attendant`, so that it hears of what is removed."""

    def __init__(
        self,
        *,
        containers: Containers,
        image_store: ImageStore,
        layers: LayerStore,
        snapshotter: Snapshotter,
        cgroups: Cgroups,
        seccomp: FilterPath,
    ) -> None:
        self._containers = containers
        self._images = image_store
        self._layers = layers
        self._snapshotter = snapshotter
        self._cgroups = cgroups
        self._seccomp = seccomp
        self._removed: OrderedDict[str, Document] = OrderedDict()

    def began(self, container: Container) -> None:
        """Do nothing: what there is to note is noted already."""

    def ended(self, container: Container) -> None:
        """Keep the timeline of one that goes with its end and was to be explained."""
        host = container.record.host_config
        if host.auto_remove and wants_explained(host):
            self._removed[container.id] = self._document(container)
            while len(self._removed) > _REMEMBERED:
                self._removed.popitem(last=False)

    async def of(self, reference: str) -> Document:
        """Return GET /ipycontainer/containers/{id}/timeline; NotFound for one that is not known."""
        try:
            container = self._containers.get(reference)
        except NotFound:
            document = self._of_removed(reference)
            if document is None:
                raise
        else:
            await self._ask_shim(container)
            document = self._document(container)
        return {**document, "Filter": await asyncio.to_thread(_filter, document["Filter"])}

    def _of_removed(self, reference: str) -> Document | None:
        for container_id, document in self._removed.items():
            if reference in (container_id, document["Name"]) or (
                len(reference) >= 4 and container_id.startswith(reference)
            ):
                return document
        return None

    async def _ask_shim(self, container: Container) -> None:
        """Learn when a container that runs has spoken first."""
        if container.state.running and container.shim is not None:
            try:
                container.moments.take((await container.shim.status()).times)
            except Unavailable:
                return  # it is ending just now, and tells that by itself

    def _document(self, container: Container) -> Document:
        record, state, moments = container.record, container.state, container.moments
        account = moments.account
        host, done = record.host_config, laid(moments)
        return {
            "Id": record.id,
            "Name": record.name,
            "Command": record.config.command,
            "Hostname": record.config.hostname,
            "Runtime": host.runtime if runtimes.is_foreign(host) else "",
            "Explained": account is not None,
            "Seen": "launch" if account else "now" if state.running else "",
            "Began": rfc3339(done.began) if done.began else "",
            "Boot": done.boot,
            "Monotonic": done.monotonic,
            "Steps": done.steps,
            "Image": self._image(container),
            "Root": self._root(container),
            "Network": record.network,
            "Cgroup": {"Mode": self._cgroups.hierarchy.mode, "Name": container.cgroup},
            "Asked": {"Limits": limits(host), "Privileged": host.privileged},
            "Filter": {"Path": self._seccomp(security(host))},
            "Pid": state.pid,
            "Status": state.shown,
            "ExitCode": state.exit_code,
            "Error": state.error,
            "Facts": self._facts(container),
        }

    def _facts(self, container: Container) -> Document | None:
        """Return what was seen by the launcher, or can be seen now; None when it is too late."""
        account = container.moments.account
        if account is not None:
            return seen.facts(account.seen, account.outside) if account.seen else None
        if not container.state.running:
            return None
        usage = self._cgroups.hierarchy.open(container.cgroup).usage()
        cpus = _cpus(limits(container.record.host_config).get("cpu", {}))
        now = seen.facts(seen.of_process(container.state.pid), seen.namespaces_of("self"))
        return {**now, "Limits": seen.live_limits(usage, cpus)}

    def _image(self, container: Container) -> Document:
        record = container.record
        image = self._images.find(record.image)
        return {
            "Name": record.config.image,
            "Id": record.image,
            "Digest": image.descriptor.digest if image else "",
            "Layers": layers_with_steps(record.chain, image, self._layers),
        }

    def _root(self, container: Container) -> Document:
        record = container.record
        graph = self._snapshotter.graph(Path(container.folder), record.chain) or {}
        return {
            "Driver": self._snapshotter.name,
            "Upper": graph.get("UpperDir", ""),
            "Work": graph.get("WorkDir", ""),
            "Volatile": record.host_config.auto_remove,
        }


def _filter(known: Document) -> Document:
    path = known["Path"]
    if not path or not Path(path).exists():
        return known
    counted = [
        {name.title(): value for name, value in entry._asdict().items()}
        for entry in census(Path(path))
    ]
    return {**known, "Architectures": counted}


def _cpus(asked: Document) -> float | None:
    quota, period = asked.get("quota", 0), asked.get("period") or _PERIOD
    return quota / period if quota > 0 else None
