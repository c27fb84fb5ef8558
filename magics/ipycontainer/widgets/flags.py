"""Flags of `run` in a form, refused and completed as the verb's own declaration says."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from ..failures import Usage, explain
from ..session import Session
from .desk import PROGRAM, Desk, engine_client

if TYPE_CHECKING:
    import click
    from docker import DockerClient

_IMAGE = "IMAGE"
_DETACH = "-d leaves a container running that the form would no longer show: leave it out"


def check_flags(flags: Sequence[str]) -> None:
    """Raise `Usage` for words that `run` would not take as its flags."""
    command = _run()
    try:
        # Without a session the preferences are left to the verb itself.
        with command.make_context(f"{PROGRAM} run", [*flags, _IMAGE]) as context:
            taken = dict(context.params)
    except Exception as error:
        failure = explain(error, PROGRAM)
        if failure is None:
            raise
        raise failure from error
    if taken["image"] != _IMAGE:
        raise Usage(f"more flags: {taken['image']!r} is none; the image has its own field")
    if taken["detach"]:
        raise Usage(_DETACH)


def offered(words: Sequence[str], last: str) -> list[str]:
    """Return what could stand after `words` and begins with `last`."""
    from ..complete import offered as completions

    with ExitStack() as undo:
        desk = Desk(lambda _text: None)
        undo.callback(desk.close)

        def client() -> DockerClient:
            return undo.enter_context(closing(engine_client()))

        return completions(list(words), last, Session(desk, client))


def _run() -> click.Command:
    from ..verbs import main

    return main.commands["run"]
