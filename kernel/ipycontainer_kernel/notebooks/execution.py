"""A notebook executed in a sandbox that need not be installed as a kernel."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from ipycontainer.failures import Failure, one_line
from ipycontainer_kernel.settings import Settings
from ipycontainer_kernel.specs import kernel_json

Progress = Callable[[int, int, str], object]
"""Called with a code cell's place among all cells, how many those are, and its first line."""


def execute(
    notebook: Any,
    settings: Settings,
    folder: Path,
    *,
    progress: Progress,
    timeout: float | None = None,
    on_error: bool = False,
) -> None:
    """Run all cells of `notebook` in a new container and leave their outputs in it.

    `folder` is the notebook's. With `on_error` a cell that fails is an output like others; else
    raises `Failure`, with the outputs so far in place, as when the kernel cannot start or dies.
    """
    client = _Client(notebook, settings, folder, progress, timeout, on_error=on_error)
    # In a thread: a notebook's own has a loop already, and nbclient takes the signals of the main one.
    with ThreadPoolExecutor(1, thread_name_prefix="notebook") as thread:
        running = thread.submit(asyncio.run, client.run())
        _finish(client, running, timeout)


def _finish(client: _Client, running: Future[None], timeout: float | None) -> None:
    try:
        running.result()
    except KeyboardInterrupt:
        # The container goes before the person has his prompt again.
        client.give_up()
        running.exception()
        raise
    except CellExecutionError as error:
        raise Failure(f"{client.where} failed: {error.ename}: {error.evalue}") from error
    except CellTimeoutError as error:
        raise Failure(
            f"{client.where} ran longer than {timeout:g} s; give it more with --timeout"
        ) from error
    except (DeadKernelError, RuntimeError) as error:
        raise Failure(f"{client.where}: {client.fate or error}") from error


class _One(KernelSpecManager):
    """Knows one kernelspec, which is in no folder."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._spec = KernelSpec(**kernel_json(settings, Path()))

    def get_kernel_spec(self, _name: str) -> KernelSpec:
        """Return it, whatever its name."""
        return self._spec


class _Client(NotebookClient):
    """nbclient with a kernel of these settings instead of one that is installed."""

    def __init__(
        self,
        notebook: Any,
        settings: Settings,
        folder: Path,
        progress: Progress,
        timeout: float | None,
        *,
        on_error: bool,
    ) -> None:
        self._settings = settings
        self._progress = progress
        self.where = "the kernel"
        """What runs, in words."""
        self.fate = ""
        """Why the kernel ended, where it did so by itself."""
        self._given_up = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        super().__init__(
            notebook,
            resources={"metadata": {"path": str(folder)}},
            timeout=timeout,
            allow_errors=on_error,
            # ipykernel warns of its TCP ports on this machine, as it does wherever it runs.
            extra_arguments=["--log-level=ERROR"] if settings.kind == "shell" else [],
            # Times of this run would be a difference to every other.
            record_timing=False,
            on_cell_start=self._begin,
        )

    async def run(self) -> None:
        """Run all cells."""
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        if not self._given_up.is_set():
            await self.async_execute()

    def give_up(self) -> None:
        """End the kernel, and the run with it; called from another thread."""
        self._given_up.set()
        if self._loop is not None and self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)

    def create_kernel_manager(self) -> Any:
        """Return the manager of the kernel that is not started yet; called by nbclient."""
        self.km = AsyncKernelManager(kernel_name="sandbox", kernel_spec_manager=_One(self._settings))
        return self.km

    async def _async_cleanup_kernel(self) -> None:
        # Afterwards there is nothing to ask.
        fate = getattr(self.km.provisioner, "fate", None) if self.km is not None else None
        if fate is not None:
            self.fate = fate.words
        await super()._async_cleanup_kernel()

    def _begin(self, cell: Any, cell_index: int) -> None:
        if cell.cell_type == "code":
            self.where = f"cell {cell_index + 1}"
            first = next((line for line in cell.source.splitlines() if line.strip()), "")
            self._progress(cell_index + 1, len(self.nb.cells), one_line(first)[:100])
