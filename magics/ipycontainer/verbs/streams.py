"""`logs` and `events`: streams that are only looked at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from select import select
from typing import TYPE_CHECKING, Any

import click

from ..failures import one_line
from ..session import Session, json_lines
from ..streams import Demux
from ..surface import STDOUT
from ..templates import render
from ..units import instant
from .base import (
    container_argument,
    flag,
    formats,
    main,
    pass_session,
    variables,
)
from .filters import EVENTS

if TYPE_CHECKING:
    from ..surface import Sink

_CHUNK = 1 << 16


@main.command()
@flag("-f", "--follow", help="Go on with what comes.")
@click.option("-n", "--tail", default="all", metavar="LINES", help="Show only the last lines.")
@click.option("--since", metavar="TIME", help="Show from this time: 10m, 2026-01-31T12:00:00.")
@click.option("--until", metavar="TIME", help="Show up to this time.")
@flag("-t", "--timestamps", help="Put its time before each line.")
@flag("--details", help="Show what the log driver adds.")
@variables
@container_argument()
@pass_session
def logs(session: Session, /, container: str, **flags: Any) -> None:
    """Show what a container has said."""
    surface, api = session.surface, session.api
    surface.redirect(flags["out_name"], flags["err_name"])
    params = {
        "stdout": 1,
        "stderr": 1,
        "tail": flags["tail"],
        **{name: int(flags[name]) for name in ("follow", "timestamps", "details")},
        **{n: f"{instant(flags[n]):.9f}" for n in ("since", "until") if flags[n] is not None},
    }
    tty = api.inspect_container(container)["Config"]["Tty"]
    url = api._url("/containers/{0}/logs", container)
    response = api._get(url, params=params, stream=True)
    api._raise_for_status(response)
    demux = None if tty else Demux()
    try:
        for data in _chunks(response, surface):
            for stream, part in demux.feed(data) if demux else ((STDOUT, data),):
                surface.write(stream, part)
    except KeyboardInterrupt:
        surface.note(f"Interrupted: container {container} goes on")
    finally:
        response.close()
        surface.flush()


def _chunks(response: Any, surface: Sink) -> Iterator[memoryview]:
    """Yield a reply a chunk at a time, whatever its size; show what is due while none comes."""
    connection = response.raw._fp.fp.raw._sock
    for chunk in response.raw.stream(_CHUNK):
        yield memoryview(chunk)
        due = surface.tick()
        if due is not None and len(chunk) < _CHUNK and not select([connection], [], [], due)[0]:
            surface.tick()


@main.command()
@click.option("--since", metavar="TIME", help="Show from this time.")
@click.option("--until", metavar="TIME", help="Show up to this time, then end.")
@EVENTS.option
@formats
@pass_session
def events(
    session: Session,
    /,
    since: str | None,
    until: str | None,
    filters: tuple[str, ...],
    template: str | None,
) -> None:
    """Show what happens to images and containers, until interrupted."""
    api = session.api
    times = {n: f"{instant(t):.9f}" for n, t in (("since", since), ("until", until)) if t}
    with EVENTS.read(filters) as wanted:
        params = {"filters": json.dumps(wanted), **times}
        response = api._get(api._url("/events"), params=params, stream=True)
        api._raise_for_status(response)
    try:
        for event in json_lines(session, response):
            session.surface.say(_event_text(event, template))
    except KeyboardInterrupt:
        session.surface.note("Interrupted: no longer watching")


def _event_text(event: dict[str, Any], template: str | None) -> str:
    if template == "json":
        return json.dumps(event, ensure_ascii=False)
    if template is not None:
        return render(template, event)
    from datetime import datetime, timezone

    seconds, nanoseconds = divmod(event["timeNano"], 10**9)
    moment = datetime.fromtimestamp(seconds, timezone.utc).astimezone()
    zone = moment.strftime("%z")
    stamp = f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}{zone[:3]}:{zone[3:]}"
    actor = event["Actor"]
    attributes = ", ".join(f"{k}={v}" for k, v in sorted((actor.get("Attributes") or {}).items()))
    told = f"{stamp} {event['Type']} {event['Action']} {actor['ID']}"
    return one_line(told + (f" ({attributes})" if attributes else ""))
