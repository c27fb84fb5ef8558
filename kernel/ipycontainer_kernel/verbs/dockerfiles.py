"""`kernel export` and `kernel import`: a notebook's Dockerfile, and a Dockerfile's notebook."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
import nbformat

from ipycontainer.failures import Failure, Usage
from ipycontainer.session import Session
from ipycontainer.verbs.base import flag, pass_session
from ipycontainer_kernel import files
from ipycontainer_kernel.dockerfile.notebook import to_dockerfile, to_notebook

_OLD = 4
_DOCKERFILE = "a Dockerfile"
_force = flag("-f", "--force", help="Write over a file that is there.")


@click.command("export")
@click.option("-o", "--output", metavar="FILE", help="Write to this file (standard output).")
@_force
@click.argument("notebook", type=click.Path(path_type=Path))
@pass_session
def export_dockerfile(session: Session, notebook: Path, output: str | None, *, force: bool) -> None:
    """Write the Dockerfile of a NOTEBOOK whose cells are instructions.

    Markdown cells and the kernel's commands become comments; `kernel import` has the same cells
    again. Outputs are left out.
    """
    text = to_dockerfile(_notebook(notebook))
    if output in (None, "-"):
        sys.stdout.write(text)
        return
    _write(Path(output or ""), text, force=force)
    session.surface.say(str(output))


@click.command("import")
@click.option("-o", "--output", metavar="NOTEBOOK", help="Write to this file (DOCKERFILE.ipynb).")
@click.option(
    "--kernel",
    metavar="NAME",
    default="dockerfile",
    help="The kernel of the notebook (dockerfile).",
)
@_force
@click.argument("dockerfile", type=click.Path(path_type=Path))
@pass_session
def import_dockerfile(
    session: Session, dockerfile: Path, output: str | None, kernel: str, *, force: bool
) -> None:
    """Write a notebook of a DOCKERFILE: a cell for each instruction, comments as Markdown.

    `kernel export` has the same file again, byte for byte.
    """
    data = _standard_input() if str(dockerfile) == "-" else _dockerfile(dockerfile)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Failure(
            f"{dockerfile}: byte {error.start} is no UTF-8, and a notebook has nothing else"
        ) from error
    place = Path(output or f"{'Dockerfile' if str(dockerfile) == '-' else dockerfile}.ipynb")
    made = nbformat.writes(to_notebook(text, kernel))  # type: ignore[no-untyped-call] # nbformat's is untyped
    _write(place, f"{made}\n", force=force)
    session.surface.say(str(place))


def _standard_input() -> bytes:
    most = files.MOST_OF_DOCKERFILE
    return files.bounded(sys.stdin.buffer.read(most + 1), "standard input", _DOCKERFILE, most)


def _dockerfile(path: Path) -> bytes:
    return files.contents(path.expanduser(), _DOCKERFILE, files.MOST_OF_DOCKERFILE)


def _notebook(path: Path) -> nbformat.NotebookNode:
    """Return a notebook; raises `Failure` for a file that is none."""
    try:
        data = files.contents(path.expanduser(), "a notebook", files.MOST_OF_NOTEBOOK)
        found = nbformat.reads(data.decode("utf-8"), as_version=_OLD)  # type: ignore[no-untyped-call] # nbformat's is untyped
        nbformat.validate(found, relax_add_props=True)
    except (ValueError, nbformat.reader.NotJSONError) as error:
        raise Failure(f"{path} is no notebook: {error}") from error
    except (nbformat.ValidationError, AttributeError, KeyError, TypeError) as error:
        # Of JSON of another form nbformat tells a page, or trips over it.
        raise Failure(f"{path} is JSON, but no notebook: give one of Jupyter's") from error
    language = found.metadata.get("kernelspec", {}).get("language", "dockerfile")
    if language != "dockerfile":
        raise Failure(f"{path} is a notebook of {language}, and its cells are no instructions")
    node: nbformat.NotebookNode = found
    return node


def _write(path: Path, text: str, *, force: bool) -> None:
    path = path.expanduser()
    flags = os.O_TRUNC if force else os.O_EXCL
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o666)
    except FileExistsError:
        raise Usage(f"{path} is there already: -f writes over it, -o names another") from None
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from error
    # Line ends are what they are: a Dockerfile comes back byte for byte.
    with open(descriptor, "w", encoding="utf-8", newline="") as file:
        file.write(text)
