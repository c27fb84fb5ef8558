"""`Run`: a form made from an image's configuration, and what its container says."""

from __future__ import annotations

import shlex
from contextlib import closing
from html import escape
from threading import Thread
from typing import Any

from ipywidgets import Accordion, Checkbox, Combobox, HBox, Layout, Text, Textarea, VBox

from ..failures import Failure, Usage
from .desk import PROGRAM, Desk, begin, engine_client, failed
from .flags import check_flags, offered
from .panel import WIDE, Panel, code, code_html, preferences, push_button
from .parts import Bars, Field, Output, bad, good

_MOST_OFFERED = 40
_WRAP = Layout(flex_flow="wrap", align_items="center", width="100%")


class Run(Panel):
    """A form for `run`: image, command, environment, limits; start, stop, output and input.

    The line that does the same in a cell is shown under it.
    """

    def __init__(self, image: str = "", command: str = "") -> None:
        self._make_fields(image, command)
        self._make_buttons()
        self._output = Output(label="Output of the container")
        self._bars = Bars()
        self._line = code("")
        self._desk: Desk | None = None
        self._ran = ""
        more = Accordion(
            [
                VBox(
                    [
                        HBox([self._memory, self._cpus, self._pids], layout=_WRAP),
                        self._network,
                        self._flags,
                    ]
                )
            ],
            titles=("Limits, network and more flags",),
        )
        super().__init__(
            HBox([self._image, self._go, self._stop, self._keep_it], layout=_WRAP),
            self._command,
            self._environment,
            more,
            self._line,
            self._bars,
            self._output,
            self._input_row,
        )
        for field in self._fields:
            field.observe(lambda _change: self._show_line(), "value")
        self._image.observe(lambda _change: self._read_image(), "value")
        self._show_line()
        Thread(target=self._fill, daemon=True, name="images").start()

    def _make_fields(self, image: str, command: str) -> None:
        small = Layout(width="14em")
        self._image = Combobox(
            value=image, description="Image", placeholder="busybox", ensure_option=False
        )
        self._command = Text(value=command, description="Command", layout=WIDE)
        self._environment = Textarea(
            description="Variables", placeholder="NAME=VALUE, one a line", rows=2, layout=WIDE
        )
        self._memory = Text(description="Memory", placeholder="512m", layout=small)
        self._cpus = Text(description="CPUs", placeholder="0.5", layout=small)
        self._pids = Text(description="Processes", placeholder="100", layout=small)
        self._network = Text(description="Network", placeholder="default", layout=small)
        self._flags = Field(
            "More flags", placeholder="--user 1000 -v /data:/data:ro", complete=self._complete
        )
        self._keep_it = Checkbox(value=False, description="Keep it when it ends", indent=False)
        self._fields = (
            *(self._image, self._command, self._environment, self._memory, self._cpus),
            *(self._pids, self._network, self._flags, self._keep_it),
        )

    def _make_buttons(self) -> None:
        self._go = push_button("Run", self.run, style="primary")
        self._stop = push_button("Stop", self.stop)
        self._stop.disabled = True
        self._input = Field(
            "Input",
            placeholder="a line, then Enter",
            clears=True,
            enter=self._send_line,
            layout=Layout(flex="1 1 auto"),
        )
        self._end = push_button("End of input", self._end_input)
        self._input_row = HBox([self._input, self._end])
        self._input_row.layout.display = "none"

    def arguments(self) -> list[str]:
        """Return the line of `run` that the form means; raises `Usage` for what `run` refuses."""
        command = _words("the command", self._command.value)
        more = _words("more flags", self._flags.value)
        check_flags(more)
        variables = [line.strip() for line in self._environment.value.splitlines() if line.strip()]
        flags = {
            "-m": self._memory.value.strip(),
            "--cpus": self._cpus.value.strip(),
            "--pids-limit": self._pids.value.strip(),
            "--network": self._network.value.strip(),
        }
        image = self._image.value.strip()
        return [
            *("run", "-i"),
            *(() if self._keep_it.value else ("--rm",)),
            *(word for flag, value in flags.items() if value for word in (flag, value)),
            *(word for variable in variables for word in ("-e", variable)),
            *more,
            *((image,) if image else ()),
            *command,
        ]

    def _show_line(self) -> None:
        try:
            self._line.value = code_html(f"{PROGRAM} {shlex.join(self.arguments())}")
        except Usage as error:
            self._line.value = escape(str(error))

    def run(self) -> None:
        """Run what the form says; does nothing while a container runs here."""
        if self._desk is not None:
            return
        try:
            arguments = self.arguments()
        except Usage as error:
            self._output.summary = bad(str(error))
            return
        self._ran = f"{PROGRAM} {shlex.join(arguments)}"
        self._output.clear()
        self._output.summary = good("The container runs.")
        self._bars.rows, self._bars.summary = [], {}
        self._desk = Desk(self._output.add, self._bars)
        self._busy(True)
        begin(arguments, self._desk, self._ended, preferences)

    def stop(self) -> None:
        """Stop the container; the second time, kill it."""
        if self._desk is not None:
            self._desk.interrupt()

    def _busy(self, busy: bool) -> None:
        self._go.disabled, self._stop.disabled = busy, not busy
        self._input_row.layout.display = "flex" if busy else "none"

    def _send_line(self, line: str) -> None:
        if self._desk is not None:
            self._desk.type_line(line)

    def _complete(self, typed: str) -> None:
        Thread(target=self._offer, args=(typed,), daemon=True, name="completion").start()

    def _offer(self, typed: str) -> None:
        """Offer what could stand at the end of the flags, as Tab does in a cell."""
        head, _, last = typed.rpartition(" ")
        found = offered(["run", *head.split()], last)
        if self._flags.value == typed:
            self._flags.options = [f"{head} {one}".strip() for one in found][:_MOST_OFFERED]

    def _end_input(self) -> None:
        if self._desk is not None:
            self._desk.end_input()

    def _ended(self, _value: object, failure: Failure | None) -> None:
        self._desk = None
        self._busy(False)
        self._output.summary = good("It ended with 0.") if failure is None else bad(str(failure))
        self.keep()

    def _fill(self) -> None:
        """Offer the images that are there."""
        try:
            with closing(engine_client()) as client:
                tags = [tag for one in client.api.images() for tag in one["RepoTags"] or ()]
        except Exception as error:
            self._output.summary = failed(error)
            return
        self._image.options = tuple(tag.removesuffix(":latest") for tag in tags)
        self._read_image()

    def _read_image(self) -> None:
        Thread(target=self._ask_image, args=(self._image.value.strip(),), daemon=True).start()

    def _ask_image(self, name: str) -> None:
        """Show in the empty fields what the image says of itself."""
        from docker.errors import APIError

        try:
            config = _config(name) if name else {}
        except APIError:
            config = {}  # not here yet, or half typed: the fields stay as they are
        except Exception as error:
            self._output.summary = failed(error)
            return
        if self._image.value.strip() != name:
            return  # typed on meanwhile
        words = [*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())]
        self._command.placeholder = shlex.join(words) or "the image's own"
        variables = "\n".join(config.get("Env") or ())
        self._environment.placeholder = variables or "NAME=VALUE, one a line"

    def text(self) -> str:
        """Return the line that ran, what it printed and how it ended."""
        end = self._output.summary.get("text", "")
        parts = (self._ran, self._output.text.rstrip("\n"), end)
        return "\n".join(part for part in parts if part) or "Nothing was run yet."


def _words(what: str, typed: str) -> list[str]:
    try:
        return shlex.split(typed)
    except ValueError as error:
        raise Usage(f"{what}: {error}; close the quote") from error


def _config(image: str) -> dict[str, Any]:
    with closing(engine_client()) as client:
        return client.images.get(image).attrs["Config"] or {}
