"""Long output does not hold up the page: its beginning and end are there, the rest a click away."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from browser.conftest import IMAGE

if TYPE_CHECKING:
    from browser.labroom import Notebook

Open = Callable[..., "Notebook"]
LOAD = "%load_ext ipycontainer"


def test_a_hundred_thousand_lines_are_cut_and_can_be_paged(notebook: Open) -> None:
    page = notebook(
        LOAD,
        f"%container run --rm {IMAGE} seq 100000",
        "print(len(_output), _output.lines(49_999, 1))",
    )
    page.run(0)
    page.run(1)
    output = page.view(1)
    expect(page.output(1)).to_contain_text("[95,000 more lines")
    assert "100000" in page.text(1)
    assert page.run(2).strip() == "100000 ['50000']"
    saved = page.save().cells[1].outputs
    assert "\n4999\n" in saved[0].text
    assert saved[-2].data["text/plain"].endswith("\n100000")
    output.get_by_role("button", name="Show the rest").click()
    expect(output.get_by_role("status")).to_have_text("lines 1 to 500 of 100,000")
    output.get_by_role("button", name="Last").click()
    expect(output.get_by_role("status")).to_have_text("lines 99,501 to 100,000 of 100,000")
    output.get_by_role("button", name="Earlier").click()
    expect(output.locator(".ipycontainer-text")).to_contain_text("99001")


def test_progress_and_colours_look_as_in_a_terminal(notebook: Open) -> None:
    said = r"printf '10%%\r50%%\r100%%\n\033[31mred\033[0m\nlong line\r\033[Kab\n'"
    page = notebook(LOAD, f'%container run --rm {IMAGE} sh -c "{said}"')
    page.run(0)
    page.run(1)
    lines = [line.rstrip() for line in page.text(1).strip().splitlines()]
    assert lines == ["100%", "red", "ab"]
    assert page.view(1).locator(".ansi-red-fg").inner_text() == "red"
