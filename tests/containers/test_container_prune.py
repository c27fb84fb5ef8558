"""Prune: what nobody uses goes, and nothing else."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from support.calls import Reply, call, create, ended, start
from support.engines import Engine, running_engine

pytestmark = [pytest.mark.needs("docker", "busybox"), pytest.mark.ordinary_user]


@pytest.fixture
def pruned(busybox: str) -> Iterator[Engine]:
    """An engine of its own: a prune would take the containers of other tests."""
    with running_engine() as running:
        running.succeed("pull", "-q", busybox)
        yield running


def prune(engine: Engine, kind: str, filters: str = "{}") -> Reply:
    return call(engine, "POST", f"/{kind}/prune?filters={quote(filters)}")


def there(engine: Engine, kind: str) -> set[str]:
    return {entry["Id"] for entry in call(engine, "GET", f"/{kind}/json?all=1").body}


def test_containers_that_do_not_run_are_pruned(pruned: Engine, busybox: str) -> None:
    running = create(pruned, busybox, "sleep", "1000")
    start(pruned, running)
    left = create(pruned, busybox, "sh", "-c", "head -c 50000 /dev/zero > /x")
    start(pruned, left)
    ended(pruned, left)
    never = create(pruned, busybox, "true")
    reply = prune(pruned, "containers")
    assert set(reply.body["ContainersDeleted"]) == {left, never}
    assert reply.body["SpaceReclaimed"] == 50000
    assert there(pruned, "containers") == {running}
    assert prune(pruned, "containers").body == {"ContainersDeleted": None, "SpaceReclaimed": 0}


def test_filters_spare_containers(pruned: Engine, busybox: str) -> None:
    kept = create(pruned, busybox, "true", Labels={"keep": "yes"})
    gone = create(pruned, busybox, "true", Labels={"keep": "no"})
    assert prune(pruned, "containers", '{"until": ["1h"]}').body["ContainersDeleted"] is None
    assert prune(pruned, "containers", '{"label!": ["keep"]}').body["ContainersDeleted"] is None
    reply = prune(pruned, "containers", '{"label": ["keep=no"]}')
    assert reply.body["ContainersDeleted"] == [gone]
    assert there(pruned, "containers") == {kept}


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ('{"nosuch": ["x"]}', "invalid filter 'nosuch': use label, label!, until"),
        ('{"until": ["1h", "2h"]}', "more than one until filter specified"),
        ('{"until": ["soon"]}', 'invalid until "soon"'),
    ],
)
def test_a_filter_that_is_none_is_refused(pruned: Engine, filters: str, words: str) -> None:
    for kind in ("containers", "images"):
        reply = prune(pruned, kind, filters)
        assert reply.status == 400
        assert words in reply.message


def test_images_without_a_name_are_pruned(pruned: Engine, busybox: str) -> None:
    named = there(pruned, "images")
    container = create(pruned, busybox, "sh", "-c", "head -c 50000 /dev/zero > /x")
    start(pruned, container)
    ended(pruned, container)
    image = pruned.succeed("commit", container)
    reply = prune(pruned, "images")
    assert {"Deleted": image} in reply.body["ImagesDeleted"]
    assert reply.body["SpaceReclaimed"] >= 50000
    assert there(pruned, "images") == named
    assert prune(pruned, "images").body == {"ImagesDeleted": None, "SpaceReclaimed": 0}


def test_all_unused_images_are_pruned_when_asked(pruned: Engine, busybox: str) -> None:
    container = create(pruned, busybox, "true")
    assert prune(pruned, "images", '{"dangling": ["false"]}').body["ImagesDeleted"] is None
    pruned.succeed("rm", container)
    report = prune(pruned, "images", '{"dangling": ["false"]}').body["ImagesDeleted"]
    assert {"Untagged": busybox} in report
    assert there(pruned, "images") == set()


def test_the_docker_command_prunes(pruned: Engine, busybox: str) -> None:
    container = create(pruned, busybox, "true")
    told = pruned.succeed("container", "prune", "-f")
    assert container in told
    assert "Total reclaimed space: 0B" in told
    assert "Total reclaimed space" in pruned.succeed("image", "prune", "-a", "-f")
    assert there(pruned, "images") == set()
