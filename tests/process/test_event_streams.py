"""The same deeds make the same events here and in Docker's engine, and filters find the same."""

import json
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from support.engines import Engine
from support.hosts import Host

pytestmark = pytest.mark.needs("docker", "dockerd", "busybox")

# What dockerd 23 and later tell of an end, and what this engine tells of a bad one.
OF_AN_END = {"execDuration", "fault", "peak", "signal"}


class Told(NamedTuple):
    """One event without its times and with its ids masked."""

    kind: str
    action: str
    attributes: dict[str, str]


class Deeds(NamedTuple):
    """What an engine was made to do with `image`, from `since` to `until` in seconds since 1970."""

    host: Host
    image: str
    since: float
    until: float

    def told(self, *filters: str) -> list[Told]:
        """Return the events that pass."""
        window = (f"--since={self.since:.9f}", f"--until={self.until:.9f}")
        chosen = [f"--filter={text}" for text in filters]
        said = self.host.succeed("events", *window, "--format", "json", *chosen)
        return [told(line) for line in said.splitlines()]


def told(line: str) -> Told:
    event = json.loads(re.sub("[0-9a-f]{64}", "<id>", line))
    attributes = event["Actor"]["Attributes"]
    if event["Action"] == "die":
        attributes = {k: v for k, v in attributes.items() if k not in OF_AN_END}
    if event["Type"] == "container":
        assert (event["status"], event.get("from", "")) == (
            event["Action"],
            attributes.get("image", ""),
        )
    assert event["timeNano"] // 10**9 == event["time"]
    return Told(event["Type"], event["Action"], attributes)


def do(host: Host, image: str, file: Path) -> Deeds:
    docker, made = host.succeed, ["create", "--network=none"]
    docker("pull", "-q", image)
    since = time.time()
    docker("pull", "-q", image)
    docker("tag", image, "events:1")
    named = ["--name=one", "--label=tier=front", "--label=floor=2"]
    docker(*made, *named, "events:1", "sleep", "1000")
    docker("start", "one")
    docker("exec", "-e", "A=1", "-w", "/tmp", "-u", "33", "one", "echo", "two  words")
    docker("exec", "one", "true")
    docker("pause", "one")
    docker("unpause", "one")
    docker("update", "--cpu-shares=512", "one")
    docker("rename", "one", "two")
    file.write_text("x")
    docker("cp", str(file), "two:/tmp/x")
    docker("cp", "two:/tmp/x", str(file))
    docker("top", "two")
    docker("commit", "--pause=false", "-m", "why", "two", "events:2")
    docker("kill", "-s", "USR1", "two")
    docker("restart", "-t", "0", "two")
    docker("stop", "-t", "0", "two")
    docker("export", "-o", str(file), "two")
    docker("rm", "two")
    bounds = ["--memory=16m", "--memory-swap=16m"]
    host.docker("run", "--name=hog", "--network=none", *bounds, "events:1", "tail", "/dev/zero")
    docker("rm", "hog")
    probe = ["--health-cmd=false", "--health-retries=1", "--health-interval=50ms"]
    docker(*made, *probe, "--name=ill", "events:1", "sleep", "1000")
    docker("start", "ill")
    awaited("health_status: unhealthy", host, since)
    docker("rm", "-f", "ill")
    host.docker("run", "--rm", "--name=none", "--network=none", "events:1", "no-such-command")
    docker("rmi", "events:2")
    docker("rmi", "events:1")
    docker("container", "prune", "-f", "--filter", "label=none")
    return Deeds(host, image, since, time.time())


def awaited(action: str, host: Host, since: float) -> None:
    query = {"since": since, "filters": {"event": action}, "decode": True}
    stream = host.client.events(**query)
    next(stream)
    stream.close()


@pytest.fixture(scope="module")
def both(
    dockerd: Host, shared_engine: Engine, busybox: str, tmp_path_factory: pytest.TempPathFactory
) -> Sequence[Deeds]:
    """The same deeds done by Docker's engine and by ours."""
    file = tmp_path_factory.mktemp("events") / "file"
    return [do(host, busybox, file) for host in (dockerd, shared_engine)]


def agree(both: Sequence[Deeds], fits: Callable[[Told], bool], *filters: str) -> None:
    docker, ours = ([event for event in deeds.told(*filters) if fits(event)] for deeds in both)
    assert ours == docker
    assert ours


def probes(event: Told) -> bool:
    """Tell whether an event is of a health check, which comes as often as there is time."""
    return event.attributes.get("name") == "ill" and event.action.startswith("exec_")


def test_sequences_and_attributes_are_dockers(both: Sequence[Deeds]) -> None:
    # A start that fails is told by this engine alone.
    agree(both, lambda event: not probes(event) and event.action != "fault")


def test_a_probe_is_told_as_docker_tells_it(both: Sequence[Deeds]) -> None:
    docker, ours = (list(filter(probes, deeds.told("container=ill")))[:3] for deeds in both)
    for event in (*docker, *ours):
        event.attributes.pop("exitCode", None)
    assert ours == docker


@pytest.mark.parametrize(
    "filters",
    [
        ("type=image",),
        ("event=die", "event=start"),
        ("event=exec_create",),
        ("event=exec_start: echo two  words",),
        ("container=two",),
        ("container=one", "container=hog", "event=create"),
        ("image=events:1", "type=container", "event=start"),
        ("image=events", "type=image"),
        ("label=tier", "event=tag"),
        ("label=tier=front", "label=floor=2"),
        ("scope=local", "type=image", "event=untag"),
    ],
    ids=" ".join,
)
def test_filters_find_what_docker_finds(both: Sequence[Deeds], filters: tuple[str, ...]) -> None:
    agree(both, lambda event: not probes(event), *filters)


def test_a_commit_holds_its_container_still_and_tells_so(both: Sequence[Deeds]) -> None:
    # Docker's engine lets it go once the image has its name, ours as soon as it was read.
    orders = []
    for deeds in both:
        docker = deeds.host.succeed
        docker("run", "-d", "--name=still", "--network=none", deeds.image, "sleep", "1000")
        since = time.time()
        docker("commit", "still")
        docker("rm", "-f", "still")
        told = Deeds(deeds.host, deeds.image, since, time.time()).told("container=still")
        orders.append([event.action for event in told])
    docker, ours = orders
    assert sorted(ours) == sorted(docker)
    assert ours[:2] == ["pause", "unpause"]


def test_every_label_that_is_asked_for_must_be_there(both: Sequence[Deeds]) -> None:
    for deeds in both:
        assert deeds.told("label=tier=front", "label=absent") == []


@pytest.mark.parametrize(
    "window",
    [
        ("--since", "2099-01-01T00:00:00Z", "--until", "0s"),
        ("--since", "10m", "--until", "2001-01-01"),
    ],
    ids=" ".join,
)
def test_a_window_that_ends_before_it_begins_is_refused(
    both: Sequence[Deeds], window: tuple[str, ...]
) -> None:
    docker, ours = (deeds.host.docker("events", *window) for deeds in both)
    assert ours.returncode == docker.returncode == 1
    said = [re.sub(rb"\d+", b"N", done.stderr) for done in (docker, ours)]
    assert said[0] == said[1]
