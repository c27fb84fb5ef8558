"""Pictures of the widgets in both themes and two widths, and of a kernel in an image.

They are for people to look at: `IPYCONTAINER_PICTURES=docs/screenshots` keeps them there.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browser.conftest import IMAGE
from ipycontainer_kernel import specs
from ipycontainer_kernel.resolving import icons
from ipycontainer_kernel.settings import Settings
from support.engines import Engine

if TYPE_CHECKING:
    from browser.labroom import Lab, Notebook

Open = Callable[..., "Notebook"]
CELLS = {
    "containers": "Containers()",
    "run": f"Run({IMAGE!r}, \"sh -c 'echo hello; read name; echo $name'\")",
    "pull": "Pull('python:3.12-slim')",
    "commit": "Commit('changed', 'mine:1')",
    "logs": "Logs('talks')",
    "stats": "Stats()",
}
IN_A_KERNEL = (
    "from IPython.display import SVG\n\n"
    "bars = ''.join(\n"
    '    f\'<rect x="{30 * i}" y="{100 - n}" width="24" height="{n}" fill="#1f77b4"/>\'\n'
    "    for i, n in enumerate([20, 45, 80, 60, 95])\n)\n"
    'SVG(f\'<svg xmlns="http://www.w3.org/2000/svg" width="160" height="100">{bars}</svg>\')',
    "import ipywidgets\n\nipywidgets.IntSlider(value=30, description='n')",
    "%%writefile /tmp/result\ngood",
    "%container checkpoint before",
)


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


@pytest.mark.long
def test_a_kernel_in_an_image_can_be_looked_at(
    notebook: Open, folder: Path, lab: Lab, lab_engine: Engine, debian_python: str
) -> None:
    lab_engine.client.images.pull(debian_python).tag("python", "3.12")
    place = specs.Place(lab.data / "kernels")
    settings = Settings(
        "python:3.12", name="pictured", display_name="python:3.12 (container)", network="none"
    )
    specs.write(settings, place, icons=icons("python"))
    page = notebook(*IN_A_KERNEL, kernel="pictured")
    page.look("Light", (960, 690))
    for index in range(len(IN_A_KERNEL)):
        page.run(index)
    page.output(1).locator(".noUi-handle").wait_for()
    assert "1 added" in page.text(3)
    page.cell(0).scroll_into_view_if_needed()
    panel = page.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
    panel.screenshot(path=folder / "kernel-light.png", animations="disabled")
