"""`doctor`: what this machine gives the engine, and what would cure what it lacks."""

from __future__ import annotations

from ..failures import Failure
from ..listing import Table
from ..session import Session
from .base import main, pass_session

_COLUMNS = {
    "WHAT": "Name",
    "STATE": "State",
    "SEEN": "Detail",
    "COSTS": "Cost",
    "CURE": "Cure",
}


@main.command()
@pass_session
def doctor(session: Session) -> object:
    """Show what this machine allows the engine; for each lack what it costs and its cure."""
    if "doctor" not in session.extensions():
        raise Failure(f"{session.address} is no engine of ipycontainer, which alone has a doctor")
    checks = session.api._result(session.api._get(session.api._url("/ipycontainer/doctor")), True)
    return session.surface.show(Table(checks, "What this machine allows", _COLUMNS, checks))
