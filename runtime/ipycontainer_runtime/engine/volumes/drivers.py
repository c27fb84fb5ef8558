"""Which drivers there are: `local`, and the plugins that this machine has just now."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from ipycontainer_runtime.engine.threads import apart
from ipycontainer_runtime.engine.volumes.driver import Driver, Known
from ipycontainer_runtime.engine.volumes.local import Local
from ipycontainer_runtime.engine.volumes.plugin import Plugin
from ipycontainer_runtime.engine.volumes.plugins import Plugins
from ipycontainer_runtime.errors import ContainerError
from ipycontainer_runtime.store.volumes import LOCAL, Volume

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Drivers:
    """Finds drivers by name, and calls them."""

    def __init__(self, local: Local, plugins: Plugins) -> None:
        self._local = local
        self._plugins = plugins

    async def get(self, name: str) -> Driver:
        """Return a driver that works; NotFound in Docker's words when there is none."""
        if name == LOCAL:
            return self._local
        plugin = self._plugins.get(name)
        await apart(plugin.activate)
        return plugin

    def known(self, name: str) -> Driver | None:
        """Return a driver without asking whether it works; None where it has gone."""
        return self._local if name == LOCAL else self._plugins.find(name)

    async def call(self, driver: Driver, function: Callable[[], T]) -> T:
        """Call a driver: a plugin on a thread, as it may take its time."""
        if driver.name == LOCAL:
            return function()
        return await apart(function)

    async def check(self, driver: Driver, volume: Volume) -> None:
        """Have a driver refuse what it cannot make; a folder of the host may never answer."""
        if volume.options:
            await apart(partial(driver.check, volume))
        else:
            driver.check(volume)

    async def find(self, name: str) -> tuple[Plugin, Known] | None:
        """Ask all plugins side by side for a volume; one that fails has it not."""

        def ask(plugin: Plugin) -> Known | None:
            try:
                plugin.activate()
                return plugin.find(name)
            except ContainerError as error:
                _log.warning("volume plugin %s is passed over: %s", plugin.name, error)
                return None

        plugins = self._plugins.all()
        found = await asyncio.gather(*(apart(partial(ask, plugin)) for plugin in plugins))
        return next(((p, known) for p, known in zip(plugins, found, strict=True) if known), None)

    async def survey(self) -> list[tuple[Plugin, list[Known] | ContainerError]]:
        """Ask all plugins side by side for their volumes; one that fails says why."""

        def ask(plugin: Plugin) -> list[Known] | ContainerError:
            try:
                plugin.activate()
                return list(plugin.known())
            except ContainerError as error:
                return error

        plugins = self._plugins.all()
        found = await asyncio.gather(*(apart(partial(ask, plugin)) for plugin in plugins))
        return list(zip(plugins, found, strict=True))
