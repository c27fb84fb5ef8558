"""A terminal in the cell: typed into, resized, left, found again, and saved as text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from playwright.sync_api import Locator, expect

from browser.conftest import IMAGE
from support.engines import Engine

if TYPE_CHECKING:
    from browser.labroom import Notebook

Open = Callable[..., "Notebook"]
LOAD = "%load_ext ipycontainer"
SHELL = f"%container run -it --rm --name box {IMAGE} sh"


def screen(page: Notebook, index: int = 1) -> Locator:
    return page.view(index).locator(".xterm-rows")


def typed(page: Notebook, line: str, index: int = 1) -> None:
    page.view(index).locator(".xterm-helper-textarea").focus()
    page.page.keyboard.type(f"{line}\n")


def shown(page: Notebook, index: int = 1) -> Locator:
    rows = screen(page, index)
    expect(rows).to_contain_text("#")
    return rows


def pressed(page: Notebook, label: str, index: int = 1) -> None:
    page.view(index).get_by_role("button", name=label, exact=True).click()


def status(page: Notebook, index: int = 1) -> Locator:
    return page.view(index).get_by_role("status")


def test_a_shell_is_typed_into_and_leaves_its_transcript(notebook: Open) -> None:
    page = notebook(LOAD, SHELL)
    page.run(0)
    page.run(1)
    shown(page)
    typed(page, "echo $((6*7)); exit 3")
    expect(page.output(1).locator(".ipycontainer-still")).to_contain_text("exited with code 3")
    text = page.save().cells[1].outputs[0].data["text/plain"]
    assert text.endswith("42\n[container box: exited with code 3]")
    assert "\x1b" not in text
    page.reopen()
    expect(page.view(1).locator("pre")).to_contain_text("42")


def test_the_terminal_fits_the_cell(notebook: Open) -> None:
    from browser.labroom import NARROW

    page = notebook(LOAD, SHELL)
    page.run(0)
    page.run(1)
    shown(page)
    typed(page, "stty size")
    expect(screen(page)).to_contain_text(re.compile(r"\d+ 1\d\d"))
    page.look("Dark", NARROW)
    page.page.wait_for_function(
        "() => document.querySelector('.ipycontainer-screen .xterm-screen').clientWidth < 400"
    )
    typed(page, "clear; stty size")
    expect(screen(page)).to_contain_text(re.compile(r"\d+ [2345]\d(?!\d)"))


def test_a_flood_is_interrupted_and_another_terminal_goes_on(
    notebook: Open, lab_engine: Engine
) -> None:
    page = notebook(LOAD, SHELL, f"%container run -it --rm {IMAGE} cat")
    page.run(0)
    page.run(1)
    page.run(2)
    shown(page)
    typed(page, "yes")
    expect(screen(page)).to_contain_text("y")
    page.view(2).locator(".xterm-helper-textarea").focus()
    page.page.keyboard.type("beside\n")
    expect(screen(page, 2)).to_contain_text("beside")
    pressed(page, "Interrupt")
    typed(page, "echo $((40+2)) done")
    expect(screen(page)).to_contain_text("42 done")
    pressed(page, "Stop")
    expect(page.output(1)).to_contain_text("was stopped (exit code")


def test_a_person_leaves_and_comes_back(notebook: Open, lab_engine: Engine) -> None:
    page = notebook(LOAD, SHELL)
    page.run(0)
    page.run(1)
    shown(page)
    typed(page, "echo $((6*7))")
    expect(screen(page)).to_contain_text("42")
    page.save()
    page.reload()
    expect(screen(page)).to_contain_text("42")
    typed(page, "echo $((6*8))")
    expect(screen(page)).to_contain_text("48")
    pressed(page, "Detach")
    expect(status(page)).to_contain_text("the container goes on")
    pressed(page, "Attach again")
    expect(status(page)).to_have_text("running")
    expect(screen(page)).to_contain_text("48")
    typed(page, "echo $((6*9))")
    expect(screen(page)).to_contain_text("54")
    page.command("notebook:clear-cell-output")
    assert lab_engine.client.containers.get("box").status == "running"


def test_a_command_in_a_container_has_a_terminal(notebook: Open) -> None:
    page = notebook(
        LOAD,
        f"%container run -d --name box {IMAGE} sleep 600\n%container exec -it box sh",
    )
    page.run(0)
    page.run(1)
    shown(page)
    page.page.evaluate("() => navigator.clipboard.writeText('echo $((6*7))')")
    page.view(1).locator(".xterm-helper-textarea").focus()
    page.page.keyboard.press("Control+v")
    page.page.keyboard.press("Enter")
    expect(screen(page)).to_contain_text("42")
    # Not by the element: another of the terminal's lies over it and takes the mouse.
    word = screen(page).get_by_text("42", exact=True).bounding_box()
    assert word is not None
    page.page.mouse.dblclick(word["x"] + word["width"] / 2, word["y"] + word["height"] / 2)
    page.page.keyboard.press("Control+c")
    page.page.wait_for_function("async () => await navigator.clipboard.readText() === '42'")
    page.page.keyboard.press("Shift+F6")
    expect(page.view(1).get_by_role("button", name="Interrupt")).to_be_focused()
    page.view(1).locator(".xterm-helper-textarea").focus()
    page.page.keyboard.press("Control+d")
    expect(page.output(1)).to_contain_text("exited with code 0")


HOSTILE = (
    r"\033]8;;http://evil.example\033\\LINK\033]8;;\033\\ "
    r"\033]52;c;ZXZpbA==\007 <img src=x onerror=window.evil=1><script>window.evil=1</script>"
)


def test_what_a_program_prints_is_text(notebook: Open) -> None:
    runs = (
        f"%container run {flags} --rm {IMAGE} printf '{HOSTILE}%s' end" for flags in ("", "-it")
    )
    page = notebook(LOAD, *runs)
    page.page.evaluate("() => navigator.clipboard.writeText('mine')")
    for index in range(3):
        page.run(index)

    def looked_at() -> None:
        for index in (1, 2):
            expect(page.output(index)).to_contain_text("<script>window.evil=1</script>end")
            assert page.view(index).locator("a, img, script").count() == 0

    looked_at()
    page.save()
    page.reopen()
    looked_at()
    assert page.page.evaluate("() => window.evil") is None
    assert page.page.evaluate("() => navigator.clipboard.readText()") == "mine"
