"""`--filter` of the verbs that list: its names, their completion, and what is said of a wrong one.

The engine decides: Podman knows more names than Docker. These are Docker's
(https://docs.docker.com/reference/cli/docker/container/ls/#filter and its neighbours).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from ..failures import Usage

F = TypeVar("F", bound=Callable[..., Any])

_REFUSED = re.compile(r"invalid filter '?([^'=]*)(=[^']*)?", re.IGNORECASE)
_VALUES = {
    "dangling": "true or false",
    "exited": "an exit code",
    "health": "starting, healthy, unhealthy or none",
    "status": "created, running, paused, restarting, removing, exited or dead",
}


class Filters:
    """The filters of one verb; `names` in one text, `does` is what it does with what it finds."""

    def __init__(self, names: str, does: str = "Show") -> None:
        self._names = names.split()
        self._does = does

    def option(self, function: F) -> F:
        """Declare the flag."""
        return click.option(
            "--filter",
            "filters",
            multiple=True,
            metavar="NAME=VALUE",
            help=f"{self._does} only those that match: {', '.join(self._names)}.",
            shell_complete=self._complete,
        )(function)

    def _complete(
        self, _context: click.Context, _parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(f"{n}=") for n in self._names if n.startswith(incomplete)]

    @contextmanager
    def read(self, given: Sequence[str]) -> Iterator[dict[str, list[str]]]:
        """Yield the API's filters; in the block, an engine's refusal is told with what exists."""
        from docker.errors import APIError

        found: dict[str, list[str]] = {}
        for text in given:
            name, equals, value = text.partition("=")
            if not equals:
                raise Usage(f"--filter {text!r}: write NAME=VALUE; {self._known()}")
            found.setdefault(name, []).append(value)
        try:
            yield found
        except APIError as error:
            if not (refused := _REFUSED.search(str(error.explanation))):
                raise
            raise Usage(self._refusal(*refused.groups(""))) from error

    def _refusal(self, name: str, value: str) -> str:
        if not value:
            return f"--filter {name!r}: there is no such filter; {self._known()}"
        wanted = _VALUES.get(name)
        cure = f"write {wanted}" if wanted else "the engine refuses this value"
        return f"--filter {name + value!r}: {cure}"

    def _known(self) -> str:
        return f"the names are {', '.join(self._names)}"


CONTAINERS = Filters(
    "ancestor before exited expose health id label name network publish since status volume"
)
IMAGES = Filters("before dangling label reference since until")
NETWORKS = Filters("dangling driver id label name scope type")
VOLUMES = Filters("dangling driver label name")
FOUND = Filters("is-automated is-official stars")
PRUNED = Filters("label label! until", "Remove")
PRUNED_BUILDS = Filters("id type until", "Remove")
PRUNED_VOLUMES = Filters("label label!", "Remove")
EVENTS = Filters("container daemon event image label network plugin scope type volume")
