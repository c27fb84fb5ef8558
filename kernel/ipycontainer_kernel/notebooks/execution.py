"""A notebook executed in a sandbox that need not be installed as a kernel."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat.v4 import new_output

from ipycontainer.failures import Failure, one_line
from ipycontainer_kernel.notebooks import bounds
from ipycontainer_kernel.notebooks.receiving import Manager
from ipycontainer_kernel.settings import Settings
from ipycontainer_kernel.specs import kernel_json

_IDLE_WITHIN = 15
"""Seconds from a cell's reply to its last output."""
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
    # In a thread: a notebook's own has a loop already, and nbclient takes the main one's signals.
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
        self._ended = False
        self._manager: Manager | None = None
        self._bounds = bounds.Bounds(notebook, lambda: (self.widget_state, self.widget_buffers))
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
            on_cell_executed=self._done,
            # For a kernel whose messages are many, or were too large.
            iopub_timeout=_IDLE_WITHIN,
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
        self._manager = self.km = Manager(
            self._bounds, kernel_name="sandbox", kernel_spec_manager=_One(self._settings)
        )
        return self.km

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        """Keep what a message brings as far as there is room; called by nbclient."""
        idle = msg["msg_type"] == "status" and msg["content"]["execution_state"] == "idle"
        if idle and self._bounds.full:
            self._tell(cell, bounds.told())
        self._ended = self._ended or idle
        kept = self._bounds.cut(cell, msg)
        if kept is None or self._joined(kept, cell):
            return None
        return super().process_message(kept, cell, cell_index)

    def _done(self, cell: Any, cell_index: int, execute_reply: Any) -> None:
        """Say so where the kernel's messages about a cell did not come to their end."""
        if not self._ended:
            self._tell(cell, bounds.lost())

    def _tell(self, cell: Any, text: str) -> None:
        made = new_output("stream", name="stderr", text=text)  # type: ignore[no-untyped-call] # nbformat's is untyped
        cell.outputs.append(made)

    def _joined(self, message: dict[str, Any], cell: Any) -> bool:
        """Put more of a stream to what is there of it, where that is where it goes."""
        parent, content = message["parent_header"].get("msg_id"), message["content"]
        if message["msg_type"] != "stream" or self.output_hook_stack[parent]:
            return False
        last = bounds.joined(cell.outputs, content["name"])
        if last is None or self.clear_before_next_output:
            return False
        last["text"] += content["text"]
        return True

    async def _async_cleanup_kernel(self) -> None:
        # Afterwards there is nothing to ask.
        fate = getattr(self.km.provisioner, "fate", None) if self.km is not None else None
        if fate is not None:
            self.fate = fate.words
        await super()._async_cleanup_kernel()
        if self._manager is not None:
            self._manager.end()

    def _begin(self, cell: Any, cell_index: int) -> None:
        if cell.cell_type == "code":
            self._ended = False
            self._bounds.begin(cell)
            self.where = f"cell {cell_index + 1}"
            first = next((line for line in cell.source.splitlines() if line.strip()), "")
            self._progress(cell_index + 1, len(self.nb.cells), one_line(first)[:100])
