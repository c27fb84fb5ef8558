"""`run NOTEBOOK` and `verify`: a notebook in the sandbox that it names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ipycontainer.failures import Failure, one_line
from ipycontainer.session import Session
from ipycontainer.units import counted
from ipycontainer.verbs.base import flag, pass_session
from ipycontainer.verbs.options import declared
from ipycontainer_kernel.notebooks import documents
from ipycontainer_kernel.notebooks.compare import SAVED
from ipycontainer_kernel.verbs.sandboxed import OPTIONS, TRUST, sandbox_of

if TYPE_CHECKING:
    from ipycontainer_kernel.notebooks.verifying import Verdict

_notebook = click.argument("path", metavar="NOTEBOOK", type=click.Path(path_type=Path))
_timeout = click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Let a cell run no longer than this.",
)


@click.command("run")
@_notebook
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the notebook with its new outputs here, and leave NOTEBOOK as it is.",
)
@click.option(
    *("-p", "--param", "params"),
    multiple=True,
    metavar="NAME=VALUE",
    help="Set this after the cell that is tagged `parameters`.",
)
@_timeout
@flag("--allow-errors", help="Go on after a cell that fails.")
@flag("-q", "--quiet", help="Do not tell which cell runs.")
@declared(OPTIONS)
@TRUST
@pass_session
def run(session: Session, /, path: Path, **flags: Any) -> None:
    """Run all cells of NOTEBOOK in a new container of the sandbox that it names.

    Its outputs are written into it, also when a cell fails.
    """
    from ipycontainer_kernel.notebooks import parameters
    from ipycontainer_kernel.notebooks.execution import execute

    values = parameters.read(flags["params"])
    document = documents.read(path)
    target = flags["output"] or path
    documents.mode_at(target)  # rather than when all cells have run
    settings = sandbox_of(session, path, document, flags)
    if values:
        document = parameters.parameterized(document, values, settings.kind)
    try:
        execute(
            document,
            settings,
            path.absolute().parent,
            progress=_progress(session, "", quiet=flags["quiet"]),
            timeout=flags["timeout"],
            on_error=flags["allow_errors"],
        )
    finally:
        documents.write(document, target)
    if not flags["quiet"]:
        session.surface.note(f"{target} has the outputs")


@click.command()
@_notebook
@_timeout
@flag("--json", "as_json", help="Tell the differences as JSON.")
@flag("-q", "--quiet", help="Do not tell which cell runs.")
@declared(OPTIONS)
@TRUST
@pass_session
def verify(session: Session, /, path: Path, **flags: Any) -> object:
    """Run NOTEBOOK twice in fresh containers, and show the cells whose outputs differ.

    They are compared with each other and with the outputs that it was saved with. NOTEBOOK is left
    as it is; a difference is an exit code of 1.
    """
    from ipycontainer_kernel.notebooks.execution import execute
    from ipycontainer_kernel.notebooks.verifying import verify as compared

    document = documents.read(path)
    quiet = flags["quiet"] or flags["as_json"]
    turns = iter(("first run", "second run"))

    def again(copy: Any) -> None:
        execute(
            copy,
            # Read anew: a mount that was a folder may be a link by now.
            sandbox_of(session, path, document, flags),
            path.absolute().parent,
            progress=_progress(session, f"{next(turns)}, ", quiet=quiet),
            timeout=flags["timeout"],
            on_error=True,
        )

    verdict = compared(document, again)
    if flags["as_json"]:
        session.surface.say(json.dumps(verdict.to_json(), indent=1))
    else:
        session.surface.say("\n".join(_told(verdict)))
    if not verdict.same:
        cells = len({one.cell for one in verdict.different})
        raise Failure(f"{path}: the outputs of {counted(cells, 'cell')} differ")
    return None


def _progress(session: Session, turn: str, *, quiet: bool) -> Any:
    def told(place: int, count: int, first: str) -> None:
        if not quiet:
            session.surface.note(f"{turn}cell {place} of {count}: {first}")

    return told


def _told(verdict: Verdict) -> Iterator[str]:
    for one in verdict.different:
        what = "not as it was saved" if one.between == SAVED else "not the same in the second run"
        yield f"cell {one.cell}: {what}: {one_line(one.source)}"
        yield from (f"    {line}" for line in one.diff)
    if verdict.same:
        compared = "two runs" if verdict.unsaved else "two runs and what was saved"
        yield f"{counted(verdict.cells, 'code cell')}: {compared} are the same"
