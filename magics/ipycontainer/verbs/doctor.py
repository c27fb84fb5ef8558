"""`doctor`: what this machine gives the engine, and what would cure what it lacks."""

from __future__ import annotations

import os

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
    """Show what this machine allows the engine; for each lack what it costs and its cure.

    Where the engine does not start, the same is found without it.
    """
    checks = _asked(session)
    return session.surface.show(Table(checks, "What this machine allows", _COLUMNS, checks))


def _asked(session: Session) -> list[dict[str, str]]:
    try:
        extensions = session.extensions()
    except Exception as error:
        failure = session.explained(error)
        if os.environ.get("DOCKER_HOST"):
            raise failure from error
        from ipycontainer_runtime import client

        session.surface.note(f"the engine does not start: {failure}")
        return client.doctor()
    if "doctor" not in extensions:
        raise Failure(f"{session.address} is no engine of ipycontainer, which alone has a doctor")
    api = session.api
    checks: list[dict[str, str]] = api._result(api._get(api._url("/ipycontainer/doctor")), True)
    return checks
