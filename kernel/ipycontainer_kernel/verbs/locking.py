"""`lock`: a notebook is made to say what its sandbox is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ipycontainer.failures import Failure, Usage
from ipycontainer.session import Session
from ipycontainer.verbs.base import flag, pass_session
from ipycontainer.verbs.options import declared
from ipycontainer_kernel.notebooks import documents, pages
from ipycontainer_kernel.notebooks.lock import Lock
from ipycontainer_kernel.notebooks.lock import lock as locked
from ipycontainer_kernel.resolving import resolve
from ipycontainer_kernel.verbs.kernel import asked_for
from ipycontainer_kernel.verbs.sandboxed import OPTIONS, recorded


@click.command()
@click.argument(
    "path", metavar="[NOTEBOOK]", type=click.Path(path_type=Path), required=False, default=None
)
@flag("--show", help="Show what would be written, and write nothing.")
@declared(OPTIONS)
@pass_session
def lock(session: Session, /, path: Path | None, *, show: bool, **flags: Any) -> object:
    """Write into NOTEBOOK's metadata what its sandbox is, so that it can be had again elsewhere.

    That is the image by its digest, limits, mounts, network, variables and what is injected, of
    --image and the other flags, or else of what the notebook says already or of its kernel. In a
    cell NOTEBOOK is the one that the cell is in. Values that look like secrets are not written.
    """
    page = pages.current()
    place = path or (page.path if page is not None else None)
    document = documents.read(place) if place is not None and place.exists() else None
    found = _lock(session, place, document, flags)
    # A page fills a box with red for what comes on standard error, and nothing failed.
    note = session.surface.note if page is None else session.surface.say
    if show:
        _warn(note, found)
        return session.surface.show(pages.shown(found))
    if path is None and page is not None and page.write(found):
        session.surface.say("this notebook's metadata has its sandbox; save it")
        _warn(note, found)
        return None
    if place is None or document is None:
        raise Usage("which notebook? this front end does not tell: lock NOTEBOOK --image IMAGE")
    found.put(document)
    documents.write(document, place)
    session.surface.say(f"{place} has its sandbox in its metadata")
    _warn(note, found)
    if path is None:
        note(
            "The file was written beside the open page: have it loaded again (Revert), or saving"
            " the page takes it away"
        )
    return None


def _warn(note: Callable[[str], None], found: Lock) -> None:
    for text in found.notes:
        note(f"WARNING: {text}")


def _lock(session: Session, place: Path | None, document: Any, flags: dict[str, Any]) -> Lock:
    asked = asked_for(flags)
    if not flags["image"]:
        if place is None or document is None:
            raise Usage("lock: which image? --image IMAGE")
        asked = {**recorded(session, place, document), **asked}
    else:
        asked["image"] = flags["image"]
    resolved = resolve(session, asked)
    if resolved.settings.kind == "dockerfile":
        raise Failure("a Dockerfile kernel has no sandbox: it builds images on this machine")
    folder = place.absolute().parent if place is not None else None
    return locked(resolved.settings, folder)
