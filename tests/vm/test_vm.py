"""What is marked `cgroup2` passes on cgroup v2, for root and for a user of systemd's.

It runs in a machine of its own (`vmboot`), since the one that the tests run on may have v1. Root
and the user run theirs side by side: half of the time, and as it is on a real machine.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from vmboot import Machine, Said, booted
from vmdisk import ROOT

from support.needs import require

# Making the disk the first time counts too.
pytestmark = pytest.mark.timeout(1200)

SECONDS = 600
MUST_WORK = "IPYCONTAINER_MUST_WORK=all,cgroup2,limits,user_namespaces"
PYTEST = "python -m pytest -q -p no:cacheprovider --timeout=300"
MARKED = {
    "root": f"env {MUST_WORK} {PYTEST} -m cgroup2",
    "user": f"env {MUST_WORK},user_session {PYTEST} -m cgroup2",
}
# Each command of these starts an interpreter, which takes ten seconds there.
SLOW = {"ociruntime"}
SEAM = f"env {MUST_WORK} {PYTEST} tests/linux/test_cgroup.py"
# In a container all processes are in the one folder that its cgroup namespace shows.
PLACES = {
    "at the top of the tree": ("root", SEAM),
    "in a container": (
        "root",
        "mkdir /sys/fs/cgroup/box; echo 0 >/sys/fs/cgroup/box/cgroup.procs;"
        " unshare --cgroup --mount sh -c 'umount /sys/fs/cgroup;"
        ' mount -t cgroup2 cgroup2 /sys/fs/cgroup; exec "$@"\' sh ' + SEAM,
    ),
    "in a delegated service, beside others": (
        "root",
        "systemd-run --uid=tester --property=Delegate=yes --pipe --wait --quiet"
        " --working-directory=/project --setenv=PATH --setenv=PYTHONPATH"
        f" sh -c 'sleep 1000 & {SEAM}'",
    ),
    "in a delegated scope": (
        "user",
        "systemd-run --user --scope --quiet --property=Delegate=yes " + SEAM,
    ),
}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    require("x86_64", "root", "qemu", "mmdebstrap", "debian keys")
    with booted(tmp_path_factory.mktemp("machine")) as running:
        yield running


@pytest.fixture(scope="module")
def said(machine: Machine, pytestconfig: pytest.Config) -> Iterator[dict[str, "Future[Said]"]]:
    """What each of the runs comes to; a person's are one after the other."""
    files = " ".join(_marked(long=pytestconfig.getoption("--long")))
    runs = {**{who: (who, f"{command} {files}") for who, command in MARKED.items()}, **PLACES}
    with ExitStack() as stack:
        queues = {who: stack.enter_context(ThreadPoolExecutor(1)) for who in Machine._fields}
        yield {
            name: queues[who].submit(getattr(machine, who).run, command, SECONDS)
            for name, (who, command) in runs.items()
        }


def _marked(*, long: bool) -> Iterator[str]:
    """Yield the files with such tests: collecting all others would take the longest there."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        if "pytest.mark.cgroup2" not in path.read_text() or path.parent == Path(__file__).parent:
            continue
        if long or path.parent.name not in SLOW:
            yield str(path.relative_to(ROOT))


def _passed(said: Said) -> None:
    print(said.text)
    assert said.code == 0, said.text
    assert " passed" in said.text


@pytest.mark.parametrize("who", Machine._fields)
def test_what_is_marked_passes_on_cgroup_v2(said: dict[str, "Future[Said]"], who: str) -> None:
    _passed(said[who].result())


@pytest.mark.parametrize("place", PLACES)
def test_cgroups_keep_their_promises(said: dict[str, "Future[Said]"], place: str) -> None:
    _passed(said[place].result())
