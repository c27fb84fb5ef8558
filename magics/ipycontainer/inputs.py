"""Which input a process in a container gets, and who is told when it wants it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .failures import Failure, one_line
from .surface import Kind

if TYPE_CHECKING:
    from .listening import Question
    from .session import Session
    from .surface import Source

_LONGEST = 60  # characters of a question that an error quotes


def tells(session: Session) -> bool:
    """Tell whether the engine sees who waits for input: Docker's cannot."""
    from .listening import EXTENSION

    return EXTENSION in session.extensions()


@contextmanager
def opened_input(session: Session, target: str, *, tty: bool) -> Iterator[Source]:
    """Open the input of `target`: containers/ID or exec/ID, which may not be started yet."""
    from .listening import Listening

    surface = session.surface
    hears = surface.input is not Kind.GIVEN and tells(session)
    if surface.input is Kind.PERSON and not hears:
        surface.note(
            f"the engine at {session.address} cannot see when a program waits for input, so its"
            ' input ends at once: give it with --input "…", or as the body of a %%container cell'
        )
    source = surface.source(tty=tty, listening=Listening(session, target) if hears else None)
    try:
        yield source
    finally:
        source.close()


def nobody_to_ask(question: Question, where: str) -> Failure:
    """Return the failure of a cell whose front end can ask nobody."""
    line = one_line(question.line)
    asks = f" ({line[-_LONGEST:]!r})" if line else ""
    return Failure(
        f"{question.process or 'a process'} in {where} waits for input{asks}, and nobody can be"
        ' asked here: give it with --input "…", or as the body of a %%container cell'
    )
