"""`display FILE`: what a front end shows of a file's bytes."""

from __future__ import annotations

import base64
from typing import Final

from ipycontainer.failures import Failure, one_line
from ipycontainer.units import binary_size
from ipycontainer_kernel.shell.control import LARGEST

_PICTURES: Final = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
_TEXTS: Final = {
    ".svg": "image/svg+xml",
    ".html": "text/html",
    ".htm": "text/html",
    ".md": "text/markdown",
    ".markdown": "text/markdown",
}
_LONGEST_NAME: Final = 200


def bundle(path: str, data: bytes, *, cut: bool) -> dict[str, str]:
    """Return the MIME bundle of a file; raises `Failure` for one that is not shown.

    Pictures are known by their first bytes, texts by their names. HTML and SVG come from the
    container of the person's own cell, and are shown as any output of a cell is.
    """
    name = one_line(path)[-_LONGEST_NAME:]
    if cut:
        raise Failure(f"display: {name} has more than {binary_size(LARGEST)}, which is too much")
    for magic, kind in _PICTURES.items():
        if data.startswith(magic):
            return {kind: base64.b64encode(data).decode(), "text/plain": name}
    kind = _TEXTS.get("." + name.rpartition(".")[2].lower(), "")
    if not kind and data.lstrip()[:4] == b"<svg":
        kind = "image/svg+xml"
    if not kind:
        raise Failure(
            f"display: {name} is no PNG, JPEG, SVG, HTML or Markdown; `cat` prints it as text"
        )
    try:
        return {kind: data.decode(), "text/plain": name}
    except UnicodeDecodeError as error:
        raise Failure(f"display: {name} is no text in UTF-8: {error.reason}") from None
