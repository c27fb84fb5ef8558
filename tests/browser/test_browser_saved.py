"""What a notebook keeps of live views, and who can read it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import nbformat
import pytest
from playwright.sync_api import expect

from browser.conftest import IMAGE
from browser.test_browser_terminal import screen, typed

if TYPE_CHECKING:
    from browser.labroom import Notebook

Open = Callable[..., "Notebook"]
SETUP = "%load_ext ipycontainer\nfrom ipycontainer.widgets import *"
CELLS = (
    "%container",
    f"Run({IMAGE!r}, 'echo $((6*7))')",
    f"%container run -it --rm --name box {IMAGE} sh",
    f"%container run --rm {IMAGE} seq 7000",
)
KEPT = ("CONTAINER ID", "It ended with 0.", "[container box: running]", "2,000 more lines")
VIEW = "application/vnd.jupyter.widget-view+json"
MISSING = "model not found"


@pytest.fixture
def used(notebook: Open) -> Notebook:
    """A notebook with a view of each kind, that is saved."""
    page = notebook(SETUP, *CELLS)
    for index in range(len(CELLS) + 1):
        page.run(index)
    page.view(2).get_by_role("button", name="Run").click()
    page.output(2).locator(".ipycontainer-still", has_text="It ended").wait_for(state="attached")
    expect(screen(page, 3)).to_contain_text("#")
    page.save()
    return page


def test_a_notebook_that_lost_its_kernel_is_read_as_text(used: Notebook) -> None:
    for index in range(1, len(CELLS) + 1):
        expect(used.output(index).locator(".ipycontainer-still")).to_be_hidden()
    used.command("kernelmenu:shutdown")
    used.reload()
    for index, text in enumerate(KEPT, start=1):
        expect(used.view(index).get_by_text(text).first).to_be_visible()
        expect(used.view(index).get_by_text(MISSING)).to_be_hidden()


def test_other_readers_find_the_text(used: Notebook) -> None:
    from nbconvert import HTMLExporter

    page, _ = HTMLExporter().from_filename(str(used.path))  # type: ignore[no-untyped-call] # nbconvert's is untyped
    assert all(text in page for text in KEPT)
    assert MISSING not in page
    for cell in nbformat.read(used.path, as_version=4).cells[1:]:
        forms = [output.data for output in cell.outputs if output.output_type != "stream"]
        # Where there is text there is no view, so that nobody prefers that.
        assert all(bool(form.get("text/plain")) != (VIEW in form) for form in forms[-2:])


def test_a_page_that_was_loaded_anew_keeps_what_is_said(used: Notebook) -> None:
    used.reload()
    expect(screen(used, 3)).to_contain_text("#")
    typed(used, "echo $((6*8))", 3)
    expect(screen(used, 3)).to_contain_text("48")
    used.view(2).get_by_label("Command").fill("echo $((6*9))")
    used.view(2).get_by_role("button", name="Run").click()
    said = used.output(2).locator(".ipycontainer-still", has_text="$((6*9))")
    said.wait_for(state="attached")
    expect(used.output(3).locator(".ipycontainer-still")).to_contain_text("\n48\n")
    typed(used, "exit 3", 3)
    expect(used.output(3).locator(".ipycontainer-still")).to_contain_text("exited with code 3")
    saved = used.save()
    assert "$((6*9))" in saved.cells[2].outputs[0].data["text/plain"]
    assert saved.cells[3].outputs[0].data["text/plain"].endswith("exited with code 3]")
    assert saved.cells[3].outputs[1].data == {"text/html": ""}
