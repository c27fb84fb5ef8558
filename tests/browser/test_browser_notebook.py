"""The notebook's page does in a browser what the other tests of this folder count on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from browser.conftest import IMAGE

if TYPE_CHECKING:
    from browser.labroom import Notebook

Open = Callable[..., "Notebook"]


def test_a_cell_runs_a_container_and_is_saved_and_found_again(notebook: Open) -> None:
    page = notebook("%load_ext ipycontainer", f"%container run --rm {IMAGE} echo hello")
    page.run(0)
    assert page.run(1).strip() == "hello"
    assert page.save().cells[1].outputs[0].text == "hello\n"
    page.reopen()
    assert page.text(1).strip() == "hello"


def test_a_cell_asks_and_is_interrupted(notebook: Open) -> None:
    page = notebook(
        "print('got', input('name? '))", "import time\nprint('on', flush=True)\ntime.sleep(600)"
    )
    page.begin(0)
    page.answer("Ada")
    assert "got Ada" in page.finish(0)
    page.begin(1)
    page.view(1).get_by_text("on").wait_for()
    page.interrupt()
    assert "KeyboardInterrupt" in page.finish(1)


def test_a_page_is_looked_at_in_both_themes_and_sizes(notebook: Open, tmp_path: Path) -> None:
    from browser.labroom import NARROW, WIDE

    page = notebook("print('seen')")
    page.run(0)
    for theme, size in (("Light", WIDE), ("Dark", NARROW)):
        page.look(theme, size)
        page.screenshot(0, tmp_path / f"{theme}.png")
        assert (tmp_path / f"{theme}.png").read_bytes().startswith(b"\x89PNG")
