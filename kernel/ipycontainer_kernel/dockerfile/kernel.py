"""The kernel: what a front end asks of it, by Jupyter's messages."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ipykernel.kernelbase import Kernel

from ipycontainer import __version__, connect
from ipycontainer.failures import Failure, Interrupted, explain
from ipycontainer.preferences import Preferences, stored
from ipycontainer.session import Session
from ipycontainer.verbs.base import image_names
from ipycontainer_kernel.dockerfile import LANGUAGE
from ipycontainer_kernel.dockerfile.builds import FLAGS, Builder, asking
from ipycontainer_kernel.dockerfile.cells import Cell, Cells, notebook_file
from ipycontainer_kernel.dockerfile.composed import Composed, compose
from ipycontainer_kernel.dockerfile.layout import incomplete
from ipycontainer_kernel.dockerfile.looking import Around, completions, inspection
from ipycontainer_kernel.dockerfile.running import Run
from ipycontainer_kernel.dockerfile.surface import KernelSurface
from ipycontainer_kernel.history import History


class DockerfileKernel(Kernel):
    """A Dockerfile whose layers are cells."""

    implementation = "ipycontainer-dockerfile"
    implementation_version = __version__
    language_info = {**LANGUAGE, "version": "1"}  # noqa: RUF012 - ipykernel's own form
    help_links = [  # noqa: RUF012 - ipykernel's own form
        {"text": "Dockerfile reference", "url": "https://docs.docker.com/reference/dockerfile/"}
    ]
    banner = "A Dockerfile, cell by cell. %help lists what there is beside instructions."

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)  # type: ignore[no-untyped-call] # ipykernel's is untyped
        self._cells = Cells(notebook_file())
        self._session = Session(KernelSurface(self, Preferences()), connect)
        self._builder = Builder(self._session)
        self._history = History()

    @property
    def kernel_info(self) -> dict[str, Any]:
        """What ipykernel tells, without subshells and a debugger: cells are built one at a time."""
        return {**super().kernel_info, "supported_features": []}

    async def do_execute(
        self,
        code: str,
        silent: bool,
        store_history: bool = True,
        user_expressions: Mapping[str, Any] | None = None,
        allow_stdin: bool = False,
        *,
        cell_meta: Mapping[str, Any] | None = None,
        cell_id: str | None = None,
    ) -> dict[str, Any]:
        """Build the cells up to this one."""
        self._allow_stdin = allow_stdin
        # IPython's kernel does this; without it what is printed belongs to no cell.
        for stream in (sys.stdout, sys.stderr):
            parent = self.get_parent("shell")  # type: ignore[no-untyped-call] # ipykernel's is untyped
            stream.set_parent(parent)  # type: ignore[union-attr] # ipykernel has put its own there
        reply: dict[str, Any] = {"status": "ok", "execution_count": self.execution_count}
        reply |= {"payload": [], "user_expressions": {}}
        if not code.strip():
            return reply
        if store_history:
            self._history.add(self.execution_count, code)
        cell = Cell(code, self.execution_count, cell_id)
        try:
            reply["payload"] = self._run(cell, cell_meta or {}, interactive=allow_stdin)
        except (Exception, KeyboardInterrupt) as error:
            cell.failed = True
            return self._failure(error)
        return reply

    def _run(
        self, cell: Cell, metadata: Mapping[str, Any], *, interactive: bool
    ) -> list[dict[str, Any]]:
        surface = KernelSurface(self, stored())
        self._session.surface = surface
        if self._cells.put(cell, metadata):
            cure = (
                "save the notebook and run it again" if self._cells.filed else "%reset and run all"
            )
            surface.note(
                "This cell is taken to stand after the one that was run before it;"
                f" if it does not, {cure}"
            )
        run = Run(self._session, self._cells, self._builder, cell, interactive)
        run.do()
        return run.payload

    def _failure(self, error: BaseException) -> dict[str, Any]:
        """Tell of what ended a cell, and return the reply."""
        if isinstance(error, KeyboardInterrupt):
            told: BaseException = Interrupted("interrupted before it was done")
        else:
            told = explain(error, "ipycontainer") or error
        name = type(told).__name__
        lines = [f"{name}: {told}"]
        if explain(told, "ipycontainer") is None:
            lines = traceback.format_exception(told)  # a defect of ours, to be seen whole
        content = {"ename": name, "evalue": str(told), "traceback": lines}
        self.send_response(self.iopub_socket, "error", content)  # type: ignore[no-untyped-call] # ipykernel's is untyped
        return {"status": "error", "execution_count": self.execution_count, **content}

    async def do_complete(self, code: str, cursor_pos: int) -> dict[str, Any]:
        """Tell what could stand at the cursor."""
        matches, start = completions(code, cursor_pos, self._around())
        found = {"matches": matches, "cursor_start": start, "cursor_end": cursor_pos}
        return {"status": "ok", "metadata": {}, **found}

    async def do_inspect(
        self, code: str, cursor_pos: int, detail_level: int = 0, omit_sections: object = ()
    ) -> dict[str, Any]:
        """Tell what the instruction, flag or command at the cursor does."""
        found = inspection(code, cursor_pos)
        data = {} if found is None else {"text/plain": found[0], "text/markdown": found[1]}
        return {"status": "ok", "found": found is not None, "data": data, "metadata": {}}

    def _around(self) -> Around:
        """Return what is known of the cells so far; no cell says where the cursor's one stands."""
        found = self._so_far()
        context = "."
        if found is not None:
            with suppress(Failure):  # a folder that has gone since
                context = asking(found.settings).context or "."
        before = found.text if found is not None else ""
        return Around(before, Path(context).expanduser(), Path(), self._images, FLAGS)

    def _so_far(self) -> Composed | None:
        """Return what all cells make, None where they make nothing that can be read."""
        cells = self._cells.all()
        try:
            return compose(cells) if cells else None
        except Failure:
            return None

    def _images(self) -> list[str]:
        try:
            return image_names(self._session)
        except Exception as error:
            self._session.explained(error)  # no engine, no names; a defect of our own is raised
            return []

    async def do_is_complete(self, code: str) -> dict[str, str]:
        """Tell whether an instruction goes on."""
        found = self._so_far()
        if not incomplete(code, found.escape if found is not None else None):
            return {"status": "complete"}
        continued = code.rstrip().endswith(("\\", "`"))
        return {"status": "incomplete", "indent": "    " if continued else ""}

    async def do_history(self, *asked: Any, **more: Any) -> dict[str, Any]:
        """Return cells that were run since the kernel's start."""
        return self._history.reply(*asked, **more)

    async def do_shutdown(self, restart: bool) -> dict[str, Any]:
        """Let the engine's connections go."""
        if "client" in self._session.__dict__:
            self._session.client.close()
        return {"status": "ok", "restart": restart}
