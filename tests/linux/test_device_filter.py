"""The kernel asks the program of a cgroup's device rules, and answers as the rules read."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipycontainer_runtime.linux import devicefilter
from ipycontainer_runtime.linux.cgroup.base import mounts
from ipycontainer_runtime.linux.devicefilter import DeviceRule

pytestmark = pytest.mark.needs("root")

NODES = {"/dev/null": ("c", 1, 3), "/dev/zero": ("c", 1, 5), "/dev/ptmx": ("c", 5, 2)}
ACCESS = {"r": os.O_RDONLY, "w": os.O_WRONLY, "rw": os.O_RDWR}
NOTHING = DeviceRule(False)


@pytest.fixture
def cgroup() -> Iterator[Path]:
    found = mounts("cgroup2")
    if not found:
        pytest.skip("no cgroup2 is mounted")
    folder = Path(found[0][1], f"ipycontainer-test-{os.getpid()}")
    folder.mkdir()
    yield folder
    folder.rmdir()


def opened(cgroup: Path) -> dict[tuple[str, str], bool]:
    """Which of the nodes a process in the cgroup can open, and how."""
    ours, its = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = b""
        try:
            (cgroup / "cgroup.procs").write_text("0")
            said = bytes(_opens(name, flags) for name in NODES for flags in ACCESS.values())
        finally:
            os.write(its, said)
            os._exit(0)
    os.close(its)
    os.waitpid(pid, 0)
    with open(ours, "rb") as file:
        answers = file.read()
    asked = [(name, access) for name in NODES for access in ACCESS]
    return dict(zip(asked, map(bool, answers), strict=True))


def _opens(name: str, flags: int) -> bool:
    try:
        os.close(os.open(name, flags | os.O_NOCTTY))
    except PermissionError:
        return False
    return True


def expected(rules: list[DeviceRule]) -> dict[tuple[str, str], bool]:
    """What the rules come to, told one after the other for each of r and w."""
    told = {}
    for name, (kind, major, minor) in NODES.items():
        may = {"r": True, "w": True}
        for rule in rules:
            fits = rule.kind in ("a", kind) and rule.major in (None, major)
            if fits and rule.minor in (None, minor):
                may |= dict.fromkeys(set(rule.access) & {"r", "w"}, rule.allow)
        told |= {(name, access): all(may[letter] for letter in access) for access in ACCESS}
    return told


RULES = {
    "none": [],
    "nothing": [NOTHING],
    "one": [NOTHING, DeviceRule(True, "c", 1, 5)],
    "to read": [NOTHING, DeviceRule(True, "c", 1, 3, "r")],
    "in two parts": [NOTHING, DeviceRule(True, "c", 1, 3, "r"), DeviceRule(True, "c", 1, 3, "w")],
    "all but one": [NOTHING, DeviceRule(True, "c", 1), DeviceRule(False, "c", 1, 5, "w")],
    "blocks": [NOTHING, DeviceRule(True, "b")],
    "all again": [NOTHING, DeviceRule(True)],
}


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_devices_are_opened_as_the_rules_say(cgroup: Path, rules: list[DeviceRule]) -> None:
    devicefilter.attach(str(cgroup), rules)
    assert opened(cgroup) == expected(rules)


def test_random_rules_say_what_reading_them_says(cgroup: Path) -> None:
    chance = random.Random(3)
    for number in range(20):
        below = cgroup / str(number)
        below.mkdir()
        rules = [
            DeviceRule(
                chance.random() < 0.5,
                chance.choice("abc"),
                chance.choice([None, 1, 5]),
                chance.choice([None, 2, 3, 5]),
                "".join(chance.sample("rwm", chance.randint(1, 3))),
            )
            for _ in range(chance.randint(1, 8))
        ]
        devicefilter.attach(str(below), rules)
        assert opened(below) == expected(rules), rules
        below.rmdir()


def test_a_cgroup_below_is_bound_too(cgroup: Path) -> None:
    devicefilter.attach(str(cgroup), [NOTHING, DeviceRule(True, "c", 1, 3)])
    below = cgroup / "below"
    below.mkdir()
    devicefilter.attach(str(below), [DeviceRule(True)])
    found = opened(below)
    below.rmdir()
    assert [found[name, "r"] for name in NODES] == [True, False, False]
