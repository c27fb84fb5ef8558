"""`Pull`: fetch an image, with a bar for each layer."""

from __future__ import annotations

from html import escape

from ipywidgets import HBox, Layout, Text

from ..failures import Failure, one_line
from .desk import Desk, begin
from .panel import NARROW, Panel, preferences, push_button
from .parts import Bars, Field, bad, good


class Pull(Panel):
    """A field for an image's name, and its pull as it goes on.

    `image` and `platform` fill the fields. `image_name` is what was pulled last, or None.
    """

    def __init__(self, image: str = "", platform: str = "") -> None:
        self._image = Field(
            "Image", value=image, placeholder="python:3.12-slim", enter=self._entered
        )
        self._platform = Text(
            value=platform, description="Platform", placeholder="this machine's", layout=NARROW
        )
        self._go = push_button("Pull", self.pull, style="primary")
        self._stop = push_button("Cancel", self.cancel)
        self._stop.disabled = True
        self._bars = Bars()
        self._desk: Desk | None = None
        self.image_name: str | None = None
        fields = HBox(
            [self._image, self._platform, self._go, self._stop], layout=Layout(flex_flow="wrap")
        )
        super().__init__(fields, self._bars)

    def pull(self) -> None:
        """Pull the image that the fields name; does nothing while one is pulled."""
        if self._desk is not None:
            return
        name = self._image.value.strip()
        if not name:
            self._bars.summary = bad("Which image? Write its name, such as python:3.12-slim.")
            return
        platform = self._platform.value.strip()
        self._desk = Desk(self._note, self._bars)
        self._busy(True)
        flags = ["--platform", platform] if platform else []
        begin(["pull", *flags, "--", name], self._desk, self._ended, preferences)

    def _entered(self, name: str) -> None:
        self._image.value = name
        self.pull()

    def cancel(self) -> None:
        """End the pull; what has come already is kept."""
        if self._desk is not None:
            self._desk.interrupt()

    def _note(self, text: str) -> None:
        self._bars.summary = good(text.strip())

    def _busy(self, busy: bool) -> None:
        self._go.disabled, self._stop.disabled = busy, not busy

    def _ended(self, _value: object, failure: Failure | None) -> None:
        self._desk = None
        self._busy(False)
        if failure is not None:
            self._bars.summary = bad(str(failure))
        else:
            self.image_name = self._image.value.strip()
        self.keep()

    def text(self) -> str:
        """Return what was pulled, or that nothing was yet."""
        return one_line(self._bars.summary.get("text", "") or "Nothing was pulled yet.")

    def html(self) -> str:
        """Return the same as a page."""
        return f"<div>{escape(self.text())}</div>"
