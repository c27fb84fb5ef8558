"""A cell's outputs as lines that are the same whenever the cell did the same.

Left out is what tells of a run rather than of its result: execution counts, metadata, in how many
pieces a stream came and how two streams were mixed, addresses of objects in memory, the ids of
widgets and the names of temporary files. A picture counts by its pixels, where Pillow is installed
to read them, since its file may say when and by which program it was written.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ipycontainer.failures import one_line
from ipycontainer.plain import Plain, settled

_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp")
_WIDGET = "application/vnd.jupyter.widget-view+json"
# What is one object's or one process's; the pieces are what CPython, ipykernel and IPython write.
_PASSING = (
    (re.compile(r"\b0x[0-9a-fA-F]{6,16}\b"), "0x…"),
    # Only from where a path begins, or a long line of a picture in base64 would take hours.
    (re.compile(r"(?<![\w./-])/[\w./-]*?/ipykernel_\d+/\d+\.py"), "<cell>"),
    (re.compile(r"\b(Cell )?In ?\[\d+\]"), "In[…]"),
    (re.compile(r"<ipython-input-\d+-[0-9a-f]+>"), "<cell>"),
)


def lines(outputs: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what `outputs`, as nbformat 4 has them, come to."""
    found: list[str] = []
    streams: dict[str, str] = {}
    for output in outputs:
        if output["output_type"] == "stream":
            name = output["name"]
            streams[name] = streams.get(name, "") + _joined(output["text"])
            continue
        found += _streamed(streams)
        streams = {}
        found += _shown(output)
    return found + list(_streamed(streams))


def _streamed(streams: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(streams, reverse=True):  # stdout comes first
        yield from (f"{name}: {line}" for line in _text(streams[name]))


def _shown(output: Mapping[str, Any]) -> Iterator[str]:
    if output["output_type"] == "error":
        yield f"error: {_line(output['ename'])}: {_line(output['evalue'])}"
        for entry in output["traceback"]:
            yield from (f"traceback: {line}" for line in _text(entry))
        return
    for kind, data in sorted(output["data"].items()):
        yield from (f"{_line(kind)}: {line}" for line in _of_kind(kind, data))


def _of_kind(kind: str, data: Any) -> list[str]:
    if kind == _WIDGET:
        return ["a widget"]
    if kind in _PICTURES:
        return [_picture(_joined(data))]
    if isinstance(data, str | list) and not kind.endswith("json"):
        return _text(_joined(data))
    return _text(json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False))


def _joined(data: Any) -> str:
    """Return a multi-line string of nbformat's, which is one string or a list of lines."""
    return data if isinstance(data, str) else "".join(map(str, data))


def _text(text: str) -> list[str]:
    """Return lines as a person sees them, without control characters: they go to a terminal."""
    shown = settled(Plain().feed(text))
    for pattern, word in _PASSING:
        shown = pattern.sub(word, shown)
    return shown.split("\n")


def _line(text: object) -> str:
    return " ".join(_text(one_line(str(text))))


def _picture(text: str) -> str:
    try:
        data = base64.b64decode(text, validate=False)
    except (binascii.Error, ValueError):
        return "no picture: it is not in base64"
    size, content = _pixels(data) or (f"{len(data):,} bytes", data)
    return f"{size}, sha256 {hashlib.sha256(content).hexdigest()[:16]}"


def _pixels(data: bytes) -> tuple[str, bytes] | None:
    """Return a picture's size in words and its pixels; None where it cannot be read."""
    try:
        from PIL import Image
    except ImportError:
        return None
    import io

    try:
        with Image.open(io.BytesIO(data)) as picture:
            size = f"{picture.width} x {picture.height} pixels"
            return size, picture.convert("RGBA").tobytes()
    # A hostile picture's size is refused by Pillow, and a broken one has errors of many kinds.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, MemoryError):
        return None
