"""What happened, in Docker's words: published by the use cases, streamed to whoever asks."""

import asyncio
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping

import msgspec

from ipycontainer_runtime.engine.times import parse_rfc3339
from ipycontainer_runtime.errors import InvalidParameter

BACKLOG = 1024
# A subscriber that is this far behind is cut off: the engine's memory is worth more.
_BEHIND = 8192

_SECOND = 1_000_000_000
_TIMESTAMP = re.compile(r"(\d{1,12})(?:\.(\d{1,9}))?")
_KINDS = frozenset(("container", "image", "volume", "network", "daemon", "plugin", "builder"))
# A swarm's things are asked about in vain here, as under an engine that is in none.
_SWARMS = frozenset(("config", "node", "secret", "service"))
_FILTERS = _KINDS | _SWARMS | {"event", "type", "label", "scope"}


class Actor(msgspec.Struct, frozen=True):
    """Whom an event is about."""

    ID: str
    Attributes: dict[str, str]


class Event(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One event as the Engine API sends it; `status`, `id` and `from` are for older clients."""

    status: str = ""
    id: str = ""
    image: str = msgspec.field(default="", name="from")
    Type: str
    Action: str
    Actor: Actor
    scope: str
    time: int
    time_nano: int = msgspec.field(name="timeNano")


Filters = Mapping[str, list[str]]


class Subscription:
    """Events that match, oldest first; ends at `until`. Iterated by one reader, once."""

    def __init__(
        self, past: list[Event], filters: Filters, until: int | None, owner: "Events"
    ) -> None:
        self._owner = owner
        self._filters = filters
        self._until = until
        self._waiting: deque[Event] = deque(past)
        self._news = asyncio.Event()
        self._cut = False

    def offer(self, event: Event) -> None:
        """Queue `event` if it matches; called by `Events.publish`."""
        if not matches(event, self._filters):
            return
        if len(self._waiting) >= _BEHIND:
            self._cut = True
        else:
            self._waiting.append(event)
        self._news.set()

    async def __aiter__(self) -> AsyncIterator[Event]:
        try:
            while not self._cut:
                while self._waiting:
                    event = self._waiting.popleft()
                    if self._until is not None and event.time_nano > self._until:
                        return
                    yield event
                if not await self._more():
                    return
        finally:
            self._owner.forget(self)

    async def _more(self) -> bool:
        """Wait for an event; False when `until` comes first."""
        self._news.clear()
        if self._until is None:
            return await self._news.wait()
        left = (self._until - time.time_ns()) / _SECOND
        try:
            return await asyncio.wait_for(self._news.wait(), max(left, 0))
        except (asyncio.TimeoutError, TimeoutError):
            return False


class Events:
    """The engine's events: a backlog of the latest, and the subscribers."""

    def __init__(self) -> None:
        self._backlog: deque[Event] = deque(maxlen=BACKLOG)
        self._subscriptions: set[Subscription] = set()

    def publish(
        self, kind: str, action: str, actor_id: str, attributes: Mapping[str, str] | None = None
    ) -> None:
        """Tell every subscriber; `kind` is Docker's Type, `attributes` name a container's image."""
        now = time.time_ns()
        told = dict(attributes or {})
        dated = kind in ("container", "image")
        event = Event(
            status=action if dated else "",
            id=actor_id if dated else "",
            image=told.get("image", "") if kind == "container" else "",
            Type=kind,
            Action=action,
            Actor=Actor(actor_id, told),
            scope="local",
            time=now // _SECOND,
            time_nano=now,
        )
        self._backlog.append(event)
        for subscription in list(self._subscriptions):
            subscription.offer(event)

    def subscribe(
        self, since: int | None = None, until: int | None = None, filters: Filters | None = None
    ) -> Subscription:
        """Return events from now on, after those of the backlog when `since` or `until` is given.

        Both are nanoseconds since the epoch. Nothing published after this call is missed.
        """
        chosen = checked_filters(filters or {})
        past: list[Event] = []
        if since is not None or until is not None:
            past = [e for e in self._backlog if e.time_nano >= (since or 0) and matches(e, chosen)]
        subscription = Subscription(past, chosen, until, self)
        self._subscriptions.add(subscription)
        return subscription

    def forget(self, subscription: Subscription) -> None:
        """Stop telling a subscriber that has gone."""
        self._subscriptions.discard(subscription)

    def subscribers(self) -> int:
        """Return how many are listening."""
        return len(self._subscriptions)

    @staticmethod
    def window(since: str, until: str) -> tuple[int | None, int | None]:
        """Return the two query parameters as nanoseconds; InvalidParameter for none between."""
        begin, end = nanoseconds("since", since), nanoseconds("until", until)
        if begin is not None and end is not None and begin > end:
            raise InvalidParameter(f"`since` time ({since}) cannot be after `until` time ({until})")
        return begin, end


def nanoseconds(name: str, value: str) -> int | None:
    """Return a time given as `SECONDS[.FRACTION]` or RFC 3339; None for an empty one."""
    if not value:
        return None
    if match := _TIMESTAMP.fullmatch(value):
        return int(match[1]) * _SECOND + int((match[2] or "").ljust(9, "0"))
    try:
        return parse_rfc3339(value)
    except ValueError:
        raise InvalidParameter(
            f'invalid {name} "{value}": seconds since 1970 or an RFC 3339 time is wanted'
        ) from None


def checked_filters(filters: Filters) -> Filters:
    """Refuse a filter that Docker does not have, rather than match everything."""
    for name in filters:
        if name not in _FILTERS:
            raise InvalidParameter(f"invalid filter '{name}'")
    return filters


def matches(event: Event, filters: Filters) -> bool:
    """Tell whether `event` passes: all filters, by any value of each, but by every label."""
    return all(
        (all if name == "label" else any)(_matches_one(event, name, value) for value in values)
        for name, values in filters.items()
        if values
    )


def _matches_one(event: Event, name: str, value: str) -> bool:
    if name == "type":
        return event.Type == value
    if name == "event":
        # `exec_start: ls -l` is found by `exec_start`, as under Docker.
        return value in (event.Action, event.Action.partition(":")[0])
    if name == "scope":
        return event.scope == value
    if name == "label":
        return _has_label(event.Actor.Attributes, value)
    if name == "image":
        return _is_image(event, value)
    return _is_actor(event, name, value)


def _has_label(attributes: Mapping[str, str], wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in attributes and (not equals or attributes[key] == value)


def _is_image(event: Event, wanted: str) -> bool:
    """An image's own events, and those of containers made from it; with or without the tag."""
    attribute = "name" if event.Type == "image" else "image"
    name = event.Actor.Attributes.get(attribute, "")
    own_id = event.Actor.ID if event.Type == "image" else ""
    untagged = name[: name.rfind(":")] if ":" in name.rpartition("/")[2] else name
    return wanted in (own_id, name, untagged)


def _is_actor(event: Event, kind: str, wanted: str) -> bool:
    if event.Type != kind:
        return False
    name = event.Actor.Attributes.get("name", "")
    return event.Actor.ID.startswith(wanted) or name.startswith(wanted)
