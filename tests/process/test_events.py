"""Events reach who asks for them, each once, in Docker's shape."""

import asyncio
import json
import time

import msgspec
import pytest

from ipycontainer_runtime.engine import events as module
from ipycontainer_runtime.engine.events import Event, Events
from ipycontainer_runtime.errors import InvalidParameter


def published() -> Events:
    """Return events of a container and its image."""
    events = Events()
    shop = {"image": "shop:1", "name": "web", "tier": "front"}
    events.publish("image", "pull", "sha256:aa", {"name": "shop:1"})
    events.publish("container", "start", "c0ffee", shop)
    events.publish("container", "exec_start: ls -l", "c0ffee", shop)
    events.publish("container", "die", "c0ffee", {**shop, "exitCode": "3"})
    return events


async def collect(events: Events, filters: dict[str, list[str]] | None = None) -> list[Event]:
    """Return what there is up to now."""
    return [event async for event in events.subscribe(0, time.time_ns(), filters)]


def actions(filters: dict[str, list[str]]) -> list[str]:
    return [event.Action for event in asyncio.run(collect(published(), filters))]


def test_an_event_has_dockers_shape() -> None:
    event = asyncio.run(collect(published(), {"event": ["die"]}))[0]
    told = json.loads(msgspec.json.encode(event))
    assert told.pop("time") == told.pop("timeNano") // 10**9
    assert told == {
        "status": "die",
        "id": "c0ffee",
        "from": "shop:1",
        "Type": "container",
        "Action": "die",
        "Actor": {
            "ID": "c0ffee",
            "Attributes": {"image": "shop:1", "name": "web", "tier": "front", "exitCode": "3"},
        },
        "scope": "local",
    }


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ["pull", "start", "exec_start: ls -l", "die"]),
        ({"type": ["image"]}, ["pull"]),
        ({"event": ["start", "die"]}, ["start", "die"]),
        ({"event": ["exec_start"]}, ["exec_start: ls -l"]),
        ({"container": ["web"], "event": ["die"]}, ["die"]),
        ({"container": ["c0ff"]}, ["start", "exec_start: ls -l", "die"]),
        ({"container": ["other"]}, []),
        ({"image": ["shop"]}, ["pull", "start", "exec_start: ls -l", "die"]),
        ({"image": ["shop:1"], "type": ["image"]}, ["pull"]),
        ({"image": ["shop:2"]}, []),
        ({"label": ["tier"]}, ["start", "exec_start: ls -l", "die"]),
        ({"label": ["tier=front"], "event": ["start"]}, ["start"]),
        ({"label": ["tier=back"]}, []),
        ({"label": ["tier", "other"]}, []),
    ],
)
def test_filters_choose(filters: dict[str, list[str]], expected: list[str]) -> None:
    assert actions(filters) == expected


def test_an_unknown_filter_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="invalid filter 'colour'"):
        Events().subscribe(filters={"colour": ["red"]})


def test_without_since_only_what_is_new_comes() -> None:
    async def scenario() -> list[str]:
        events = published()
        subscription = events.subscribe()
        events.publish("image", "tag", "sha256:aa")
        async for event in subscription:
            return [event.Action]
        return []

    assert asyncio.run(scenario()) == ["tag"]


def test_nothing_is_lost_between_the_backlog_and_the_news() -> None:
    async def scenario() -> list[str]:
        events = published()
        found = []
        async for event in events.subscribe(0):
            found.append(event.Action)
            if event.Action == "die":
                events.publish("container", "destroy", "c0ffee")
            if event.Action == "destroy":
                break
        return found

    assert asyncio.run(scenario()) == ["pull", "start", "exec_start: ls -l", "die", "destroy"]


def test_until_ends_a_subscription_that_waits() -> None:
    async def scenario() -> int:
        events = Events()
        subscription = events.subscribe(None, time.time_ns() + 50_000_000)
        found = [event async for event in subscription]
        return len(found) + events.subscribers()

    assert asyncio.run(asyncio.wait_for(scenario(), 5)) == 0


def test_the_backlog_is_bounded() -> None:
    async def scenario() -> int:
        events = Events()
        for number in range(module.BACKLOG + 10):
            events.publish("image", "tag", str(number))
        return len(await collect(events))

    assert asyncio.run(scenario()) == module.BACKLOG


def test_a_subscriber_that_never_reads_is_cut_off() -> None:
    async def scenario() -> int:
        events = Events()
        subscription = events.subscribe()
        for number in range(20_000):
            events.publish("image", "tag", str(number))
        return len([event async for event in subscription])

    assert asyncio.run(asyncio.wait_for(scenario(), 20)) == 0


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", None),
        ("12", 12 * 10**9),
        ("12.5", 12_500_000_000),
        ("12.000000001", 12_000_000_001),
        ("1970-01-01T00:00:12Z", 12 * 10**9),
        ("1970-01-01T01:00:12+01:00", 12 * 10**9),
        ("1970-01-01T00:00:12.123456789Z", 12_123_456_789),
        ("1970-01-01T00:00:12", 12 * 10**9),
    ],
)
def test_times_are_read_as_docker_reads_them(value: str, expected: int | None) -> None:
    assert module.nanoseconds("since", value) == expected


def test_a_time_that_is_none_is_named() -> None:
    with pytest.raises(InvalidParameter, match='invalid since "soon"'):
        module.nanoseconds("since", "soon")


@pytest.mark.parametrize("name", ["config", "node", "plugin", "scope", "secret", "service"])
def test_every_filter_of_docker_is_known(name: str) -> None:
    assert module.checked_filters({name: ["x"]})
