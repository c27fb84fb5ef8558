"""The checks that run with the tests: style, types and which way imports may go."""

import subprocess
import sys
from pathlib import Path

import pytest
from project import CHECKOUT

BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    "check",
    [
        ["ruff", "check"],
        ["ruff", "format", "--check"],
        ["mypy"],
        ["lint-imports", "--no-cache"],
    ],
    ids=" ".join,
)
def test_the_check_passes(check: list[str]) -> None:
    done = subprocess.run(
        [BIN / check[0], *check[1:]], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
