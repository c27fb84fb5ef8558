"""A container's checkpoints over the Engine client: its files, kept and given back.

Used by the verbs, and by kernels for their own containers. Docker's engine has none like these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .failures import Failure, one_line
from .units import counted, decimal_size

Checkpoint = Mapping[str, Any]
"""Name, Created, Parent, Current, the numbers Added, Changed and Deleted, Size; Changes of one."""

SHOWN = 12
"""Changes that are shown of one checkpoint."""
_SIGNS = {"added": "A", "changed": "C", "deleted": "D"}


def create(
    api: Any, container: str, name: str = "", *, pause: bool = True, if_changed: bool = False
) -> Checkpoint:
    """Keep a container's files as they are, and return what was kept, with its Changes.

    With `if_changed` nothing is kept where nothing changed: Kept is false then.
    """
    asked = {"Name": name, "Pause": pause, "IfChanged": if_changed}
    made: Checkpoint = _result(api, api._post_json(_url(api, container), data=asked))
    return made


def listed(api: Any, container: str) -> Sequence[Checkpoint]:
    """Return a container's checkpoints, oldest first."""
    found: Sequence[Checkpoint] = _result(api, api._get(_url(api, container)))
    return found


def get(api: Any, container: str, name: str) -> Checkpoint:
    """Return one checkpoint, with its Changes."""
    found: Checkpoint = _result(api, api._get(_url(api, container, name)))
    return found


def remove(api: Any, container: str, name: str) -> None:
    """Forget a checkpoint."""
    _result(api, api._delete(_url(api, container, name)))


def restore(api: Any, container: str, name: str, *, start: bool | None = None) -> None:
    """Give a container the files of a checkpoint; one that runs is killed for it.

    It runs then if it ran before, or as `start` says.
    """
    params = {} if start is None else {"start": int(start)}
    _result(api, api._post(_url(api, container, name) + "/restore", params=params))


def summary(checkpoint: Checkpoint) -> str:
    """Return in a few words what a checkpoint has other than the one before."""
    counts = ((checkpoint[kind.title()], kind) for kind in _SIGNS)
    words = [f"{number} {kind}" for number, kind in counts if number]
    return f"{', '.join(words) or 'nothing changed'} ({decimal_size(checkpoint['Size'])} kept)"


def details(checkpoint: Checkpoint) -> list[str]:
    """Return a line for each of its first changes, as `diff` has them."""
    changes = checkpoint.get("Changes") or ()
    total = sum(checkpoint[kind.title()] for kind in _SIGNS)
    lines = [
        f"{_SIGNS[change['Kind']]} {one_line(change['Path'])}"
        + (f"  {decimal_size(change['Size'])}" if change["Size"] else "")
        for change in changes[:SHOWN]
    ]
    more = total - len(lines)
    return [*lines, f"… and {counted(more, 'more change')}"] if more > 0 else lines


def _url(api: Any, container: str, name: str = "") -> str:
    path = "/ipycontainer/containers/{0}/checkpoints"
    found: str = api._url(path + "/{1}", container, name) if name else api._url(path, container)
    return found


def _result(api: Any, response: Any) -> Any:
    """Return what an engine answers; one that knows no checkpoints says so in our words."""
    if response.status_code == 404 and "page not found" in response.text:
        raise Failure(
            "this engine keeps no checkpoints of files: use ipycontainer's own engine"
            " (unset DOCKER_HOST), or `commit` the container"
        )
    return api._result(response, response.status_code in (200, 201))
