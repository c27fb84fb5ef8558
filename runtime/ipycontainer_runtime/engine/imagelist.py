"""Which images a list shows: `--filter`, `--all`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from ipycontainer_runtime.engine.imageviews import epoch
from ipycontainer_runtime.engine.times import parse_age
from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.oci.reference import Reference
from ipycontainer_runtime.store.images import ImageRecord

Filters = Mapping[str, Sequence[str]]
MAX_PATTERN = 1024
_KNOWN = frozenset({"before", "dangling", "label", "reference", "since", "until"})


def select(
    records: Sequence[ImageRecord],
    filters: Filters,
    *,
    show_all: bool,
    find: Callable[[str], ImageRecord],
) -> list[ImageRecord]:
    """Return the records that a list shows, in their order, with the names it shows.

    `find` resolves the names in `before` and `since`, and raises NotFound. An image without a
    name that others were committed from is shown by `--all` alone.
    """
    _check(filters)
    parents = {record.parent for record in records}
    dangling = _dangling(filters)
    shown = [r for r in records if r.references or show_all or r.id not in parents]
    if dangling is not None:
        shown = [r for r in shown if (not r.names and r.id not in parents) is dangling]
    shown = _by_time(shown, filters, find)
    shown = [r for r in shown if all(_labelled(r, text) for text in filters.get("label", ()))]
    if patterns := filters.get("reference"):
        shown = [n for r in shown if (n := _named(r, patterns)) is not None]
    return shown


def _check(filters: Filters) -> None:
    for name in filters:
        if name not in _KNOWN:
            raise InvalidParameter(f"invalid filter '{name}'")


def _dangling(filters: Filters) -> bool | None:
    values = {value.lower() for value in filters.get("dangling", ())}
    if not values:
        return None
    if values <= {"1", "true"}:
        return True
    if values <= {"0", "false"}:
        return False
    raise InvalidParameter(
        f"invalid filter 'dangling=[{' '.join(sorted(values))}]': true or false is wanted"
    )


def _by_time(
    records: list[ImageRecord], filters: Filters, find: Callable[[str], ImageRecord]
) -> list[ImageRecord]:
    before = [epoch(find(name).created) for name in filters.get("before", ())]
    since = [epoch(find(name).created) for name in filters.get("since", ())]
    ages = [parse_age(text, "until") for text in filters.get("until", ())]
    before += [age // 1_000_000_000 for age in ages if age is not None]
    return [
        record
        for record in records
        if (not before or epoch(record.created) < min(before))
        and (not since or epoch(record.created) > max(since))
    ]


def _labelled(record: ImageRecord, wanted: str) -> bool:
    labels = record.config.defaults.labels or {}
    name, equals, value = wanted.partition("=")
    return name in labels and (not equals or labels[name] == value)


def _named(record: ImageRecord, patterns: Sequence[str]) -> ImageRecord | None:
    """Return a record with only those of its references that a pattern matches."""
    kept = tuple(
        reference
        for reference in record.references
        if any(matches(pattern, reference) for pattern in patterns)
    )
    return replace(record, references=kept) if kept else None


def matches(pattern: str, reference: Reference) -> bool:
    """Tell whether a pattern of `*`, `?` and `[…]` matches a name with or without its tag."""
    texts = (reference.familiar, reference.familiar_name)
    return any(_matches_parts(pattern[:MAX_PATTERN], text) for text in texts)


def _matches_parts(pattern: str, text: str) -> bool:
    """Match part by part: in Go's path.Match, nothing matches a slash but a slash."""
    wanted, parts = pattern.replace("[^", "[!").split("/"), text.split("/")
    return len(wanted) == len(parts) and all(map(fnmatchcase, parts, wanted))
