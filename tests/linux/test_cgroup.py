"""Every cgroup hierarchy of this machine keeps the seam's promises."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from ipycontainer_runtime.linux import cgroup
from ipycontainer_runtime.linux.cgroup import Cgroup, CgroupError, Hierarchy

MEGABYTE = 1 << 20

pytestmark = pytest.mark.needs("limits")


@pytest.fixture
def hierarchy() -> Hierarchy:
    return cgroup.detect()


@pytest.fixture
def group(hierarchy: Hierarchy) -> Iterator[Cgroup]:
    made = hierarchy.create(f"test-{os.getpid()}-{time.monotonic_ns()}")
    yield made
    made.kill()
    assert made.remove(5)


@contextlib.contextmanager
def member(group: Cgroup, code: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run Python code in the cgroup from its first instruction on."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", code],
        preexec_fn=lambda: group.attach(0),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        group.kill()
        process.communicate(timeout=10)


def needs(hierarchy: Hierarchy, controller: str) -> None:
    if controller not in hierarchy.controllers:
        pytest.skip(f"{hierarchy.mode} here has no {controller}")


PAUSE = "import signal; print(flush=True); signal.pause()"


def started(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    process.stdout.readline()


def test_an_attached_process_is_a_member_and_so_are_its_children(group: Cgroup) -> None:
    code = "import os, signal; print(os.fork(), flush=True); signal.pause()"
    with member(group, code) as process:
        started(process)
        assert process.pid in group.pids()
        assert len(group.pids()) == 2


def test_a_process_can_be_attached_by_its_number(group: Cgroup) -> None:
    process = subprocess.Popen(["sleep", "60"])
    group.attach(process.pid)
    assert group.pids() == [process.pid]
    group.kill()
    assert process.wait(5) == -signal.SIGKILL


def test_kill_ends_every_member(group: Cgroup) -> None:
    code = "import os, signal\nfor _ in range(4): os.fork()\nprint(flush=True)\nsignal.pause()"
    with member(group, code) as process:
        started(process)
        group.kill()
        assert process.wait(5) == -signal.SIGKILL
        assert group.remove(5)
    assert group.pids() == []


def test_kill_ends_a_fork_bomb(hierarchy: Hierarchy, group: Cgroup) -> None:
    needs(hierarchy, "pids")
    group.limit({"pids": {"limit": 40}})
    code = """
import os
print(flush=True)
while True:
    try:
        os.fork()
    except OSError:
        pass
"""
    with member(group, code) as process:
        started(process)
        group.kill()
        assert process.wait(10) == -signal.SIGKILL
        assert group.remove(10)


def test_a_cgroup_that_is_gone_can_be_killed_and_removed(group: Cgroup) -> None:
    assert group.remove()
    group.kill()
    assert group.remove()


def test_killing_an_empty_cgroup_does_nothing(group: Cgroup) -> None:
    group.kill()


def test_a_cgroup_with_members_is_not_removed(group: Cgroup) -> None:
    with member(group, PAUSE) as process:
        started(process)
        assert not group.remove(0.05)


def test_a_removed_cgroup_removes_again_and_has_no_pids(hierarchy: Hierarchy) -> None:
    made = hierarchy.create(f"test-{os.getpid()}-gone")
    assert made.remove()
    assert made.remove()
    assert made.pids() == []
    assert hierarchy.open(made.name).remove()
    assert made.oom_kills() == 0


def test_a_name_that_is_taken_is_refused_and_the_first_one_is_whole(
    hierarchy: Hierarchy, group: Cgroup
) -> None:
    with pytest.raises(FileExistsError):
        hierarchy.create(group.name)
    with member(group, PAUSE) as process:
        started(process)
        assert group.pids() == [process.pid]


def test_a_later_engine_opens_it_by_name(hierarchy: Hierarchy, group: Cgroup) -> None:
    with member(group, PAUSE) as process:
        started(process)
        assert hierarchy.open(group.name).pids() == [process.pid]


def test_stale_names_only_empty_ones_with_the_prefix(hierarchy: Hierarchy, group: Cgroup) -> None:
    empty = hierarchy.create(f"{group.name}-empty")
    try:
        with member(group, PAUSE) as process:
            started(process)
            assert hierarchy.stale(group.name) == [empty.name]
        assert hierarchy.stale("no-such-prefix") == []
    finally:
        empty.remove()


def test_a_frozen_process_does_not_run_and_a_thawed_one_goes_on(
    hierarchy: Hierarchy, group: Cgroup
) -> None:
    needs(hierarchy, "freezer")
    with member(group, "while True: print(flush=True)") as process:
        assert process.stdout is not None
        started(process)
        group.freeze(True)
        os.set_blocking(process.stdout.fileno(), False)
        while process.stdout.read(1 << 20):
            continue
        time.sleep(0.05)  # a running one would have written again by then
        assert not process.stdout.read(1)
        group.freeze(False)
        os.set_blocking(process.stdout.fileno(), True)
        assert process.stdout.read(1)


def test_a_process_past_its_memory_is_killed_and_counted(
    hierarchy: Hierarchy, group: Cgroup
) -> None:
    needs(hierarchy, "memory")
    group.limit({"memory": {"limit": 16 * MEGABYTE, "swap": 16 * MEGABYTE}})
    with member(group, f"bytearray(64 * {MEGABYTE})") as process:
        assert process.wait(20) == -signal.SIGKILL
    assert group.oom_kills() == 1


def test_a_process_within_its_memory_is_not_killed(hierarchy: Hierarchy, group: Cgroup) -> None:
    needs(hierarchy, "memory")
    group.limit({"memory": {"limit": 64 * MEGABYTE, "swap": -1, "reservation": 32 * MEGABYTE}})
    with member(group, f"bytearray(16 * {MEGABYTE})") as process:
        assert process.wait(20) == 0
    assert group.oom_kills() == 0


def test_memory_can_be_raised_and_lowered_again(hierarchy: Hierarchy, group: Cgroup) -> None:
    needs(hierarchy, "memory")
    for size in (32, 64, 16):
        amount = size * MEGABYTE
        group.limit({"memory": {"limit": amount, "swap": 2 * amount}})
    with member(group, f"bytearray(120 * {MEGABYTE})") as process:
        assert process.wait(20) == -signal.SIGKILL


def test_no_more_processes_than_the_pids_limit(hierarchy: Hierarchy, group: Cgroup) -> None:
    needs(hierarchy, "pids")
    group.limit({"pids": {"limit": 3}})
    code = """
