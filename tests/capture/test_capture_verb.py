"""The verb `capture`, as typed on the command line."""

import subprocess
import sys
from pathlib import Path

import pytest
from captureroom import Environment, wheel

from support.engines import Engine

pytestmark = pytest.mark.needs("root")


def typed(engine: Engine, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the verb with these words against this engine."""
    code = "import sys; from ipycontainer.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "capture", *map(str, words)]
    return subprocess.run(
        command, env=engine.variables, capture_output=True, text=True, check=False, timeout=300
    )


def test_it_shows_a_row_for_each_layer_and_what_is_left_out(
    engine: Engine, environment: Environment, tmp_path: Path
) -> None:
    environment.install(wheel(tmp_path, "shown"))
    (environment.site / ".env").write_text("PASSWORD=1\n")
    python = ("--python", environment.python)
    foreseen = typed(engine, *python, "--dry-run", "shown")
    assert foreseen.returncode == 0, foreseen.stderr
    assert not engine.client.images.list("shown")
    done = typed(engine, *python, "shown")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    heading = rows.index(["LAYER", "STATE", "FILES", "SIZE", "HOLDS"])
    assert [row[0] for row in rows[heading + 1 : heading + 4]] == [
        "system",
        "interpreter",
        "environment",
    ]
    assert rows[-1][1] == "new"
    assert rows[-1][-2:] == ["shown", "1.0"]
    assert f"left out: {environment.site}/.env" in done.stderr
    quiet = typed(engine, *python, "-q", "shown")
    assert quiet.stdout.strip() == engine.client.images.get("shown").id


def test_it_shows_the_lock_alone(engine: Engine, environment: Environment, tmp_path: Path) -> None:
    environment.install(wheel(tmp_path, "locked", "2.5"))
    done = typed(engine, "--python", environment.python, "--lock-only")
    assert done.stdout.startswith('lock-version = "1.0"\n')
    assert 'name = "locked"\nversion = "2.5"\n' in done.stdout


def test_what_is_not_installed_is_refused_by_name(engine: Engine, environment: Environment) -> None:
    done = typed(engine, "--python", environment.python, "--include", "no_such", "x")
    assert done.returncode == 1
    assert "no-such is not installed" in done.stderr
