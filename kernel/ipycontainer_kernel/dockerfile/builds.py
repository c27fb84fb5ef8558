"""Building the cells so far: what is asked of the engine, and what is told of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from docker.errors import NotFound

from ipycontainer.building.origin import Asked, typed
from ipycontainer.building.run import EXTENSION, Request, run
from ipycontainer.building.secrets import headers
from ipycontainer.building.steps import CACHED, DONE, Build, Step
from ipycontainer.failures import Failure, Usage
from ipycontainer.units import decimal_size
from ipycontainer.verbs.buildsettings import OPTIONS, query
from ipycontainer.verbs.options import declared

if TYPE_CHECKING:
    from ipycontainer.building.context import Sent
    from ipycontainer.building.failed import Report
    from ipycontainer.building.run import View
    from ipycontainer.session import Session
    from ipycontainer_kernel.dockerfile.commands import Command
    from ipycontainer_kernel.dockerfile.composed import Composed

_SHORT = 12
_LAYERED = frozenset({"RUN", "COPY", "ADD"})


@click.command(add_help_option=False)
@declared(OPTIONS)
def _options(**flags: Any) -> dict[str, Any]:
    return flags


FLAGS = tuple(
    sorted(name for option in _options.params for name in option.opts if name[:2] == "--")
)
"""What `%options` takes."""


def _flags(words: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = _options.main(list(words), prog_name="%options", standalone_mode=False)
    return found


@dataclass(frozen=True)
class Asking:
    """What the settings of the cells so far say."""

    arguments: Mapping[str, str | None]
    context: str | None
    flags: Mapping[str, Any]

    @property
    def key(self) -> str:
        """What tells one of these from another."""
        return repr((sorted(self.arguments.items()), self.context, sorted(self.flags.items())))


def asking(settings: Sequence[Command]) -> Asking:
    """Return what commands ask for; of the same setting the last one counts."""
    arguments: dict[str, str | None] = {}
    context: str | None = None
    words: list[str] = []
    for command in settings:
        if command.name == "context":
            context = command.one("PATH")
            if not Path(context).expanduser().is_dir():
                raise command.wrong(f"there is no folder {context}")
        elif command.name == "options":
            words += command.some("FLAGS")
            if "--help" in words:
                raise command.wrong(f"it takes {', '.join(FLAGS)}")
        else:
            arguments |= _arguments(command)
    return Asking(arguments, context, _flags(words))


def _arguments(command: Command) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for word in command.some("NAME=VALUE"):
        name, equals, value = word.partition("=")
        if not name:
            raise command.wrong("write NAME=VALUE, or NAME alone for the environment's")
        if not equals and name not in os.environ:
            raise command.wrong(f"the environment has no variable {name}: write {name}=VALUE")
        found[name] = value if equals else os.environ[name]
    return found


class CellBuild(Build):
    """The build of one cell: steps of cells before it are shown where they were made anew."""

    def __init__(self, source: Composed, added: int = 0) -> None:
        super().__init__("Steps")
        self.source = source
        self.added = added
        """Instructions that the engine adds at the end."""

    def shows(self, step: Step) -> bool:
        """Tell whether a step is shown; a base image that is there is no news."""
        if self.source.is_here(step.first):
            return True
        base = step.title[:5].upper() == "FROM "
        return step.state != CACHED and not (base and step.state == DONE)

    @property
    def stages(self) -> dict[str, list[Step]]:
        """The steps of each stage that are shown."""
        found = {
            name: [step for step in steps if self.shows(step)]
            for name, steps in super().stages.items()
        }
        return {name: steps for name, steps in found.items() if steps}


class _Told:
    """A view that ends with what was made of the cell."""

    def __init__(self, view: View, session: Session, build: CellBuild) -> None:
        self._view, self._session, self._build = view, session, build

    def sending(self, told: str) -> None:
        self._view.sending(told)

    def update(self, step: Step | None) -> None:
        if step is None or self._build.shows(step):
            self._view.update(step)

    def tick(self) -> None:
        self._view.tick()

    def done(self, summary: str) -> None:
        self._view.done(_made(self._session, self._build))

    def failed(self, report: Report) -> None:
        self._view.failed(report)


def _made(session: Session, build: CellBuild) -> str:
    """Say what a build made of the cell that ran, in one line."""
    image = build.image
    short = image.removeprefix("sha256:")[:_SHORT]
    return f"{_layer(session, build)}; image {short}; {build.summary()}"


def _layer(session: Session, build: CellBuild) -> str:
    source = build.source
    mine = [s.keyword for s, _ in source.here.statements] if source.here else []
    if "FROM" in mine:
        mine = mine[len(mine) - mine[::-1].index("FROM") :]
    layers = session.api.inspect_image(build.image).get("RootFS", {}).get("Layers") or []
    if not layers:
        return "No layer"
    name = str(layers[-1]).removeprefix("sha256:")[:_SHORT]
    # The history's first entries are the last instructions.
    entries = session.api.history(build.image)[: len(mine) + build.added]
    sizes = [entry["Size"] for entry in entries if entry["Size"]]
    below = f", on {source.below}" if source.below else ""
    if not (sizes or _LAYERED & set(mine)):
        return f"No new layer{below}"
    what = f"{len(sizes)} layers, the last {name}" if len(sizes) > 1 else f"Layer {name}"
    return f"{what}, {decimal_size(sum(sizes))}{below}"


@dataclass
class Builder:
    """Builds what cells compose, and remembers what came of it."""

    session: Session
    images: dict[tuple[str, str, str], str] = field(default_factory=dict)
    last: CellBuild | None = None
    noted: set[str] = field(default_factory=set)

    def state(self, source: Composed, target: str, *, anew: bool) -> str:
        """Return the image of the cells so far; it is built if it is not there, or with `anew`."""
        asked = asking(source.settings)
        key = source.text, asked.key, target
        image = self.images.get(key)
        if anew or image is None or not self._exists(image):
            image = self.images[key] = self._build(source, asked, target)
        return image

    def _exists(self, image: str) -> bool:
        try:
            self.session.api.inspect_image(image)
        except NotFound:
            return False
        return True

    def _build(self, source: Composed, asked: Asking, target: str) -> str:
        session = self.session
        flags = {**asked.flags, "tag": (), "target": target or None}
        if flags["output"]:
            raise Usage("%options --output: the image goes to the engine; %tag names it")
        build = self.last = CellBuild(source, added=bool(flags["label"]))
        watched: list[View] = []

        def sending(sent: Sent) -> None:
            for view in watched:
                view.sending(sent.told())

        origin = typed(source, Asked(asked.context, None, sending))
        extensions = session.extensions()
        request = Request(
            origin,
            query(flags, asked.arguments),
            headers(session, flags["secret"], flags["ssh"], extensions),
            tells_steps=EXTENSION in extensions,
        )
        self._note(origin.note)
        view = _Told(session.surface.building(build, source, "auto"), session, build)
        watched.append(view)
        image = run(session, request, build, view)
        if origin.sent is not None:
            self._note(origin.sent.hint() or "")
        return image

    def _note(self, note: str) -> None:
        if note and note not in self.noted:
            self.noted.add(note)
            self.session.surface.note(note)

    def printed(self) -> str:
        """Return all that the steps of the last build have printed; raises `Failure`."""
        if self.last is None:
            raise Failure("%log: nothing was built yet")
        return self.last.output.text() if self.last.output is not None else ""
