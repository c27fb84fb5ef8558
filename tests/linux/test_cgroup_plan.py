"""What of the cgroup seam needs no cgroup: v2's units, a machine with none, the import."""

import subprocess
import sys
from pathlib import Path

import pytest

from ipycontainer_runtime.linux import cgroup
from ipycontainer_runtime.linux.cgroup import CgroupError
from ipycontainer_runtime.linux.cgroup.nothing import Nothing
from ipycontainer_runtime.linux.cgroup.v2 import plan, weight

RUNTIME = str(Path(cgroup.__file__).parents[3])
ALL: dict[str, dict[str, object]] = {
    "memory": {"limit": 1 << 30, "swap": 3 << 30, "reservation": 1 << 20},
    "cpu": {"shares": 1024, "quota": 50000, "period": 100000, "cpus": "0-1", "mems": "0"},
    "pids": {"limit": 7},
    "blockIO": {"weight": 300},
}


def files(resources: dict[str, dict[str, object]]) -> dict[str, object]:
    return {name: value for _, name, value, _ in plan(resources)}


def test_v2_takes_limits_in_its_own_units() -> None:
    assert files(ALL) == {
        "memory.swap.max": 2 << 30,
        "memory.max": 1 << 30,
        "memory.low": 1 << 20,
        "cpu.weight": 39,
        "cpu.max": "50000 100000",
        "cpuset.cpus": "0-1",
        "cpuset.mems": "0",
        "pids.max": 7,
        "io.bfq.weight": 300,
    }


def test_minus_one_is_no_limit_on_v2() -> None:
    memory = {"limit": -1, "swap": -1}
    assert files({"memory": memory, "pids": {"limit": -1}, "cpu": {"quota": -1}}) == {
        "memory.max": "max",
        "memory.swap.max": "max",
        "pids.max": "max",
        "cpu.max": "max 100000",
    }


def test_swap_equal_to_memory_is_no_swap() -> None:
    assert files({"memory": {"limit": 5, "swap": 5}})["memory.swap.max"] == 0


def test_what_was_not_asked_for_is_not_set() -> None:
    assert files({}) == {}
    assert files({"memory": {"limit": 0}, "cpu": {"cpus": ""}, "pids": {}}) == {}


@pytest.mark.parametrize(("shares", "wanted"), [(1, 1), (2, 1), (1024, 39), (262144, 10000)])
def test_shares_become_weights(shares: int, wanted: int) -> None:
    assert weight(shares) == wanted


def test_without_cgroups_every_limit_is_missed_in_dockers_words() -> None:
    warnings = Nothing("no reason").missing(ALL)
    assert warnings[0] == (
        "Your kernel does not support memory limit capabilities or the cgroup is not mounted. "
        "Limitation discarded."
    )
    assert len(warnings) == 9  # the processors and the memory nodes of a cpuset are one
    assert Nothing("no reason").missing({}) == []


def test_without_cgroups_nothing_is_limited_and_pausing_is_refused() -> None:
    made = Nothing("no reason").create("box")
    made.limit(ALL)
    made.attach(0)
    assert (made.pids(), made.oom_kills(), made.usage(), made.remove()) == ([], 0, {}, True)
    with pytest.raises(CgroupError, match=r"cannot pause box: .*--pause=false"):
        made.freeze(True)


def test_the_spawner_gets_no_heavy_module_with_it() -> None:
    code = (
        "import sys\n"
        "bare = set(sys.modules)\n"
        f"sys.path.insert(0, {RUNTIME!r})\n"
        "from ipycontainer_runtime.linux import cgroup\n"
        "cgroup.detect()\n"
        "print(*sorted(m for m in set(sys.modules) - bare if not m.startswith('ipyc')))"
    )
    command = [sys.executable, "-I", "-S", "-c", code]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    allowed = {"errno", "select", "time", "os", "stat", "posixpath", "genericpath", "abc", "_stat"}
    assert set(loaded) <= allowed | {"os.path", "_abc", "_collections_abc"}
