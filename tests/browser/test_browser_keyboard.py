"""Every widget is used by keyboard alone, and has names for those who do not see it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Locator, expect

from browser.conftest import IMAGE
from browser.test_browser_widgets import SETUP, SLEEP, running
from support.engines import Engine

if TYPE_CHECKING:
    from browser.labroom import Notebook

Open = Callable[..., "Notebook"]
FAULTS = Path(__file__).with_name("faults.js").read_text()


def reach(page: Notebook, wanted: Locator, *, key: str = "Tab", most: int = 40) -> None:
    """Press a key until something has the focus, as who has no mouse."""
    for _ in range(most):
        if wanted.evaluate("node => node === document.activeElement"):
            return
        page.page.keyboard.press(key)
    raise AssertionError(f"not reached by {key}: {wanted}")


def enter(page: Notebook, index: int) -> None:
    """Have the focus just before a cell's output."""
    page.page.evaluate(
        "i => { const w = window.jupyterapp.shell.currentWidget.content; w.activeCellIndex = i; }",
        index,
    )
    page.output(index).evaluate("node => { node.tabIndex = -1; node.focus(); }")


def test_containers_are_handled_by_keyboard(notebook: Open, lab_engine: Engine) -> None:
    running(lab_engine, SLEEP)
    page = notebook(SETUP, "Containers()")
    page.run(0)
    page.run(1)
    view = page.view(1)
    stop = view.get_by_role("button", name="Stop web")
    stop.wait_for()
    enter(page, 1)
    reach(page, stop)
    page.page.keyboard.press("Enter")
    view.get_by_text("web was stopped.").wait_for()
    remove = view.get_by_role("button", name="Remove web")
    enter(page, 1)
    reach(page, remove)
    page.page.keyboard.press("Space")
    expect(remove).to_have_text("Really remove?")
    page.page.keyboard.press("Space")
    view.get_by_text("web was removed.").wait_for()


def test_a_form_is_filled_run_and_answered_by_keyboard(notebook: Open) -> None:
    page = notebook(SETUP, f"Run({IMAGE!r}, \"sh -c 'read x; echo got $x'\")")
    page.run(0)
    page.run(1)
    view = page.view(1)
    enter(page, 1)
    reach(page, view.get_by_role("button", name="Run"))
    page.page.keyboard.press("Enter")
    line = view.get_by_label("Input")
    line.wait_for()
    reach(page, line)
    page.page.keyboard.type("a line\n")
    view.get_by_text("It ended with 0.").wait_for()
    assert view.get_by_role("log").inner_text() == "got a line\n"


def test_a_pull_is_begun_by_keyboard(notebook: Open, busybox: str) -> None:
    page = notebook(SETUP, "Pull()")
    page.run(0)
    page.run(1)
    enter(page, 1)
    reach(page, page.view(1).get_by_label("Image"))
    page.page.keyboard.type(f"{busybox}\n")
    page.view(1).get_by_text(f"{busybox} is up to date").wait_for()


def test_a_terminal_is_entered_and_left_by_keyboard(notebook: Open) -> None:
    page = notebook("%load_ext ipycontainer", f"%container run -it --rm --name box {IMAGE} sh")
    page.run(0)
    page.run(1)
    view = page.view(1)
    expect(view.locator(".xterm-rows")).to_contain_text("#")
    enter(page, 1)
    reach(page, view.locator(".xterm-helper-textarea"))
    page.page.keyboard.type("echo $((6*7))\n")
    expect(view.locator(".xterm-rows")).to_contain_text("42")
    page.page.keyboard.press("Shift+F6")
    reach(page, view.get_by_role("button", name="Stop"))
    page.page.keyboard.press("Enter")
    expect(page.output(1)).to_contain_text("was stopped")


CELLS = {
    "Containers": "Containers()",
    "Run": f"Run({IMAGE!r}, 'true')",
    "Pull": "Pull('python')",
    "Commit": "Commit('web', 'mine:1')",
    "Logs": "Logs('web')",
    "Stats": "Stats()",
    "Terminal": f"%container run -it --rm --name box {IMAGE} sh",
    "Output": f"%container run --rm {IMAGE} seq 6000",
}


def shown(page: Notebook) -> dict[str, Any]:
    found = {}
    for index, name in enumerate(CELLS, start=1):
        views = page.view(index)
        views.last.wait_for()
        found[name] = [fault for node in views.all() for fault in node.evaluate(FAULTS)]
    return {name: faults for name, faults in found.items() if faults}


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_all_has_a_name_and_can_be_read(notebook: Open, lab_engine: Engine, theme: Any) -> None:
    running(lab_engine, ["sh", "-c", "echo told; touch /made; sleep 600"])
    page = notebook(f"%load_ext ipycontainer\n{SETUP}", *CELLS.values())
    page.look(theme)
    for index in range(len(CELLS) + 1):
        page.run(index)
    page.view(4).get_by_text("/made").wait_for()
    page.view(5).get_by_role("log").get_by_text("told").wait_for()
    page.view(6).get_by_role("img", name="Memory of web").wait_for()
    assert shown(page) == {}
    bad = "<button></button><b style='color: #999; background: #aaa'>grey</b>"
    page.output(0).evaluate("(node, bad) => { node.innerHTML = bad; }", bad)
    assert len(page.output(0).evaluate(FAULTS)) == 2