import os, signal
for made in range(9):
    try:
        if os.fork() == 0:
            signal.pause()
    except BlockingIOError:
        os._exit(made)
"""
    with member(group, code) as process:
        assert process.wait(30) == 2
        group.kill()


def test_an_unlimited_pids_limit_can_be_set(hierarchy: Hierarchy, group: Cgroup) -> None:
    needs(hierarchy, "pids")
    group.limit({"pids": {"limit": -1}})


def test_a_quota_slows_a_busy_process(hierarchy: Hierarchy, group: Cgroup) -> None:
    needs(hierarchy, "cpu")
    group.limit({"cpu": {"quota": 10_000, "period": 100_000, "shares": 512}})
    code = "import time\nend = time.monotonic() + 0.6\nwhile time.monotonic() < end: pass"
    with member(group, code) as process:
        assert process.wait(30) == 0
    usage = group.usage()
    assert usage["periods"] >= usage["throttled"] > 0
    assert usage["throttled_time"] > 0


def test_a_cpuset_binds(hierarchy: Hierarchy, group: Cgroup) -> None:
    needs(hierarchy, "cpuset")
    with member(group, PAUSE) as process:
        started(process)
        group.limit({"cpu": {"cpus": "0", "mems": "0"}})
        assert os.sched_getaffinity(process.pid) == {0}
    with member(group, "import os; print(os.sched_getaffinity(0))") as process:
        assert process.stdout is not None
        assert process.stdout.read() == b"{0}\n"


def test_usage_tells_memory_processor_and_processes(hierarchy: Hierarchy, group: Cgroup) -> None:
    needs(hierarchy, "memory")
    code = f"kept = bytearray(8 * {MEGABYTE}); " + PAUSE
    with member(group, code) as process:
        started(process)
        usage = group.usage()
    assert usage["memory_peak"] >= usage["memory"] > 8 * MEGABYTE
    assert usage["memory_inactive"] < usage["memory"]
    # v1 counts these two in ticks, so their sum is only about the whole.
    assert usage["cpu_user"] + usage["cpu_system"] <= usage["cpu"] * 2
    assert usage["pids"] == 1
    assert usage["cpu"] > 1_000_000


def test_a_value_that_the_kernel_refuses_is_named(hierarchy: Hierarchy, group: Cgroup) -> None:
    needs(hierarchy, "cpu")
    wanted = r"cannot set the CPU .*5000000.*Invalid argument"
    with pytest.raises(CgroupError, match=wanted) as seen:
        group.limit({"cpu": {"period": 5_000_000}})
    assert "\n" not in str(seen.value)


def test_nothing_is_missing_of_what_the_machine_has(hierarchy: Hierarchy) -> None:
    asked = {"memory": {"limit": 1}, "pids": {"limit": 1}, "cpu": {"shares": 2}}
    if {"memory", "pids", "cpu"} <= hierarchy.controllers:
        assert hierarchy.missing(asked) == []
    assert hierarchy.missing({}) == []


def test_only_v2_has_a_folder_to_be_cloned_into(hierarchy: Hierarchy, group: Cgroup) -> None:
    assert (group.fd >= 0) == (hierarchy.mode == "v2")
