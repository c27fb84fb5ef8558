"""The kernel's own commands: lines of a cell that begin with `%`, and what each is for."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from ipycontainer.failures import Usage
from ipycontainer_runtime.build.suggest import closest

NAMES = {
    "arg": ("NAME=VALUE", "set a build argument from here on; NAME alone: the environment's"),
    "context": ("PATH", "COPY takes files from this folder from here on (the notebook's)"),
    "options": ("FLAGS", "flags of `build` from here on: --no-cache, --network, --secret …"),
    "target": ("STAGE", "build this stage in this cell, not the last"),
    "tag": ("NAME[:TAG]", "name the image of the state so far"),
    "run": ("COMMAND", "run a shell's command in the state so far; nothing of it is kept"),
    "show": ("", "print the Dockerfile so far (also %dockerfile)"),
    "dockerfile": ("", ""),
    "export": ("FILE", "write the Dockerfile so far to a file"),
    "import": ("FILE [NOTEBOOK]", "put a Dockerfile into the next cell, or make a notebook of it"),
    "log": ("", "print all that the steps of the last build have printed"),
    "forget": ("[NUMBER]", "leave a cell out: In[NUMBER], else the last"),
    "reset": ("", "leave all cells out"),
    "help": ("", "this list"),
}
"""What follows each, and what it does."""
SETTINGS = frozenset({"arg", "context", "options"})
"""These hold for the cells that come after theirs too."""


@dataclass(frozen=True)
class Command:
    """One line: its name without `%`, and the rest as it stands."""

    name: str
    rest: str
    place: str
    """Its line and cell, as a person is told of them."""

    def words(self) -> list[str]:
        """Return the rest as words; raises `Usage` for an open quote."""
        try:
            return shlex.split(self.rest)
        except ValueError as error:
            raise self.wrong(str(error).lower()) from error

    def one(self, what: str) -> str:
        """Return the only word; raises `Usage` that names what it should be."""
        words = self.words()
        if len(words) != 1:
            raise self.wrong(f"write %{self.name} {what}")
        return words[0]

    def some(self, what: str) -> list[str]:
        """Return the words; raises `Usage` that names what they should be where there is none."""
        words = self.words()
        if not words:
            raise self.wrong(f"write %{self.name} {what}")
        return words

    def wrong(self, why: str) -> Usage:
        """Return the error that the line cannot be done."""
        return Usage(f"{self.place}: %{self.name}: {why}")


def command(place: str, text: str) -> Command:
    """Read a line that begins with `%`; raises `Usage` where there is no such command."""
    name, _, rest = text.removeprefix("%").partition(" ")
    if name not in NAMES:
        shown = name[:80]
        raise Usage(
            f"{place}: there is no command %{shown}{closest(shown, NAMES)}; %help lists them"
        )
    found = Command(name, rest.strip(), place)
    if found.rest and not NAMES[name][0]:
        raise found.wrong("nothing follows it")
    return found


def told() -> str:
    """Return the list of commands for a person."""
    rows = [f"%{name:<8} {form:<16} {does}" for name, (form, does) in NAMES.items() if does]
    return "\n".join(
        [
            "A cell holds instructions of a Dockerfile. Running it builds the cells above it, as",
            "they were last run, and itself; what did not change is reused. Lines with %:",
            "",
            *rows,
        ]
    )
