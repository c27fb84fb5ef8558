"""Which containers a list shows: `--filter`, `--all`, `--last`."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from ipycontainer_runtime.engine.container import Container
from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.store.records import NEVER

STATUSES = ("created", "running", "paused", "restarting", "removing", "exited", "dead")
_KNOWN_WORDS = (
    "ancestor before exited expose health id isolation is-task label name network publish "
    "since status volume"
)
_KNOWN = _KNOWN_WORDS.split()

Filters = Mapping[str, Sequence[str]]
Ancestor = Callable[[Container, str], bool]
"""Tells whether a container's image is, or stands on, the image with this name."""


def check_filters(filters: Filters) -> None:
    """Refuse filters and values that mean nothing, in Docker's words."""
    for name in filters:
        if name not in _KNOWN:
            raise InvalidParameter(f"invalid filter '{name}'")
    for status in filters.get("status", ()):
        if status not in STATUSES:
            raise InvalidParameter(f"invalid filter 'status={status}'")
    for code in filters.get("exited", ()):
        if not code.lstrip("-").isdecimal():
            raise InvalidParameter(f"invalid filter 'exited={code}'")


def select(
    newest_first: Sequence[Container],
    filters: Filters,
    *,
    show_all: bool,
    find: Callable[[str], Container],
    ancestor: Ancestor,
) -> Iterator[Container]:
    """Yield the containers that a list shows, newest first.

    `find` resolves the names in `before` and `since`, and raises NotFound.
    """
    check_filters(filters)
    show_all = show_all or bool(filters.get("status"))
    before = [find(name).record.created_ns for name in filters.get("before", ())]
    since = [find(name).record.created_ns for name in filters.get("since", ())]
    for container in newest_first:
        created = container.record.created_ns
        if not container.state.active and not show_all:
            continue
        if (before and created >= min(before)) or (since and created <= max(since)):
            continue
        if _matches(container, filters, ancestor):
            yield container


def _matches(container: Container, filters: Filters, ancestor: Ancestor) -> bool:
    return all(
        not values or _matches_one(container, name, values, ancestor)
        for name, values in filters.items()
    )


def _matches_one(
    container: Container, name: str, values: Sequence[str], ancestor: Ancestor
) -> bool:
    record, state = container.record, container.state
    if name == "name":
        return any(_fits(v, record.name) or _fits(v, f"/{record.name}") for v in values)
    if name == "id":
        return any(_fits(value, record.id) for value in values)
    if name == "label":
        return all(_has_label(record.config.labels or {}, value) for value in values)
    if name == "status":
        return state.shown in values
    if name == "exited":
        ended = not state.active and state.started_at != NEVER
        return ended and str(state.exit_code) in values
    if name == "ancestor":
        return any(ancestor(container, value) for value in values)
    if name == "network":
        places = record.networks.items()
        return any(v in (name, place.network) for v in values for name, place in places)
    if name == "health":
        return (state.health.status if state.health else "none") in values
    if name == "is-task":
        return values[0].lower() in ("false", "0")
    if name == "volume":
        shown = [point for point in record.mounts if not point.hidden]
        return any(value in (p.name, p.destination) for p in shown for value in values)
    # before and since were looked at; ports and isolation have none to match here.
    return name in ("before", "since")


def _fits(pattern: str, text: str) -> bool:
    """Tell whether a filter's value is found in a text; it may be a regular expression."""
    try:
        return pattern == text or re.search(pattern, text) is not None
    except re.error as error:
        raise InvalidParameter(f"invalid filter value {pattern!r}: {error}") from error


def _has_label(labels: Mapping[str, str], wanted: str) -> bool:
    name, equals, value = wanted.partition("=")
    return name in labels and (not equals or labels[name] == value)
