"""The figures of `run --explain` and `layers` in JupyterLab: keys open them, and they are saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from browser.conftest import IMAGE

if TYPE_CHECKING:
    from playwright.sync_api import Locator

    from browser.labroom import Notebook

Open = Callable[..., "Notebook"]
HOSTILE = "<img src=x onerror='document.title=1'>"


def fold(page: Notebook, cell: int, name: str) -> Locator:
    """Open one of the figure's folds as somebody does who has no mouse; return what is in it."""
    part = page.view(cell).locator("details").filter(has_text=name).first
    summary = part.locator("summary").first
    if part.get_attribute("open") is None:
        summary.focus()
        summary.press("Enter")
    assert part.get_attribute("open") is not None
    return part


def pictures(page: Notebook, cell: int, folder: Path, name: str) -> None:
    from browser.labroom import NARROW, WIDE

    for theme, size in (("Light", WIDE), ("Dark", WIDE), ("Light", NARROW), ("Dark", NARROW)):
        page.look(theme, size)
        page.screenshot(cell, folder / f"{name}-{theme}-{size[0]}.png")


def test_a_timeline_is_read_with_keys_and_saved(notebook: Open, tmp_path: Path) -> None:
    page = notebook(
        "%load_ext ipycontainer",
        f"word = {HOSTILE!r}",
        f"%container run --rm --explain --network none {IMAGE} echo {{word}}",
    )
    for cell in range(3):
        page.run(cell)
    mounts = fold(page, 2, "launcher (")
    assert "mount a new proc at /proc" in mounts.inner_text()
    operation = mounts.locator("details").filter(has_text="mount a new proc").first
    operation.locator("summary").press("Enter")
    assert "Filesystem(kind='proc'" in operation.inner_text()
    assert "net" in fold(page, 2, "what it separates").inner_text()
    assert HOSTILE in page.text(2)
    assert page.view(2).locator("img").count() == 0
    figure = next(o for o in page.save().cells[2].outputs if o.output_type == "display_data")
    assert "mount a new proc at /proc" in figure.data["text/plain"]
    assert "<table" in figure.data["text/html"]
    pictures(page, 2, tmp_path, "timeline")


def test_layers_are_read_with_keys_and_saved(notebook: Open, tmp_path: Path) -> None:
    page = notebook(
        "%load_ext ipycontainer",
        f"%container run --name grower --network none {IMAGE} "
        "sh -c 'dd if=/dev/zero of=/large bs=1M count=2'",
        "%container commit grower grown-1",
        "%container run --name shrinker --network none grown-1 rm /large",
        "%container commit shrinker grown-2",
        "%container layers grown-2",
        "%container rm grower shrinker\n%container rmi grown-2 grown-1",
    )
    for cell in range(7):
        page.run(cell)
    assert "wasted" in page.text(5)
    assert "/large" in fold(page, 5, "bs=1M count=2").inner_text()
    assert "2.1MB" in fold(page, 5, "Wasted").inner_text()
    saved = page.save().cells[5].outputs[0].data
    assert "/large" in saved["text/plain"]
    assert "/large" in saved["text/html"]
    pictures(page, 5, tmp_path, "layers")
