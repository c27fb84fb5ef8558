"""What a hostile container says, names or floods does nothing in the page but to be read."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from browser.conftest import IMAGE
from browser.test_browser_widgets import SETUP, SLEEP, running
from support.engines import Engine

if TYPE_CHECKING:
    from browser.labroom import Notebook

Open = Callable[..., "Notebook"]
MARKUP = "<img src=x onerror=window.evil=1><script>window.evil=1</script>"
# A link (OSC 8), the clipboard (OSC 52), a title, and bytes that are no text.
ESCAPES = r"\033]8;;http://evil.example\033\\L\033]8;;\033\\\033]52;c;ZXZpbA==\007\033]0;evil\007"
SAID = f"printf '{ESCAPES}\\377\\376\\000{MARKUP}\\n'"
FILE = "/<img src=x onerror=window.evil=1>"
LONG = 3_000_000


def test_in_no_widget_anything_is_markup(notebook: Open, lab_engine: Engine) -> None:
    lab_engine.client.containers.run(
        IMAGE, ["sh", "-c", f"{SAID}; touch '{FILE}'"], name="web", network_mode="none"
    )
    command = f"sh -c {shlex.quote(f'{SAID}; sleep 0.1; exit 3')}"
    five = f"for i in 1 2 3 4 5; do {SAID}; done"
    page = notebook(
        f"%load_ext ipycontainer\n%config IPyContainer.output_lines = 3\n{SETUP}\nfive = {five!r}",
        "Containers()",
        f"Run({IMAGE!r}, {command!r})",
        "Commit('web')",
        "Logs('web')",
        f"%container run --rm {IMAGE} sh -c {{five}}",
        f"Pull({MARKUP!r})",
    )
    page.page.evaluate("() => navigator.clipboard.writeText('mine')")
    for index in range(7):
        page.run(index)
    page.view(2).get_by_role("button", name="Run").click()
    page.view(6).get_by_role("button", name="Pull").click()
    page.view(2).get_by_text("exited with code 3").wait_for()
    page.view(5).get_by_role("button", name="Show the rest").click()
    page.view(5).get_by_text("lines 1 to 5 of 5").wait_for()

    def looked_at() -> None:
        expect(page.view(3).get_by_text(FILE).first).to_be_visible()
        for index in (2, 4, 5):
            expect(page.view(index).get_by_text(MARKUP).first).to_be_visible()
        for index in range(1, 7):
            assert page.output(index).locator("a, img, script").count() == 0

    page.view(4).get_by_text("The log of web has ended.").wait_for()
    looked_at()
    page.save()
    page.reopen()
    looked_at()
    page.command("kernelmenu:shutdown")
    page.reload()
    for index in (2, 3, 4, 5):
        page.output(index).locator(".ipycontainer-still").wait_for()
        assert page.output(index).locator("a, img, script").count() == 0
    assert page.page.evaluate("() => window.evil") is None
    assert page.page.evaluate("() => navigator.clipboard.readText()") == "mine"


def test_a_line_without_end_does_not_hold_up_the_page(notebook: Open) -> None:
    flood = f"head -c {LONG} /dev/zero | tr '\\0' x; echo; echo after"
    command = f"sh -c {shlex.quote(flood)}"
    page = notebook(SETUP, f"Run({IMAGE!r}, {command!r})")
    page.run(0)
    page.run(1)
    page.view(1).get_by_role("button", name="Run").click()
    page.view(1).get_by_text("It ended with 0.").wait_for()
    text = page.view(1).get_by_role("log").inner_text()
    assert text.endswith("x\nafter\n")
    assert len(text) < 1_000_000
    expect(page.view(1).get_by_text("Earlier output is not shown here.")).to_be_visible()


COUNT = """
import requests, time
sent = []
def send(self, *given, before=requests.Session.send, **named):
    sent.append(time.monotonic())
    return before(self, *given, **named)
requests.Session.send = send
"""
# Twice as long as the slowest of them waits between its looks.
LATER = "import time; time.sleep(3); sent.clear(); time.sleep(3); print(len(sent))"


def test_in_a_hidden_tab_nothing_is_asked_for(notebook: Open, lab_engine: Engine) -> None:
    running(lab_engine, SLEEP)
    page = notebook(COUNT + SETUP, "Containers()", "Stats()", LATER, "print(len(sent))")
    for index in range(3):
        page.run(index)
    page.view(1).get_by_role("rowheader", name="web").wait_for()
    page.view(2).get_by_role("img", name="Memory of web").wait_for()
    hide = (
        "hidden => { Object.defineProperty(document, 'hidden', {get: () => hidden,"
        " configurable: true}); document.dispatchEvent(new Event('visibilitychange')); }"
    )
    page.page.evaluate(hide, True)
    assert page.run(3).strip() == "0"
    page.page.evaluate(hide, False)
    page.view(1).get_by_role("button", name="Stop web").click()
    page.view(1).get_by_text("web was stopped.").wait_for()
    assert int(page.run(4)) > 0
