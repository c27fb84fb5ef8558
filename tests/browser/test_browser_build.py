"""Builds in JupyterLab: steps as they go, logs that keys open, a failed step, a shell before it.

`IPYCONTAINER_PICTURES=docs/screenshots` keeps the pictures.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from browser.conftest import IMAGE

if TYPE_CHECKING:
    from browser.labroom import Notebook

Open = Callable[..., "Notebook"]
LOAD = "%load_ext ipycontainer"
HOSTILE = "<img src=x onerror='document.title=1'>"
STAGES = f"""\
%%container build --no-cache -t staged --network none
FROM {IMAGE} AS compile
RUN for i in $(seq 30); do echo "compiling part $i of 30"; done; echo made > /program
FROM {IMAGE} AS docs
RUN echo "{HOSTILE}"; printf '10%%\\r100%%\\n'; echo page > /page
FROM {IMAGE}
ENV PATH=/opt/bin:$PATH
COPY --from=compile /program /opt/bin/program
COPY --from=docs /page /opt/page
CMD ["program"]"""
FAILING = f"""\
%%container build -t broken --network none
FROM {IMAGE}
WORKDIR /srv
RUN echo kept > file

# The next line has a mistake.
RUN echo "checking file"; \\
    test -e flie
CMD ["cat", "file"]"""


def pictures(page: Notebook, cell: int, name: str, folder: Path) -> None:
    from browser.labroom import NARROW, WIDE

    folder = Path(os.environ.get("IPYCONTAINER_PICTURES", folder)).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for theme, size, suffix in (("Light", WIDE, "light"), ("Dark", NARROW, "dark-narrow")):
        page.look(theme, size)
        page.screenshot(cell, folder / f"{name}-{suffix}.png")
    page.look("Light", WIDE)


def test_stages_are_shown_with_their_logs_folded_and_saved(notebook: Open, tmp_path: Path) -> None:
    page = notebook(LOAD, STAGES, STAGES.replace("--no-cache ", "").replace("/opt/page", "/page"))
    page.run(0)
    page.run(1)
    output = page.output(1)
    expect(output.get_by_role("status")).to_contain_text("Built staged (")
    items = output.get_by_role("listitem")
    expect(items).to_have_count(9)
    folds = output.locator("details")
    expect(folds).to_have_count(2)
    hostile = folds.filter(has_text="100%")
    hostile.locator("summary").focus()
    hostile.locator("summary").press("Enter")
    expect(hostile.locator("pre")).to_be_visible()
    assert hostile.locator("pre").inner_text().split("\n") == [HOSTILE, "100%"]
    assert output.locator("img").count() == 0
    assert page.page.title() != "1"
    page.run(2)
    expect(page.output(2).get_by_role("status")).to_contain_text("reused")
    pictures(page, 1, "build", tmp_path)
    saved = page.save().cells[1].outputs
    assert len(saved) == 2
    assert "compiling part 30 of 30" in saved[0].data["text/plain"]
    assert "[compile " in saved[0].data["text/plain"]


def test_a_log_that_was_opened_stays_open_while_the_next_step_runs(notebook: Open) -> None:
    page = notebook(
        LOAD,
        f"%%container build --no-cache --network none\nFROM {IMAGE}\nRUN echo first\n"
        "RUN i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo round $i; sleep 0.1; done",
    )
    page.run(0)
    page.begin(1)
    output = page.output(1)
    fold = output.locator("details")
    fold.locator("summary").focus()
    fold.locator("summary").press("Enter")
    expect(fold.locator("pre")).to_contain_text("first")
    for count in (5, 15):
        expect(output).to_contain_text(f"round {count}")
        expect(fold).to_have_attribute("open", "")
    page.interrupt()
    page.finish(1)
    assert "interrupted; the steps that are done are kept" in page.text(1)


def test_a_failed_step_is_marked_and_entered(notebook: Open, tmp_path: Path) -> None:
    page = notebook(LOAD, FAILING, "%container debug", "%container debug -c 'ls'")
    page.run(0)
    page.run(1)
    output = page.output(1)
    alert = output.get_by_role("alert")
    expect(alert).to_contain_text("lines 7-8 of the cell")
    expect(alert).to_contain_text("exited with code 1")
    assert [mark.split(None, 1)[0] for mark in output.locator("mark").all_inner_texts()] == [
        "7",
        "8",
    ]
    expect(output.get_by_label("The end of its output")).to_have_text("checking file")
    pictures(page, 1, "build-failed", tmp_path)
    page.run(2)
    terminal = page.output(2)
    page.cell(2).scroll_into_view_if_needed()
    terminal.locator(".xterm-rows").get_by_text("#").wait_for()
    terminal.locator(".xterm-helper-textarea").focus()
    page.page.keyboard.type("cat file; exit\n")
    expect(terminal).to_contain_text("kept")
    page.run(3)
    assert page.text(3).rstrip().endswith("\nfile")
