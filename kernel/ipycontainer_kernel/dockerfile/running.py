"""What the commands of a cell do, once its instructions are built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat

from ipycontainer.failures import Failure
from ipycontainer.session import Session
from ipycontainer.verbs import invoke
from ipycontainer_kernel import files
from ipycontainer_kernel.dockerfile import commands
from ipycontainer_kernel.dockerfile.builds import Builder, asking
from ipycontainer_kernel.dockerfile.cells import Cell, Cells
from ipycontainer_kernel.dockerfile.commands import SETTINGS, Command
from ipycontainer_kernel.dockerfile.composed import Composed, compose
from ipycontainer_kernel.dockerfile.notebook import to_notebook

_WHAT = "a Dockerfile"
_NO_STAGE = "nothing to build yet: the Dockerfile so far has no FROM"


@dataclass
class Run:
    """One cell being run; `payload` is what the front end is to do afterwards."""

    session: Session
    cells: Cells
    builder: Builder
    cell: Cell
    interactive: bool = False
    payload: list[dict[str, Any]] = field(default_factory=list)

    def do(self) -> None:
        """Build the cells so far, and do what the commands of this one say; raises `Failure`."""
        source = compose(self.cells.upto(self.cell))
        asking(source.settings)  # what cannot be is told by the cell that says it
        acts = [one for one in source.commands if one.name not in SETTINGS]
        targets = [one.one("STAGE") for one in acts if one.name == "target"]
        target = targets[-1] if targets else ""
        bears = source.here is not None and source.here.bears
        if source.begun and (bears or target):
            self.builder.state(source, target, anew=True)
        elif bears:
            self.session.surface.note(_NO_STAGE)
        for act in acts:
            if act.name != "target":
                _ACTS[act.name](self, act, source, target)

    def image(self, source: Composed, target: str) -> str:
        """Return the image of the cells so far; raises `Failure` where there can be none."""
        if not source.begun:
            raise Failure(_NO_STAGE)
        return self.builder.state(source, target, anew=False)


def _tag(run: Run, command: Command, source: Composed, target: str) -> None:
    name = command.one("NAME[:TAG]")
    invoke(run.session, ["tag", run.image(source, target), name])
    run.session.surface.say(f"Tagged {name}")


def _run(run: Run, command: Command, source: Composed, target: str) -> None:
    if not command.rest:
        raise command.wrong("write %run COMMAND, which a shell reads")
    image = run.image(source, target)
    config = run.session.api.inspect_image(image).get("Config") or {}
    shell, *more = config.get("Shell") or ["/bin/sh", "-c"]
    flags = ["--rm", "--entrypoint", shell, *(["-i"] if run.interactive else [])]
    invoke(run.session, ["run", *flags, image, *more, command.rest])


def _show(run: Run, command: Command, source: Composed, target: str) -> None:
    run.session.surface.say(source.text.rstrip("\n") or "# no instructions so far")


def _export(run: Run, command: Command, source: Composed, target: str) -> None:
    path = Path(command.one("FILE")).expanduser()
    if path.exists():
        files.check(path, _WHAT, path.stat().st_mode)
    path.write_text(source.text, encoding="utf-8")
    run.session.surface.say(f"Wrote {path}")


def _import(run: Run, command: Command, source: Composed, target: str) -> None:
    words = command.words()
    if len(words) not in (1, 2):
        raise command.wrong("write %import FILE, or %import FILE NOTEBOOK.ipynb")
    path = Path(words[0]).expanduser()
    try:
        text = files.contents(path, _WHAT, files.MOST_OF_DOCKERFILE).decode("utf-8")
    except UnicodeDecodeError as error:
        raise command.wrong(f"{path} is no text in UTF-8: {error.reason}") from error
    if len(words) == 1:
        # Front ends take one next cell; more of them are a notebook.
        payload = {"source": "set_next_input", "text": text.rstrip("\n"), "replace": False}
        run.payload.append(payload)
        return
    place = Path(words[1]).expanduser()
    if place.exists():
        raise command.wrong(f"{place} is there already: name another, or remove it")
    nbformat.write(to_notebook(text), place)  # type: ignore[no-untyped-call] # nbformat's is untyped
    run.session.surface.say(f"Wrote {place}")


def _log(run: Run, command: Command, source: Composed, target: str) -> None:
    run.session.surface.say(run.builder.printed().rstrip("\n"))


def _forget(run: Run, command: Command, source: Composed, target: str) -> None:
    number = command.one("NUMBER") if command.rest else None
    if number is not None and not number.isdecimal():
        raise command.wrong(f"{number} is no number of a cell: write 3 for In[3]")
    gone = run.cells.forget(int(number) if number else None, run.cell)
    if not gone:
        raise command.wrong(f"there is no cell In[{number}]" if number else "there is no cell")
    run.session.surface.say(f"Left out In[{gone[0]}]")


def _reset(run: Run, command: Command, source: Composed, target: str) -> None:
    run.cells.clear()
    run.session.surface.say("The Dockerfile is empty; what was built stays in the cache")


def _help(run: Run, command: Command, source: Composed, target: str) -> None:
    run.session.surface.say(commands.told())


_ACTS: dict[str, Callable[[Run, Command, Composed, str], None]] = {
    "tag": _tag,
    "run": _run,
    "show": _show,
    "dockerfile": _show,
    "export": _export,
    "import": _import,
    "log": _log,
    "forget": _forget,
    "reset": _reset,
    "help": _help,
}
