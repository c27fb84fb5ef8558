"""The rules of the house that no other tool checks."""

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from project import CHECKOUT, tracked

LAUNCHER = CHECKOUT / "runtime/ipycontainer_runtime/launch"
LAUNCHER_NEEDS = {
    *(
        "ctypes",
        "errno",
        "fcntl",
        "functools",
        "json",
        "os",
        "_signal",
        "resource",
        "signal",
        "socket",
        "stat",
        "struct",
    ),
    *("sys", "termios", "time", "typing", "collections.abc"),
}
LONGEST = 600
# A bare "noqa", or one with codes, and after it the reason or nothing.
IGNORE = re.compile(r"#\s*(?:noqa|type:\s*ignore)(?::[\w ,]+|\[[\w ,-]+\])?(?P<reason>.*)$")


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("path", sorted(LAUNCHER.glob("*.py")), ids=lambda path: path.name)
def test_the_launcher_imports_little_and_nothing_of_ours(path: Path) -> None:
    own = {name for name in imports(path) if name.startswith("ipycontainer_runtime.launch")}
    assert imports(path) - own <= LAUNCHER_NEEDS


def test_no_file_is_long() -> None:
    counted = {path: len((CHECKOUT / path).read_text().splitlines()) for path in tracked(".py")}
    assert {path: count for path, count in counted.items() if count > LONGEST} == {}


def test_every_ignore_has_its_reason_beside_it() -> None:
    bare = []
    for path in tracked(".py"):
        for number, line in enumerate((CHECKOUT / path).read_text().splitlines(), 1):
            found = IGNORE.search(line)
            if found and not found["reason"].strip(" #-"):
                bare.append(f"{path}:{number}: {line.strip()}")
    assert bare == []


def test_the_client_imports_nothing_heavy() -> None:
    code = (
        "import sys; import ipycontainer_runtime.client as c; "
        "heavy = {'docker', 'requests', 'tornado', 'msgspec', 'asyncio', 'IPython'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CHECKOUT
    )
    assert done.stdout.strip() == "[]"


def test_an_engine_starts_without_what_its_first_pull_or_build_needs() -> None:
    code = (
        "import sys; from ipycontainer_runtime.api import app, server; "
        "from ipycontainer_runtime.engine import engine; "
        "later = {'requests', 'urllib3', 'docker', 'ipycontainer_runtime.build.parse'}; "
        "print(sorted(later & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CHECKOUT
    )
    assert done.stdout.strip() == "[]"


def test_no_two_modules_of_the_tests_have_one_name() -> None:
    # Their folders are no packages, so that the second would be taken for the first.
    known = Counter(path.name for path in tracked(".py") if "tests" in path.parts)
    twice = {name for name, count in known.items() if count > 1}
    assert twice <= {"conftest.py", "__init__.py"}
