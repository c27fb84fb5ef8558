"""What `pip install --user` put into a home is captured when it is asked for, and works."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from captureroom import capture, messages, paths, run, wheel

from support.engines import running_engine

pytestmark = pytest.mark.needs("root")


def test_what_a_person_installed_for_himself_is_taken_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    base = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    pip = [base, "-m", "pip", "install", "--user", "--no-index", "--no-deps", "--quiet"]
    made = wheel(tmp_path, "mine")
    settled = {**os.environ, "PIP_BREAK_SYSTEM_PACKAGES": "1"}  # which Debian's pip wants to hear
    subprocess.run([*pip, str(made)], env=settled, check=True, capture_output=True)
    with running_engine() as engine:
        # Not all that this Python has, which would take minutes.
        told = capture(engine, "with", base, user=1, include="mine")
        local = f"{home}/.local/"
        assert any(path.startswith(local) for path in paths(engine, told))
        script = "import mine; print(mine.VERSION, mine.__file__)"
        said = run(engine, "with", "python3", "-c", script).split()
        assert said[0] == "1.0"
        assert said[1].startswith(local)
        assert run(engine, "with", "mine-command") == "script of mine"
        # Unless that is asked for, it is not there to be taken.
        refused = messages(engine, "without", base, include="mine", dryrun=1)[-1]
        assert "mine is not installed" in refused.get("error", "") + refused.get("message", "")
