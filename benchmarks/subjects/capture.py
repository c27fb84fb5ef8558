"""Capture of a plain environment, again with nothing changed, and after one more installation."""

import shutil
import subprocess
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

from measure import Timed, by_turns
from table import Goal, Row
from world import World


def rows(world: World, rounds: int) -> Iterator[Row]:
    """Yield three rows; nobody else captures, so there are no peers."""
    folder = Path(tempfile.mkdtemp(prefix="bench-capture"))
    try:
        python = _environment(folder / "env")
        client = world.hosts["ours"].client
        site = next(folder.glob("env/lib/python*/site-packages"))

        def capture(clock: Timed, name: str) -> None:
            url = f"{client.api.base_url}/ipycontainer/capture"
            with clock():
                reply = client.api.post(url, params={"name": name, "python": str(python)})
            assert "Status: Captured" in reply.text, reply.text

        def first(clock: Timed) -> None:
            capture(clock, "first")
            client.images.remove("first", force=True)

        def again(clock: Timed) -> None:
            capture(clock, "again")

        def added(clock: Timed) -> None:
            info = site / "added-1.0.dist-info"
            info.mkdir()
            (info / "METADATA").write_text("Metadata-Version: 2.1\nName: added\nVersion: 1.0\n")
            (site / "added.py").write_text("x = 1\n" * 10_000)
            (info / "RECORD").write_text("added.py,,\nadded-1.0.dist-info/METADATA,,\n")
            capture(clock, "added")
            client.images.remove("added", force=True)
            shutil.rmtree(info)
            (site / "added.py").unlink()

        results = by_turns({"ours": first}, rounds, warm=1)
        yield Row("capture of Python with pip", results, (Goal(2, words="≤ 2 s"),), "s")
        results = by_turns({"ours": again}, rounds, warm=2)
        yield Row("capture again, nothing changed", results, (Goal(1, words="≤ 1 s"),), "s")
        results = by_turns({"ours": added}, rounds, warm=1)
        yield Row("capture after one installation", results, (Goal(1, words="≤ 1 s"),), "s")
        client.images.remove("again", force=True)
    finally:
        shutil.rmtree(folder)


def _environment(folder: Path) -> Path:
    """Return the Python of an environment with the pip that Python brings."""
    venv.create(folder, symlinks=True)
    python = folder / "bin/python"
    command = [python, "-m", "ensurepip", "--default-pip"]
    subprocess.run([*map(str, command)], check=True, capture_output=True, cwd=folder)
    return python
