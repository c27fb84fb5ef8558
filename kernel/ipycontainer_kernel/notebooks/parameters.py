"""`run -p NAME=VALUE`: the cell that sets a notebook's parameters, which papermill writes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from ipycontainer.failures import Failure, Usage

_NAME: Final = re.compile(r"[^\W\d][\w.]*")
_WORDS: Final = {"True": True, "False": False, "None": None}
_LANGUAGES: Final = {"python": "python", "shell": "bash"}


def read(given: Iterable[str]) -> dict[str, Any]:
    """Return parameters by their names; a value is what papermill's command takes it for."""
    found = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not _NAME.fullmatch(name):
            raise Usage(f"--param {one}: write NAME=VALUE")
        found[name] = _value(value)
    return found


def _value(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def parameterized(notebook: Any, values: dict[str, Any], kind: str) -> Any:
    """Return the notebook with a cell that sets these, for a kernel of `kind`.

    It stands after the cell that is tagged `parameters`, or first, and takes the place of one
    that an earlier run has put there.
    """
    try:
        from papermill.exceptions import PapermillException
        from papermill.parameterize import parameterize_notebook
    except ImportError as error:
        raise Failure(
            "--param needs papermill, which is not installed: `pip install ipycontainer[papermill]`"
        ) from error
    said = notebook["metadata"]
    language = _LANGUAGES.get(kind) or _language(said)
    # It reads and writes these without looking whether they are there.
    said.setdefault("papermill", {})
    for cell in notebook["cells"]:
        cell["metadata"].setdefault("tags", [])
    try:
        made = parameterize_notebook(notebook, values, kernel_name=language, language=language)
    except (PapermillException, ValueError) as error:
        raise Failure(
            f"--param: papermill writes no parameters in {language or 'this language'}"
        ) from error
    for cell in made["cells"]:
        if not cell["metadata"]["tags"]:
            del cell["metadata"]["tags"]
    return made


def _language(metadata: Any) -> str:
    for part, key in (("kernelspec", "language"), ("language_info", "name")):
        found = metadata.get(part)
        if isinstance(found, dict) and isinstance(found.get(key), str) and found[key]:
            return str(found[key])
    return ""
