"""Where the Dockerfile kernel's words go: a cell of a front end, without IPython."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from IPython.core.error import StdinNotImplementedError

from ipycontainer.cell import Cell
from ipycontainer.failures import Usage
from ipycontainer.surface import agreed, nobody

if TYPE_CHECKING:
    from ipykernel.kernelbase import Kernel

    from ipycontainer.building.dockerfile import Source
    from ipycontainer.building.run import View
    from ipycontainer.building.steps import Build
    from ipycontainer.preferences import Preferences


class KernelSurface(Cell):
    """A cell whose kernel is no IPython: it publishes, and asks, by the kernel itself."""

    # Cures name commands, and this kernel's cells have none of the magic's.
    program = "ipycontainer"

    def __init__(self, kernel: Kernel, preferences: Preferences) -> None:
        rich = preferences.display == "rich"
        lines = preferences.output_lines
        super().__init__(None, live=rich, rich=rich, kernel=kernel, lines=lines)
        self._own: Any = kernel

    def ask(self, question: str) -> bool:
        """Ask for a yes in the box under the cell."""
        try:
            return agreed(self._own.raw_input(f"{question} [y/N] "))
        except (EOFError, StdinNotImplementedError):
            raise Usage(f"{question.splitlines()[0]} Nobody can be asked here") from None

    def question(self, prompt: str, *, hidden: bool) -> str:
        """Ask for a line in the box under the cell."""
        try:
            return str(self._own.getpass(prompt) if hidden else self._own.raw_input(prompt))
        except (EOFError, StdinNotImplementedError):
            raise nobody(prompt) from None

    def building(self, build: Build, dockerfile: Source, style: str) -> View:
        """Return a page in the cell, or lines where the person prefers text."""
        from ipycontainer.building.lines import view
        from ipycontainer.building.page import Page

        if not self._live:
            return view(build, dockerfile, sys.stdout, "plain")
        return Page(build, dockerfile, self._publisher, self._most, whole="%log prints all of it")

    def _publisher(self) -> Callable[[dict[str, Any], bool], None]:
        transient = {"display_id": uuid4().hex}

        def publish(data: dict[str, Any], again: bool) -> None:
            kind = "update_display_data" if again else "display_data"
            content = {"data": data, "metadata": {}, "transient": transient}
            self._own.send_response(self._own.iopub_socket, kind, content)

        return publish
