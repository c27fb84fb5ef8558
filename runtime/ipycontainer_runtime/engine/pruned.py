"""Which things a prune removes, and what it tells of them.

Filters are Docker's: `label=NAME[=VALUE]`, `label!=…`, `until=TIME` (created before), and for
images `dangling` (true when it is not given).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ipycontainer_runtime.engine.times import parse_age
from ipycontainer_runtime.errors import InvalidParameter

Filters = Mapping[str, Sequence[str]]


class Pruned(NamedTuple):
    """What was removed, and the bytes that its files took."""

    removed: list[str]
    report: list[dict[str, str]]
    reclaimed: int


class Chosen:
    """The filters of one prune, read and checked."""

    def __init__(self, filters: Filters, more: Sequence[str]) -> None:
        for name in filters:
            if name not in ("label", "label!", "until", *more):
                known = ", ".join(("label", "label!", "until", *more))
                raise InvalidParameter(f"invalid filter '{name}': use {known}")
        until = filters.get("until", ())
        if len(until) > 1:
            raise InvalidParameter("more than one until filter specified")
        self._until = parse_age(until[0], "until") if until else None
        self._wanted, self._unwanted = filters.get("label", ()), filters.get("label!", ())
        values = {value.lower() for value in filters.get("dangling", ())}
        if not values <= {"1", "true", "0", "false"}:
            raise InvalidParameter(
                f"invalid filter 'dangling=[{' '.join(sorted(values))}]': true or false is wanted"
            )
        self.dangling = not values & {"0", "false"}

    @property
    def until(self) -> int | None:
        """Before when a thing must have been, in nanoseconds since 1970."""
        return self._until

    def has(self, labels: Mapping[str, str] | None, created_ns: int) -> bool:
        """Tell whether the filters let this through."""
        given = labels or {}
        if self._until is not None and created_ns >= self._until:
            return False
        return all(_labelled(given, text) for text in self._wanted) and not any(
            _labelled(given, text) for text in self._unwanted
        )


def _labelled(labels: Mapping[str, str], wanted: str) -> bool:
    name, equals, value = wanted.partition("=")
    return name in labels and (not equals or labels[name] == value)
