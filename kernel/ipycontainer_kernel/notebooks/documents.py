"""A notebook's file: read as a document that a stranger may have written, and written whole."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ipycontainer.failures import Failure
from ipycontainer_kernel import files
from ipycontainer_kernel.settings import KEY

_WHAT = "a notebook"


def read(path: Path) -> Any:
    """Return the notebook, as nbformat 4 has it; `Failure` for what is none."""
    nbformat = _nbformat()
    text = _text(path)
    try:
        with warnings.catch_warnings():
            # nbformat gives cells the ids that they lack, and warns of it in its own words.
            warnings.simplefilter("ignore", nbformat.warnings.MissingIDFieldWarning)
            found = nbformat.reads(text, as_version=4)
        # What it reads it has only logged the faults of.
        nbformat.validate(found, relax_add_props=True)
    except (ValueError, RecursionError, nbformat.ValidationError) as error:
        first = str(error).strip().partition("\n")[0][:200]
        raise Failure(f"{path} is no notebook: {first}") from error
    except (AttributeError, KeyError, TypeError) as error:
        # nbformat takes older forms apart before it looks whether they are what they claim.
        raise Failure(f"{path} is no notebook: its cells are not as a notebook's are") from error
    return found


def _text(path: Path) -> str:
    try:
        return files.contents(path, _WHAT, files.MOST_OF_NOTEBOOK).decode()
    except UnicodeDecodeError as error:
        raise Failure(f"{path} is no notebook: byte {error.start} is no UTF-8") from error


def mode_at(path: Path) -> int:
    """Return the mode that a notebook written to `path` has; `Failure` where it cannot stand."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if not path.absolute().parent.is_dir():
            raise Failure(f"{path}: there is no folder {path.parent}") from None
        return 0o666 & ~_umask()
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from error
    files.check(path, _WHAT, mode)
    return mode & 0o777


def write(notebook: Any, path: Path) -> None:
    """Write the notebook whole or not at all; a file that is there keeps its mode."""
    nbformat = _nbformat()
    target = Path(os.path.realpath(path))
    mode = mode_at(target)
    try:
        with tempfile.NamedTemporaryFile(
            "w", dir=target.parent, prefix=f".{target.name}.", delete=False, encoding="utf-8"
        ) as file:
            try:
                nbformat.write(notebook, file)
                file.flush()
                os.fsync(file.fileno())
                os.chmod(file.name, mode)
                os.replace(file.name, target)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as error:
        raise Failure(f"{path} cannot be written: {error.strerror}") from error


def _nbformat() -> Any:
    """Return nbformat, which publishes no types and is slow to import."""
    import nbformat

    return nbformat


def _umask() -> int:
    """Return the process's mask, which the kernel tells only by changing it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def sandbox_of(notebook: Mapping[str, Any]) -> object | None:
    """Return what a notebook says of its sandbox, unread; None where it says nothing."""
    found: object | None = notebook["metadata"].get(KEY)
    return found


def kernelspec_of(notebook: Mapping[str, Any]) -> str:
    """Return the name of the kernelspec that a notebook was saved with, or an empty string."""
    spec = notebook["metadata"].get("kernelspec")
    name = spec.get("name") if isinstance(spec, Mapping) else None
    return name if isinstance(name, str) else ""
