"""A run of the tests that is stopped, in whatever way, leaves nothing of its fixtures behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support import leftovers

TESTS = Path(__file__).resolve().parent.parent
CONFTEST = """\
from support.stopping import Stopping


def pytest_configure(config):
    config.pluginmanager.register(Stopping(config))
"""
FILE = """\
import os, signal, subprocess, time
import pytest

@pytest.fixture(scope="session")
def started():
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as process:
        yield process.pid
        time.sleep({slow})  # longer than execnet waits before it interrupts
        process.terminate()

def test_that_takes_long(started):
    with open("{told}", "w") as told:
        print(started, file=told)
    signal.pause()
"""
SLOW = 6


@pytest.mark.parametrize(
    ("number", "processes"),
    [
        (signal.SIGINT, 2),
        (signal.SIGTERM, 0),
        pytest.param(signal.SIGTERM, 2, marks=pytest.mark.long),
        pytest.param(signal.SIGKILL, 2, marks=pytest.mark.long),
    ],
)
def test_fixtures_end_what_they_have_started(
    tmp_path: Path, number: signal.Signals, processes: int
) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    pipes = [tmp_path / f"told{name}" for name in range(processes or 1)]
    for pipe in pipes:
        os.mkfifo(pipe)
        text = FILE.format(slow=SLOW if processes else 0, told=pipe)
        (tmp_path / f"test_{pipe.name}.py").write_text(text)
    spread = ["-n", str(processes), "--dist", "loadfile"] if processes else []
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *spread, tmp_path]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    with subprocess.Popen(
        command, env=variables, cwd=tmp_path, stdout=subprocess.PIPE, start_new_session=True
    ) as run:
        started = [int(pipe.read_text()) for pipe in pipes]
        assert all(map(leftovers.alive, started))
        # As a terminal does; the others are told of one process alone.
        (os.killpg if number == signal.SIGINT else os.kill)(run.pid, number)
        assert not leftovers.outlived(started, 30)
        run.wait(30)
