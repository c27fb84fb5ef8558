"""What is marked `cgroup2` passes on cgroup v2, for root and for a user of systemd's.

It runs in a machine of its own (`vmboot`), since the one that the tests run on may have v1. Root
and the user run theirs side by side: half of the time, and as it is on a real machine.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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
def runs(machine: Machine) -> Iterator[dict[str, Future[Said]]]:
    files = " ".join(_marked())
    with ThreadPoolExecutor() as pool:
        yield {
            who: pool.submit(getattr(machine, who).run, f"{command} {files}", SECONDS)
            for who, command in MARKED.items()
        }


def _marked() -> Iterator[str]:
    """Yield the files with such tests: collecting all others would take the longest there."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        if "pytest.mark.cgroup2" in path.read_text() and path.parent != Path(__file__).parent:
            yield str(path.relative_to(ROOT))


def _passed(said: Said) -> None:
    print(said.text)
    assert said.code == 0, said.text
    assert " passed" in said.text


@pytest.mark.parametrize("who", Machine._fields)
def test_what_is_marked_passes_on_cgroup_v2(runs: dict[str, Future[Said]], who: str) -> None:
    _passed(runs[who].result())


@pytest.mark.parametrize("place", PLACES)
def test_cgroups_keep_their_promises(machine: Machine, place: str) -> None:
    who, command = PLACES[place]
    _passed(getattr(machine, who).run(command, SECONDS))
