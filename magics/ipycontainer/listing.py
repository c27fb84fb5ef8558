"""What the looking verbs return: a list of objects that shows itself as a table or as text.

A cell that ends with one displays it once, as any last value. All that an image or a container
could have written into it (names, commands, comments) is escaped: it is text, never markup.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, TypeVar

from .failures import one_line

T = TypeVar("T")
Row = Mapping[str, Any]

_LEFT = "text-align:left;vertical-align:top"
_MONO = "font-family:var(--jp-code-font-family,monospace)"


class Listing(list[T]):
    """A list with a text and perhaps an HTML form."""

    rich = True
    """Whether the HTML form is shown where there is one."""

    def text(self) -> str:
        """Return the form for terminals and for `text/plain`."""
        return "\n".join(str(item) for item in self)

    def html(self) -> str | None:
        """Return the form for notebooks, or None when the text is all there is."""
        return None

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Print the text; IPython would else print any list item by item."""
        printer.text("[...]" if cycle else self.text())

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Return both forms; IPython calls this to display a value."""
        bundle = {"text/plain": self.text()}
        if self.rich and (html := self.html()) is not None:
            bundle["text/html"] = html
        return bundle


class Lines(Listing[str]):
    """Texts, one a line: what `-q` and `--format` give; `{*name}` makes arguments of them."""


class Table(Listing[T]):
    """Objects shown as a table; `rows` may be more than objects (an image has a row per tag)."""

    def __init__(
        self, items: Iterable[T], caption: str, columns: Mapping[str, str], rows: Sequence[Row]
    ) -> None:
        super().__init__(items)
        self._caption = caption
        self._columns = columns
        self._rows = rows

    def _cells(self) -> list[list[str]]:
        return [
            [one_line(str(row[field])) for field in self._columns.values()] for row in self._rows
        ]

    def text(self) -> str:
        """Return aligned columns under their headings, as the `docker` command prints them."""
        return align([list(self._columns), *self._cells()])

    def html(self) -> str:
        """Return a table with a caption and with headings that a screen reader announces."""
        return html_table(self._caption, list(self._columns), self._cells())


class Tables(Listing[Table[Any]]):
    """Several tables, each under what it tells of."""

    def __init__(self, tables: Mapping[str, Table[Any]]) -> None:
        super().__init__(tables.values())
        self._headings = list(tables)

    def text(self) -> str:
        """Return the tables one after the other, as `docker system df -v` does."""
        parts = zip(self._headings, self, strict=True)
        return "\n\n".join(f"{name} space usage:\n\n{table.text()}" for name, table in parts)

    def html(self) -> str:
        """Return the tables one after the other."""
        return "".join(table.html() for table in self)


def align(rows: Sequence[Sequence[str]]) -> str:
    """Return columns padded to their widest cell and three spaces; the last is not padded."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def html_table(caption: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return an escaped HTML table in the colours of the page, light or dark."""
    return html_rows(caption, headings, [[escape(cell) for cell in row] for row in rows])


def html_rows(caption: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return the same of cells that are HTML already."""
    head = "".join(f"<th scope='col' style='{_LEFT}'>{escape(h)}</th>" for h in headings)
    body = "".join(
        "<tr>" + "".join(f"<td style='{_LEFT};{_MONO}'>{cell}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return (
        "<table style='color:var(--jp-ui-font-color1,inherit)'>"
        f"<caption style='text-align:left'>{escape(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


class Outline(Listing[Any]):
    """What is known of one thing, as indented lines of name and value: `info` and `version`.

    `lines` are (depth, name, value), None for a name alone; `width` is where values begin, 0 for
    one space after the name.
    """

    def __init__(
        self,
        document: Row,
        caption: str,
        lines: Iterable[tuple[int, str, str | None]],
        width: int = 0,
    ) -> None:
        super().__init__([document])
        self._caption = caption
        self._lines = [
            (depth, one_line(name), None if value is None else one_line(value))
            for depth, name, value in lines
        ]
        self._width = width

    def text(self) -> str:
        """Return the lines as the `docker` command prints them."""
        return "\n".join(map(self._line, self._lines))

    def _line(self, line: tuple[int, str, str | None]) -> str:
        depth, name, value = line
        if value is None:
            return f"{' ' * depth}{name}"
        start = f"{' ' * depth}{name}:"
        return f"{start:{max(self._width, len(start) + 1)}}{value}".rstrip()

    def html(self) -> str:
        """Return a table of two columns, indented as the lines are."""
        return html_table(
            self._caption,
            ["", ""],
            [["\u2003" * depth + name, value or ""] for depth, name, value in self._lines],
        )


class Documents(Listing[T]):
    """Objects shown by what `inspect` says of them: a few facts, and all of it underneath."""

    def __init__(
        self, items: Iterable[T], documents: Sequence[Row], facts: Sequence[Mapping[str, str]]
    ) -> None:
        super().__init__(items)
        self._documents = documents
        self._facts = facts

    def text(self) -> str:
        """Return the documents as the engine sent them."""
        return json.dumps(self._documents, indent=4, ensure_ascii=False)

    def html(self) -> str:
        """Return a table of facts for each, with the whole document folded under it."""
        return "".join(map(_document, self._documents, self._facts))


def _document(document: Row, facts: Mapping[str, str]) -> str:
    rows = "".join(
        f"<tr><th scope='row' style='{_LEFT}'>{escape(name)}</th>"
        f"<td style='{_LEFT};{_MONO}'>{escape(one_line(value))}</td></tr>"
        for name, value in facts.items()
    )
    whole = escape(json.dumps(document, indent=2, ensure_ascii=False))
    caption = escape(one_line(next(iter(facts.values()), "")))
    return (
        "<table style='color:var(--jp-ui-font-color1,inherit)'>"
        f"<caption style='text-align:left'>{caption}</caption><tbody>{rows}</tbody></table>"
        f"<details><summary>all of it, as JSON</summary><pre>{whole}</pre></details>"
    )
