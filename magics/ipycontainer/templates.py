"""`--format`: `json`, or text with `{{.Field}}` and `{{json .Field}}`, but no more of Go's syntax.

Paths may have several steps (`{{.State.Pid}}`); `table TEMPLATE` adds the headings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .failures import Usage
from .listing import Lines, Row, align

_ACTION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}")
_FIELD = re.compile(r"(json\s+)?\.([\w.]*)")
_ESCAPES = {r"\t": "\t", r"\n": "\n"}


def formatted(template: str, rows: Sequence[Row]) -> Lines:
    """Return one text for each row, and with `table` one of headings before them."""
    if template == "json":
        return Lines(json.dumps(row, ensure_ascii=False) for row in rows)
    if template.startswith("table "):
        body = template.removeprefix("table ").strip()
        lines = [_ACTION.sub(_heading, _unescaped(body)), *(render(body, row) for row in rows)]
        return Lines(align([line.split("\t") for line in lines]).splitlines())
    return Lines(render(template, row) for row in rows)


def render(template: str, row: Any) -> str:
    """Return `template` with its fields taken from `row`.

    Raises `Usage` for a field that is not there and for what this subset lacks.
    """
    return _ACTION.sub(lambda match: _value(match, row), _unescaped(template))


def _unescaped(template: str) -> str:
    for written, character in _ESCAPES.items():
        template = template.replace(written, character)
    return template


def _parsed(match: re.Match[str]) -> tuple[bool, list[str]]:
    field = _FIELD.fullmatch(match[1])
    if field is None:
        raise Usage(
            f"--format: {match[0]} is not supported; "
            "write {{.Field}}, {{json .Field}} or json"
        )
    return field[1] is not None, [step for step in field[2].split(".") if step]


def _heading(match: re.Match[str]) -> str:
    _, path = _parsed(match)
    return path[-1].upper() if path else ""


def _value(match: re.Match[str], row: Any) -> str:
    as_json, path = _parsed(match)
    value = row
    for step in path:
        if not isinstance(value, Mapping) or step not in value:
            known = ", ".join(sorted(value)) if isinstance(value, Mapping) else "nothing"
            raise Usage(f"--format: no field {step!r} in {match[0]}; there are: {known}")
        value = value[step]
    return _text(value, as_json=as_json)


def _text(value: Any, *, as_json: bool) -> str:
    if isinstance(value, str) and not as_json:
        return value
    if value is None and not as_json:
        return "<no value>"
    # Go prints maps its own way (map[a:b]); JSON can be read back.
    return json.dumps(value, ensure_ascii=False)
