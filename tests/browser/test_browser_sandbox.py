"""A notebook's sandbox in JupyterLab: written into the open document, and offered with a click."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from browser.labroom import Lab, Notebook

pytestmark = pytest.mark.needs("root")
Open = Callable[..., "Notebook"]
HOSTILE = "<img src=x onerror='document.title=1'>"


def stranger(lab: Lab, name: str, **sandbox: object) -> Path:
    """A notebook from elsewhere, with a kernel that is not here."""
    path = lab.files / name
    made = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("1")],
        metadata={
            "kernelspec": {"name": "gone", "display_name": "Gone"},
            "ipycontainer": {"image": "busybox", **sandbox},
        },
    )
    nbformat.write(made, path)
    return path


def test_a_sandbox_is_offered_as_text_and_nothing_happens_without_a_click(
    lab: Lab, browser_page: Page, notebook: Open, tmp_path: Path
) -> None:
    folder = Path(os.environ.get("IPYCONTAINER_PICTURES", tmp_path)).resolve()
    page = notebook("1").page
    stranger(
        lab, "stranger.ipynb", memory="512m", network="host", volumes=["/:/x"], env={"A": HOSTILE}
    )
    before = len(lab.kernels())
    page.evaluate(
        "() => void window.jupyterapp.commands.execute('docmanager:open', {path: 'stranger.ipynb'})"
    )
    dialog = page.locator(".jp-Dialog", has=page.locator(".ipycontainer-offer"))
    dialog.wait_for()
    said = dialog.inner_text()
    assert HOSTILE in said
    assert "512m" in said
    assert "the network 'host'" in said
    assert "the mount '/:/x'" in said
    assert page.title() != "1"
    dialog.locator(".jp-Dialog-content").screenshot(path=folder / "offer-light.png")
    dialog.get_by_role("button", name="Not now").click()
    # JupyterLab's own question comes when ours has been answered.
    own = page.locator(".jp-Dialog", has_text="Select Kernel")
    own.wait_for()
    own.get_by_role("button", name="No Kernel").click()
    own.wait_for(state="detached")
    assert len(lab.kernels()) == before
    page.evaluate("() => window.jupyterapp.shell.currentWidget.close()")
