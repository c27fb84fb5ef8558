"""`explain`: what happened to a container, from its image's name to its first byte of output."""

from __future__ import annotations

from ..session import Session
from ..templates import formatted
from .base import container_argument, formats, main, pass_session


@main.command()
@formats
@container_argument()
@pass_session
def explain(session: Session, /, container: str, *, template: str | None) -> object:
    """Show what was done to make and start a container, by whom, and how long each step took.

    With the facts of what was made: layers, namespaces, id map, mounts, limits, capabilities,
    filter. `run --explain` has each of the launcher's operations timed.
    """
    from ..explain.watching import told

    timeline = told(session, container)
    if template is not None:
        return session.surface.show(formatted(template, timeline))
    return session.surface.show(timeline)
