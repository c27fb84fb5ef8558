"""What a container cannot do to its host, through the whole engine; tests/launch has the rest."""

import pytest

from support.calls import Make, call, ended, logged, start
from support.engines import Engine

pytestmark = pytest.mark.needs("docker", "busybox")


def said(engine: Engine, run: Make, script: str, **fields: object) -> str:
    """Run a script to its end and return what it wrote."""
    container = run("sh", "-c", script, **fields)
    ended(engine, container)
    return logged(engine, container).decode()


@pytest.mark.needs("root")
def test_a_fork_bomb_ends_at_its_limit(shared_engine: Engine, run: Make) -> None:
    # Fails without `pids` in engine/resources.py.
    script = "i=0; while [ $i -lt 40 ]; do sleep 5 & i=$((i+1)); done; echo all"
    output = said(shared_engine, run, script, HostConfig={"PidsLimit": 10})
    assert "can't fork" in output
    assert "all" not in output


@pytest.mark.needs("root")
def test_memory_ends_at_its_limit(shared_engine: Engine, run: Make) -> None:
    # Fails without `steps` in linux/cgroup/v1.py.
    script = "head -c 64000000 /dev/zero | tail -c 48000000 | wc -c"
    output = said(shared_engine, run, script, HostConfig={"Memory": 16 << 20})
    assert set(output.split()) <= {"0", "Killed"}  # the count is of nothing, if it was let count
    assert said(shared_engine, run, script, HostConfig={"Memory": 96 << 20}).strip() == "48000000"


@pytest.mark.needs("root")
def test_cgroups_are_seen_and_cannot_be_written(shared_engine: Engine, run: Make) -> None:
    # Fails without `readonly` in engine/cgroups.py.
    script = (
        "cd /sys/fs/cgroup; find . -name '*max*' | grep -q . && echo seen;"
        "for f in $(find . -type f); do echo 0 > $f; done 2>/dev/null && echo written;"
        "for d in . $(find . -type d | tail -1); do mkdir $d/x 2>/dev/null && echo made; done;"
        "mount -t cgroup -o pids none /mnt 2>/dev/null && echo mounted; cat /proc/self/cgroup"
    )
    output = said(shared_engine, run, script, HostConfig={"Memory": 64 << 20})
    assert output.startswith("seen\n")
    assert not {"written", "made", "mounted"} & set(output.split())
    assert "/ipycontainer" not in output


@pytest.mark.ordinary_user
def test_shared_memory_is_bounded(shared_engine: Engine, run: Make) -> None:
    script = "head -c 3000000 /dev/zero > /dev/shm/x; stat -c %s /dev/shm/x"
    output = said(shared_engine, run, script, HostConfig={"ShmSize": 1 << 20})
    assert output.splitlines()[-1] == str(1 << 20)


@pytest.mark.ordinary_user
def test_a_log_is_bounded_by_rotation(shared_engine: Engine, run: Make) -> None:
    log = {"Type": "json-file", "Config": {"max-size": "100k", "max-file": "2"}}
    container = run("sh", "-c", "seq 100000", HostConfig={"LogConfig": log})
    ended(shared_engine, container)
    folder = shared_engine.paths.root / "containers" / container
    sizes = [path.stat().st_size for path in folder.glob("*-json.log*")]
    assert len(sizes) == 2
    assert max(sizes) <= 100 << 10
    assert logged(shared_engine, container).endswith(b"\n100000\n")


@pytest.mark.ordinary_user
@pytest.mark.parametrize(
    "config",
    [
        {"max-size": "x"},
        {"max-file": "0"},
        {"no-such-option": "1"},
        {"compress": "maybe"},
        {"compress": "true"},
        {"mode": "sometimes"},
    ],
)
def test_log_options_that_cannot_be_are_refused(
    shared_engine: Engine, busybox: str, config: dict[str, str]
) -> None:
    settings = {"LogConfig": {"Type": "json-file", "Config": config}}
    body = {"Image": busybox, "HostConfig": settings}
    reply = call(shared_engine, "POST", "/containers/create", body)
    assert reply.status == 400
    assert next(iter(config)) in reply.message


@pytest.mark.ordinary_user
def test_large_labels_and_odd_words_come_back_as_they_were(
    shared_engine: Engine, make: Make
) -> None:
    labels = {"big": "x" * (1 << 20), "odd": "ä\n\x01<b>"}
    container = make("echo", "\n", "", labels["odd"], Labels=labels)
    found = call(shared_engine, "GET", f"/containers/{container}/json").body
    assert found["Config"]["Labels"] == labels
    assert found["Args"] == ["\n", "", labels["odd"]]
    start(shared_engine, container)
    assert ended(shared_engine, container) == 0


@pytest.mark.ordinary_user
def test_another_containers_files_and_processes_are_not_seen(
    shared_engine: Engine, run: Make
) -> None:
    run("sh", "-c", "echo secret > /tmp/secret; sleep 1000")
    assert (
        said(shared_engine, run, "ls /tmp; ps >/seen; wc -l </seen; echo /proc/[0-9]*")
        == "3\n/proc/1\n"
    )
