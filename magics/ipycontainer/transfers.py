"""Pull, push and capture: a progress stream from the engine, shown while it goes on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .failures import Failure, Interrupted, Usage
from .logins import Sent

if TYPE_CHECKING:
    from .session import Session
    from .surface import Progress


class Quiet:
    """Shows nothing, for `-q`."""

    def update(self, entry: dict[str, Any]) -> None:
        """Ignore what goes on."""

    def done(self, summary: str) -> None:
        """Ignore what was done."""

    def failed(self, reason: str) -> None:
        """Ignore why not: the failure is raised as well."""


def pull(
    session: Session,
    name: str,
    *,
    platform: str | None = None,
    all_tags: bool = False,
    quiet: bool = False,
    aside: bool = False,
) -> None:
    """Pull an image; `aside` when something else was asked for that needs it."""
    from docker.utils import parse_repository_tag

    repository, tag = parse_repository_tag(name)
    if tag and all_tags:
        raise Usage(f"{name}: -a pulls every tag of a repository, so name it without a tag")
    full = name if tag or all_tags else f"{name}:latest"
    view = _view(session, f"Pulling {full}", quiet=quiet, aside=aside)
    login = Sent.to(name)
    with session.naming(name), login.blamed():
        stream = session.api.pull(
            repository,
            tag,
            stream=True,
            decode=True,
            platform=platform,
            all_tags=all_tags,
            auth_config=login.header,
        )
    with login.blamed():
        last = _follow(view, stream)
    view.done(f"{full} is up to date" if "up to date" in last else f"Pulled {full}")


def push(session: Session, name: str, *, all_tags: bool = False, quiet: bool = False) -> None:
    """Push an image to the registry that its name says."""
    from docker.utils import parse_repository_tag

    repository, tag = parse_repository_tag(name)
    if tag and all_tags:
        raise Usage(f"{name}: -a pushes every tag of a repository, so name it without a tag")
    sent = None if all_tags else tag or "latest"
    full = f"{repository}:{sent}" if sent else repository
    view = _view(session, f"Pushing {full}", quiet=quiet)
    login = Sent.to(name)
    with session.naming(name), login.blamed():
        stream = session.api.push(
            repository, sent, stream=True, decode=True, auth_config=login.header
        )
    with login.blamed():
        _follow(view, stream)
    view.done(f"Pushed {full}")


def _view(session: Session, title: str, *, quiet: bool, aside: bool = False) -> Progress:
    return Quiet() if quiet else session.surface.progress(title, aside=aside)


def _follow(view: Progress, stream: Iterable[dict[str, Any]]) -> str:
    """Show the stream to its end and return its last status; whatever ends it early is shown."""
    last = ""
    try:
        for entry in _checked(stream):
            view.update(entry)
            last = str(entry.get("status") or last)
    except KeyboardInterrupt:
        view.failed("interrupted")
        raise Interrupted("interrupted; what was transferred already is kept") from None
    except Exception:
        view.failed("failed")
        raise
    return last


def _checked(stream: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for entry in stream:
        if "error" in entry:
            detail = entry.get("errorDetail") or {}
            raise Failure(str(detail.get("message") or entry["error"]))
        yield entry


def capture(
    session: Session, name: str, asked: Mapping[str, Any], *, quiet: bool = False
) -> dict[str, Any]:
    """Ask the engine for an image of a Python environment; return what it tells of it.

    `asked` are the fields of `POST /ipycontainer/capture`; the answer has Layers, Lock, Left and,
    unless nothing was to be made, ID.
    """
    from .session import json_lines

    if "capture" not in session.extensions():
        raise Failure(
            f"the engine at {session.address} cannot capture {name!r}: only ipycontainer's own"
            " can, on the machine of the notebook; unset DOCKER_HOST to use it"
        )
    api = session.api
    view = _view(session, f"Capturing {name}", quiet=quiet)
    url = api._url("/ipycontainer/capture")
    response = api._post(url, params={"name": name, **asked}, stream=True)
    with session.naming(name):
        api._raise_for_status(response)
    told: dict[str, Any] = {}

    def entries() -> Iterator[dict[str, Any]]:
        for entry in json_lines(session, response):
            told.update(entry.get("aux") or {})
            yield entry

    _follow(view, entries())
    view.done(f"Captured {asked['python']} as {name}" if "ID" in told else f"{name}: nothing made")
    return told
