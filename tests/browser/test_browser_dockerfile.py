"""The Dockerfile kernel in JupyterLab: cells are layers, wherever a person runs them."""

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from browser.labroom import Lab, Notebook
from support.dockerfiles import NAME, write_kernelspec

CELLS = "window.jupyterapp.shell.currentWidget.content"


def edit(page: Notebook, index: int, source: str) -> None:
    page.page.evaluate(
        f"([i, text]) => {CELLS}.widgets[i].model.sharedModel.setSource(text)", [index, source]
    )


def test_cells_are_layers_where_a_person_edits_inserts_or_breaks_one(
    notebook: Callable[..., Notebook], lab: Lab, tmp_path: Path
) -> None:
    write_kernelspec(lab.data)
    cells = ["FROM busybox", "RUN echo one > /one", "RUN cat /one > /two", "%run cat /two"]
    page = notebook(*cells, kernel=NAME)
    assert [page.run(index) for index in range(4)][3].strip() == "one"
    expect(page.cell(0).locator(".cm-line span").first).to_have_text("FROM")

    edit(page, 1, "RUN echo two > /one")
    assert "RUN echo two" in page.run(1)
    shown = page.run(2)
    assert "RUN cat /one" in shown
    assert "RUN echo two" not in shown
    assert page.run(3).strip() == "two"

    page.page.evaluate(f"() => {{ {CELLS}.activeCellIndex = 0; }}")
    page.command("notebook:insert-cell-below")
    edit(page, 1, "ENV A=1")
    page.save()
    assert "taken to stand" not in page.run(1)
    edit(page, 4, "%show")
    assert page.run(4).split()[:4] == ["FROM", "busybox", "ENV", "A=1"]

    edit(page, 2, "RUN true\nRUN nothing-like-this")
    shown = page.run(2)
    assert "line 2 of this cell" in shown
    assert "BuildFailure" in shown
    page.screenshot(2, tmp_path / "failed.png")
