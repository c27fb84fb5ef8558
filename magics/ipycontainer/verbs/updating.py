"""`update`: other limits for containers that are there."""

from __future__ import annotations

from typing import Any

from ..failures import Usage
from ..session import Session
from .base import container_argument, main, pass_session
from .options import update_options
from .settings import update_of


@main.command()
@update_options
@container_argument(many=True)
@pass_session
def update(session: Session, /, containers: tuple[str, ...], **flags: Any) -> None:
    """Change limits and the restart policy of containers, while they run or not."""
    changes = update_of(flags)
    if not changes:
        raise Usage("nothing to change: give one or more flags, such as --memory or --cpus")
    api = session.api

    def change(name: str) -> None:
        reply = api._post_json(api._url("/containers/{0}/update", name), data=changes)
        for warning in api._result(reply, True).get("Warnings") or ():
            session.warn(warning)

    session.each(containers, change)
