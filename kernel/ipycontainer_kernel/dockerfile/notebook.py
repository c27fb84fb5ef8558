"""Dockerfiles as notebooks and back: `to_notebook` and `to_dockerfile` undo each other.

What a file has and cells do not (uncommon blank lines, its line ends) is kept in the metadata
`dockerfile` of the notebook and of its cells, and only where it is not the usual.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import nbformat
from nbformat import v4

from ipycontainer.failures import Failure
from ipycontainer_kernel.dockerfile import LANGUAGE, marked, plain
from ipycontainer_kernel.dockerfile.layout import incomplete, layout
from ipycontainer_kernel.dockerfile.pieces import Piece
from ipycontainer_runtime.build.source import DockerfileError

KEY = "dockerfile"
"""Of the metadata, of a notebook and of a cell."""
_END = "\n"
_CRLF = "\r\n"


def to_notebook(text: str, kernel: str = "dockerfile") -> nbformat.NotebookNode:
    """Return a Dockerfile's notebook: a cell for each instruction, comments as Markdown.

    Raises `Failure` for a text with a line that is no instruction and begins with `%`.
    """
    kept: dict[str, Any] = {}
    if _CRLF in text and text.count("\n") == text.count(_CRLF):
        kept["newline"] = _CRLF
        text = text.replace(_CRLF, "\n")
    pieces, marks, end = _pieces(text)
    if marks:
        kept["format"] = "marked"
    if end != _END:
        kept["end"] = end
    metadata: dict[str, Any] = {
        "kernelspec": {"name": kernel, "display_name": "Dockerfile", "language": "dockerfile"},
        "language_info": dict(LANGUAGE),
    }
    if kept:
        metadata[KEY] = kept
    cells = [_cell(number, piece) for number, piece in enumerate(pieces)]
    made = v4.new_notebook(cells=cells, metadata=metadata)  # type: ignore[no-untyped-call] # nbformat's is untyped
    return nbformat.from_dict(made)  # type: ignore[no-untyped-call, no-any-return] # nbformat's is untyped


def _pieces(text: str) -> tuple[list[Piece], bool, str]:
    """Return the pieces, whether marks tell them apart, and what stands after the last."""
    try:
        pieces = marked.read(text)
        if pieces is not None:
            return pieces, True, _END
        pieces, end = plain.read(text)
    except DockerfileError:
        # A heredoc without an end: the builder says so, once somebody runs it.
        whole = text.removesuffix(_END)
        return [Piece("code", whole)], False, text[len(whole) :]
    return pieces, False, end


def _cell(number: int, piece: Piece) -> dict[str, Any]:
    make: Any = getattr(v4, f"new_{piece.kind}_cell")
    name = hashlib.sha256(f"{number} {piece.kind} {piece.source}".encode()).hexdigest()[:12]
    metadata = {} if piece.before is None else {KEY: {"before": piece.before}}
    made: dict[str, Any] = make(piece.source, id=name, metadata=metadata)
    return made


def to_dockerfile(notebook: Mapping[str, Any]) -> str:
    """Return a notebook's Dockerfile, in which Markdown and the kernel's commands are comments.

    `to_notebook` of it has the same cells. Raises `Failure` for a cell that ends within an
    instruction.
    """
    pieces = [_of_cell(cell) for cell in notebook["cells"]]
    kept = _kept(notebook)
    end = kept.get("end", _END)
    end = end if isinstance(end, str) and not end.strip() else _END
    text = _written(pieces, end, marks=kept.get("format") == "marked")
    return text.replace("\n", _CRLF) if kept.get("newline") == _CRLF else text


def _written(pieces: Sequence[Piece], end: str, *, marks: bool) -> str:
    try:
        ways = [plain.write(pieces, end), marked.write(pieces)]
    except DockerfileError as error:
        if len(pieces) == 1:
            return pieces[0].source + end  # a whole file that nobody can read
        raise _failure(pieces, error.reason) from error
    for text in reversed(ways) if marks else ways:
        if text is not None and _pieces(text)[0] == list(pieces):
            return text
    raise _failure(pieces, "the cells cannot be told apart in a Dockerfile")


def _failure(pieces: Sequence[Piece], why: str) -> Failure:
    """Return the error that names the first cell that is no whole instructions."""
    escape = None
    for number, piece in enumerate(pieces, 1):
        if piece.kind != "code":
            continue
        try:
            read = layout(piece.source, escape)
        except DockerfileError as error:
            return Failure(f"cell {number}: {error.reason}")
        escape = read.escape if read.bears else escape
        if incomplete(piece.source, escape):
            return Failure(f"cell {number} ends within an instruction: complete its last line")
    return Failure(why)


def _of_cell(cell: Mapping[str, Any]) -> Piece:
    source = cell["source"]
    text = source if isinstance(source, str) else "".join(source)
    before = _kept(cell).get("before")
    valid = isinstance(before, str) and not before.strip()
    kind = cell["cell_type"]
    return Piece(kind, text, before if valid else None)


def _kept(node: Mapping[str, Any]) -> Mapping[str, Any]:
    found = node.get("metadata", {}).get(KEY, {})
    return found if isinstance(found, Mapping) else {}
