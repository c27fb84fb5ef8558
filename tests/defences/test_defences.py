"""Every attack of SECURITY.md has a test that fails once its one defence is taken out."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from defence import ORDINARY, ROOT, Defence
from of_bridges import DEFENCES as OF_BRIDGES
from of_builds import DEFENCES as OF_BUILDS
from of_captures import DEFENCES as OF_CAPTURES
from of_clients import DEFENCES as OF_CLIENTS
from of_containers import DEFENCES as OF_CONTAINERS
from of_firewalls import DEFENCES as OF_FIREWALLS
from of_images import DEFENCES as OF_IMAGES
from of_kernels import DEFENCES as OF_KERNELS
from of_networks import DEFENCES as OF_NETWORKS
from of_registries import DEFENCES as OF_REGISTRIES
from of_sandboxes import DEFENCES as OF_SANDBOXES
from of_volumes import DEFENCES as OF_VOLUMES

from support.engines import end_processes
from support.users import OrdinaryUser

DEFENCES = (
    *OF_BRIDGES,
    *OF_BUILDS,
    *OF_CAPTURES,
    *OF_CLIENTS,
    *OF_CONTAINERS,
    *OF_FIREWALLS,
    *OF_IMAGES,
    *OF_KERNELS,
    *OF_NETWORKS,
    *OF_REGISTRIES,
    *OF_SANDBOXES,
    *OF_VOLUMES,
)
CHECKOUT = Path(__file__).parents[2]
PARTS = (
    "SECURITY.md",
    "runtime",
    "magics",
    "kernel",
    "tests",
    "scripts",
    "pyproject.toml",
    "README.md",
    "docs",
)
PACKAGES = {"magics": "ipycontainer", "kernel": "ipycontainer_kernel"}
SECONDS = 300
PYTEST = (".venv/bin/python", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider")


def path(defence: Defence) -> Path:
    """Return where a defence is, from the checkout's top."""
    part, _, below = defence.file.partition("/")
    if package := PACKAGES.get(part):
        return Path(part, package, below)
    return Path("runtime/ipycontainer_runtime", defence.file)


@pytest.mark.parametrize("defence", DEFENCES, ids=lambda defence: defence.what)
def test_a_defence_is_where_the_list_says_and_its_tests_are_there(defence: Defence) -> None:
    assert (CHECKOUT / path(defence)).read_text().count(defence.sound) == 1
    for test in defence.tests:
        file, _, name = test.partition("::")
        found = CHECKOUT / "tests" / file
        assert found.exists()
        assert not name or re.search(rf"^(async )?def {name}\(", found.read_text(), re.MULTILINE)


def test_every_attack_that_is_told_has_a_defence_and_the_reverse() -> None:
    table = (CHECKOUT / "SECURITY.md").read_text().partition("## What the tests attack")[2]
    told = re.findall(r"^\| (defaults|\d+) \|", table, re.MULTILINE)
    assert set(told) == {defence.line for defence in DEFENCES}


def test_who_runs_a_test_is_who_it_is_marked_for() -> None:
    for defence in DEFENCES:
        if ORDINARY in defence.who:
            for test in defence.tests:
                text = (CHECKOUT / "tests" / test.partition("::")[0]).read_text()
                assert "mark.ordinary_user" in text, test


@pytest.mark.long
@pytest.mark.needs("root")
@pytest.mark.parametrize(
    ("defence", "who"),
    [
        pytest.param(defence, who, id=defence.what if who == ROOT else f"{defence.what}: {who}")
        for defence in DEFENCES
        for who in defence.who
    ],
)
def test_without_the_defence_its_test_fails(
    defence: Defence, who: str, tmp_path: Path, ordinary_user: OrdinaryUser
) -> None:
    tmp_path.chmod(0o755)  # for the ordinary user, who finds it his checkout
    for part in PARTS:
        copy = shutil.copytree if (CHECKOUT / part).is_dir() else shutil.copy
        copy(CHECKOUT / part, tmp_path / part)
    os.symlink((CHECKOUT / ".venv").resolve(), tmp_path / ".venv")
    file = tmp_path / path(defence)
    file.write_text(file.read_text().replace(defence.sound, defence.unsound))
    become = ["scripts/as-user", ordinary_user.name] if who == ORDINARY else []
    chosen = ["-m", "ordinary_user"] if who == ORDINARY else []
    try:
        done = subprocess.run(
            [*become, *PYTEST, *chosen, *(f"tests/{test}" for test in defence.tests)],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": f"{tmp_path}/runtime:{tmp_path}/magics:{tmp_path}/kernel",
            },
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    finally:
        end_processes(tmp_path)  # of a test that took too long
    assert done.returncode == 1, done.stdout + done.stderr
    assert " failed" in done.stdout, done.stdout  # and not a fixture that could not be made
