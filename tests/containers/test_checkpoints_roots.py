"""Checkpoints where a root is a copy, and where a container has ids of its own."""

import pytest
from test_checkpoints import STAYS, keep, restore, told, url, within
from test_container_roots import MADE, engine, where

from support.calls import Make, call
from support.engines import Engine
from support.needs import lack

__all__ = ["engine"]

pytestmark = pytest.mark.needs("root", "docker", "busybox")


def test_a_copied_root_is_kept_and_restored(engine: Engine, busybox: str) -> None:
    with where(engine, overlays=False):
        engine.succeed("pull", "-q", busybox)
        name = engine.succeed("run", "-d", *MADE, busybox, *STAYS).strip()
        within(
            engine, name, "mkdir /work; echo a > /work/a; ln /work/a /work/b; rm -r /bin/vi /var"
        )
        assert told(keep(engine, name, "one")) == {
            "/work": "added",
            "/work/a": "added",
            "/work/b": "added",
            "/bin/vi": "deleted",
            "/var": "deleted",
        }
        within(engine, name, "sleep 0.1")
        assert keep(engine, name, "same")["Changes"] == []
        within(engine, name, "rm -r /work; mkdir /var; echo b > /bin/vi")
        assert told(keep(engine, name, "two")) == {
            "/work": "deleted",
            "/bin/vi": "added",
            "/var": "added",
            "/var/tmp": "deleted",
        }
        assert restore(engine, name, "one").status == 204
        assert within(engine, name, "cat /work/a /work/b; stat -c %h /work/a") == "a\na\n2\n"
        within(engine, name, "test ! -e /var; test ! -e /bin/vi")
        changes = engine.succeed("diff", name).split("\n")
        assert {"A /work", "A /work/a", "D /bin/vi", "D /var"} <= {*changes}
        assert restore(engine, name, "two").status == 204
        assert within(engine, name, "cat /bin/vi; ls /var; test ! -e /work") == "b\n"
        engine.succeed("rm", "-f", name)


def test_files_keep_their_owners_where_a_container_has_ids_of_its_own(
    shared_engine: Engine, make: Make
) -> None:
    container = make(*STAYS, HostConfig={"UsernsMode": "auto"})
    started = call(shared_engine, "POST", f"/containers/{container}/start")
    if started.status != 204:
        lack("userns", started.message)
    within(shared_engine, container, "mkdir /work; touch /work/a /work/b; chown 7:8 /work/a")
    keep(shared_engine, container, "one")
    within(shared_engine, container, "rm -r /work")
    assert restore(shared_engine, container, "one").status == 204
    owners = "stat -c %u:%g / /work /work/a /work/b /bin/vi"
    found = within(shared_engine, container, owners)
    assert found.split() == ["0:0", "0:0", "7:8", "0:0", "0:0"]
    within(shared_engine, container, "echo more >> /work/a; chown 9:9 /work/b")
    keep(shared_engine, container, "two")
    assert restore(shared_engine, container, "two").status == 204
    assert within(shared_engine, container, "cat /work/a; stat -c %u /work/b") == "more\n9\n"


def test_what_checkpoints_take_is_counted(shared_engine: Engine, make: Make) -> None:
    container = make(*STAYS)
    call(shared_engine, "POST", f"/containers/{container}/start")
    within(shared_engine, container, "head -c 3000000 /dev/zero > /big")
    before = size(shared_engine, container)
    keep(shared_engine, container, "one")
    assert size(shared_engine, container) == before + 3000000
    call(shared_engine, "DELETE", url(container, "one"))
    assert size(shared_engine, container) == before


def size(engine: Engine, container: str) -> int:
    """Return the bytes that `system df` tells of a container."""
    entries = call(engine, "GET", "/system/df?type=container").body["Containers"]
    (found,) = (entry["SizeRw"] for entry in entries if entry["Id"] == container)
    assert isinstance(found, int)
    return found
