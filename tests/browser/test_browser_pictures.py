"""Pictures of the widgets in both themes and two widths.

They are for people to look at: `IPYCONTAINER_PICTURES=docs/screenshots` keeps them there.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browser.conftest import IMAGE
from support.engines import Engine

if TYPE_CHECKING:
    from browser.labroom import Notebook

Open = Callable[..., "Notebook"]
CELLS = {
    "containers": "Containers()",
    "run": f"Run({IMAGE!r}, \"sh -c 'echo hello; read name; echo $name'\")",
    "pull": "Pull('python:3.12-slim')",
    "commit": "Commit('changed', 'mine:1')",
    "logs": "Logs('talks')",
    "stats": "Stats()",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = Path(os.environ.get("IPYCONTAINER_PICTURES", tmp_path)).resolve()
    found.mkdir(parents=True, exist_ok=True)
    return found


@pytest.fixture
def lived_in(lab_engine: Engine) -> None:
    """Some containers: one that talks, one that has changed files, one that has failed."""
    run = lab_engine.client.containers.run
    talk = "i=0; while :; do i=$((i+1)); echo line $i; sleep 1; done"
    run(IMAGE, ["sh", "-c", talk], name="talks", detach=True, network_mode="none")
    change = "mkdir -p /srv/data; echo 1 > /srv/data/one; echo 2 > /etc/two; rm /bin/vi"
    run(IMAGE, ["sh", "-c", change], name="changed", network_mode="none")
    failed = run(IMAGE, ["sh", "-c", "exit 3"], name="failed", detach=True, network_mode="none")
    failed.wait()


@pytest.mark.usefixtures("lived_in")
def test_widgets_can_be_looked_at(notebook: Open, folder: Path) -> None:
    from browser.labroom import NARROW, WIDE

    page = notebook("from ipycontainer.widgets import *", *CELLS.values())
    for index in range(len(CELLS) + 1):
        page.run(index)
    page.view(1).get_by_role("button", name="Stop talks").wait_for()
    page.view(4).get_by_text("/srv/data/one").wait_for()
    page.view(5).get_by_role("log").get_by_text("line 1", exact=False).wait_for()
    page.view(2).get_by_role("button", name="Run").click()
    page.view(2).get_by_role("log").get_by_text("hello").wait_for()
    for theme, size, suffix in (("Light", WIDE, "light"), ("Dark", NARROW, "dark-narrow")):
        page.look(theme, size)
        for index, name in enumerate(CELLS, start=1):
            page.screenshot(index, folder / f"{name}-{suffix}.png")
    pictures = [*folder.glob("*-light.png"), *folder.glob("*-dark-narrow.png")]
    assert len(pictures) >= 2 * len(CELLS)
    assert all(2_000 < picture.stat().st_size < 200_000 for picture in pictures)


def test_a_terminal_and_long_output_can_be_looked_at(notebook: Open, folder: Path) -> None:
    from browser.labroom import NARROW, WIDE

    shell = f"%container run -it --rm --name box {IMAGE} sh"
    long = f"%container run --rm --net none {IMAGE} seq 100000"
    page = notebook("%load_ext ipycontainer\n%config IPyContainer.output_lines = 5", shell, long)
    for index in range(3):
        page.run(index)
    page.view(1).locator(".xterm-rows").get_by_text("#").wait_for()
    page.view(1).locator(".xterm-helper-textarea").focus()
    page.page.keyboard.type("ls --color=always /\nps\n")
    page.view(1).locator(".xterm-rows").get_by_text("PID").wait_for()
    page.view(2).get_by_role("button", name="Show the rest").click()
    page.view(2).get_by_role("button", name="Later").wait_for()
    for theme, size, suffix in (("Light", WIDE, "light"), ("Dark", NARROW, "dark-narrow")):
        page.look(theme, size)
        for index, name in ((1, "terminal"), (2, "output")):
            page.screenshot(index, folder / f"{name}-{suffix}.png")
    assert all(picture.stat().st_size < 100_000 for picture in folder.glob("*.png"))
