"""`ContainerProvisioner`: how Jupyter starts, signals and ends a kernel that is in a container.

Called by jupyter_client's KernelManager for kernelspecs whose metadata name `ipycontainer`; its
methods are those of `KernelProvisionerBase`, in the order in which the manager calls them.
"""

from __future__ import annotations

import asyncio
import signal
from functools import partial
from pathlib import Path
from typing import Any

from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase

from ipycontainer_kernel.fate import Fate
from ipycontainer_kernel.owned import OwnedKernel
from ipycontainer_kernel.requests import NOTEBOOK
from ipycontainer_kernel.settings import KEY, Settings
from ipycontainer_kernel.threads import in_thread


class ContainerProvisioner(KernelProvisionerBase):
    """Keeps one kernel in a container; a restart is another container with the same sockets."""

    _owned: OwnedKernel | None = None
    _running = False
    _notebook: Path | None = None

    @property
    def has_process(self) -> bool:
        """Whether there is a kernel that was not waited for."""
        return self._running

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Leave out what the host's processes have: a container gets its kernelspec's variables."""
        extra = kwargs.pop("extra_arguments", [])
        return await super().pre_launch(cmd=list(extra), **kwargs)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Start a container and return how to reach its kernel; `cmd` are further arguments."""
        assert self.parent is not None
        if self._owned is None:
            settings = Settings.from_json(self.kernel_spec.metadata.get(KEY))
            self._owned = OwnedKernel(
                settings, self.parent.session, told=self._hear, warned=self._warn
            )
        self._notebook = Path(kwargs.get("cwd") or Path.cwd()).absolute()
        try:
            connection: Any = await self._owned.start(self._notebook, cmd)
        except BaseException:
            await self.cleanup()  # the manager would not, as it has started nothing
            raise
        self.connection_info = connection
        self._running = True
        return connection

    async def poll(self) -> int | None:
        """Return the exit code, None while the kernel runs."""
        if not self._running:
            return 0
        fate = self.fate
        return None if fate is None else fate.code

    async def wait(self) -> int | None:
        """Wait for the end, and tell of one that nobody has asked for."""
        if self._owned is None or self._owned.container is None or not self._running:
            return 0
        fate = await asyncio.wrap_future(self._owned.container.ended)
        self._running = False
        return fate.code

    async def send_signal(self, signum: int) -> None:
        """Send a signal to the kernel's process in the container."""
        if self._owned is not None and self._owned.container is not None and self.fate is None:
            await in_thread(partial(self._owned.container.signal, signum))

    async def kill(self, restart: bool = False) -> None:
        """End it at once."""
        self._tell()
        await self.send_signal(signal.SIGKILL)

    async def terminate(self, restart: bool = False) -> None:
        """Ask it to end."""
        await self.send_signal(signal.SIGTERM)

    async def cleanup(self, restart: bool = False) -> None:
        """Remove the container; for good, its folder too."""
        self._running = False
        if self._owned is None:
            return
        if restart:
            await self._owned.end()
        else:
            owned, self._owned = self._owned, None
            await owned.close()

    def resolve_path(self, path: str) -> str | None:
        """Return the file of this computer that the kernel calls `path`, for the debugger."""
        settings = self._owned.settings if self._owned else None
        if self._notebook is None or settings is None or settings.notebook == "none":
            return None
        try:
            below = (Path(NOTEBOOK) / path).relative_to(NOTEBOOK)
        except ValueError:
            return None
        found = (self._notebook / below).resolve()
        return str(found) if found.is_relative_to(self._notebook) and found.exists() else None

    @property
    def fate(self) -> Fate | None:
        """How the kernel ended; None while it has not."""
        container = self._owned.container if self._owned else None
        return container.fate if container else None

    def _tell(self) -> None:
        """Say in the log how a kernel ended that nobody has ended."""
        if self._running and (fate := self.fate) is not None:
            self.log.error("Kernel %s: %s", self.kernel_id, fate.words)

    def _warn(self, warning: str) -> None:
        self.log.warning("Kernel %s: %s", self.kernel_id, warning)

    def _hear(self, line: str) -> None:
        self.log.info("Kernel %s: %s", self.kernel_id, line)
