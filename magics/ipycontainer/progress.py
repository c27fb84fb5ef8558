"""A pull, push or capture as it goes on: one model, drawn as bars or as one line."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Any, TextIO

from .failures import one_line
from .units import decimal_size

_BETWEEN_DRAWS = 0.1
_BAR = 24
_ARCHIVE = frozenset({"Sent", "Written"})
"""The last words of an archive of images or files, which has a bar as a layer has."""
_MOVED = _ARCHIVE | frozenset(
    {"Pull complete", "Already exists", "Pushed", "Layer already exists", "Capture complete"}
)
_TRANSFERS = _ARCHIVE | frozenset({"Downloading", "Pushing"})


@dataclass
class Layer:
    """One layer's last word; `current` of `total` bytes of the step that `status` names."""

    name: str
    status: str = ""
    current: int = 0
    total: int = 0
    size: int = 0

    @property
    def done(self) -> bool:
        """Whether nothing is left to do for this layer."""
        return self.status in _MOVED or self.status.startswith("Mounted from ")

    @property
    def fraction(self) -> float:
        """How much of the present step is done, from 0 to 1."""
        if self.done:
            return 1.0
        return min(1.0, self.current / self.total) if self.total else 0.0


class Transfer:
    """What a progress stream has said so far, for both directions."""

    def __init__(self) -> None:
        self.layers: dict[str, Layer] = {}
        self.last = ""
        self._started = time.monotonic()

    def update(self, entry: dict[str, Any]) -> bool:
        """Take one object of the stream; return whether a layer's state, not its count, changed."""
        status, name = str(entry.get("status", "")), entry.get("id")
        detail = entry.get("progressDetail")
        if not name or detail is None:
            self.last = status or self.last
            return bool(status)
        layer = self.layers.setdefault(name, Layer(name))
        changed = layer.status != status
        layer.status = status
        layer.current = int(detail.get("current") or 0)
        layer.total = int(detail.get("total") or 0)
        if status in _TRANSFERS:
            layer.size = max(layer.size, layer.total)
        return changed

    def totals(self) -> str:
        """Say how many layers there were, their bytes on the wire and the time taken."""
        count = sum(layer.status not in _ARCHIVE for layer in self.layers.values())
        moved = sum(layer.size for layer in self.layers.values())
        here = sum(
            layer.status.endswith("lready exists") or layer.status.startswith("Mounted from ")
            for layer in self.layers.values()
        )
        parts = [f"{count} layer{'s' * (count != 1)}"] if count else []
        if here:
            parts.append(f"{here} already there")
        if moved:
            parts.append(decimal_size(moved))
        return ", ".join(parts) + f"{' ' * bool(parts)}in {time.monotonic() - self._started:.1f} s"


class Bars:
    """The notebook's view: a bar per layer, redrawn in place, replaced by the final words."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._transfer = Transfer()
        self._handle: Any = None
        self._drawn = 0.0

    def update(self, entry: dict[str, Any]) -> None:
        """Take one object of the stream and redraw, at most ten times a second."""
        self._transfer.update(entry)
        if time.monotonic() - self._drawn >= _BETWEEN_DRAWS:
            self._draw(_bundle(self._title, self._transfer.layers.values()))

    def done(self, summary: str) -> None:
        """Replace the bars by what was done."""
        self._draw(_final(f"{summary} ({self._transfer.totals()})"))

    def failed(self, reason: str) -> None:
        """Replace the bars by what was not done."""
        self._draw(_final(f"{self._title}: {reason}"))

    def _draw(self, bundle: dict[str, str]) -> None:
        from IPython.display import display

        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call] # IPython's is untyped
        else:
            self._handle.update(bundle, raw=True)
        self._drawn = time.monotonic()


def _bundle(title: str, layers: Iterable[Layer]) -> dict[str, str]:
    rows = list(layers)
    text = "\n".join([title, *(_text_row(layer) for layer in rows)])
    cells = "".join(_html_row(layer) for layer in rows)
    table = (
        "<table style='text-align:left'>"
        f"<caption style='text-align:left'>{escape(one_line(title))}</caption>"
        "<thead><tr><th scope='col'>Layer</th><th scope='col'>Progress</th>"
        f"<th scope='col'>State</th></tr></thead><tbody>{cells}</tbody></table>"
    )
    return {"text/plain": text, "text/html": table}


def _html_row(layer: Layer) -> str:
    name, state = escape(one_line(layer.name)), escape(one_line(layer_state(layer)))
    bar = f"<progress max='1' value='{layer.fraction:.3f}' aria-label='{name}'></progress>"
    return f"<tr><th scope='row'><code>{name}</code></th><td>{bar}</td><td>{state}</td></tr>"


def _text_row(layer: Layer) -> str:
    filled = round(layer.fraction * _BAR)
    bar = "#" * filled + "." * (_BAR - filled)
    return f"{one_line(layer.name):14} [{bar}] {one_line(layer_state(layer))}"


def layer_state(layer: Layer) -> str:
    """Say what is done to a layer, and how far."""
    if layer.current and not layer.total:
        return f"{layer.status} {decimal_size(layer.current)}"
    if layer.done or not layer.total:
        return layer.status + (f" {decimal_size(layer.size)}" if layer.size else "")
    return f"{layer.status} {decimal_size(layer.current)} of {decimal_size(layer.total)}"


def _final(text: str) -> dict[str, str]:
    line = one_line(text)
    return {"text/plain": line, "text/html": f"<div>{escape(line)}</div>"}


class Line:
    """The terminal's view: one line redrawn in place, or, into a pipe, a line per change."""

    def __init__(self, title: str, stream: TextIO) -> None:
        self._title = title
        self._stream = stream
        self._redraws = stream.isatty()
        self._transfer = Transfer()
        self._drawn = 0.0

    def update(self, entry: dict[str, Any]) -> None:
        """Take one object of the stream."""
        changed = self._transfer.update(entry)
        if not self._redraws:
            name = entry.get("id")
            if changed and entry.get("status"):
                self._write(f"{name}: {entry['status']}" if name else str(entry["status"]))
        elif time.monotonic() - self._drawn >= _BETWEEN_DRAWS:
            self._drawn = time.monotonic()
            self._stream.write(f"\r\x1b[K{one_line(self._summary())}")
            self._stream.flush()

    def _summary(self) -> str:
        layers = self._transfer.layers.values()
        done = sum(layer.done for layer in layers)
        share = sum(layer.fraction for layer in layers) / len(layers) if layers else 0.0
        filled = round(share * _BAR)
        bar = "#" * filled + "." * (_BAR - filled)
        return f"{self._title} [{bar}] {done} of {len(layers)} layers"

    def done(self, summary: str) -> None:
        """Write what was done."""
        self._write(f"{summary} ({self._transfer.totals()})")

    def failed(self, reason: str) -> None:
        """End the line that was being redrawn; the failure itself is told by the command."""
        if self._redraws:
            self._write(f"{self._title}: {reason}")

    def _write(self, text: str) -> None:
        start = "\r\x1b[K" if self._redraws else ""
        self._stream.write(f"{start}{one_line(text)}\n")
        self._stream.flush()
