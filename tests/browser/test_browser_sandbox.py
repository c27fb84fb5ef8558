"""A notebook's sandbox in JupyterLab: written into the open document, and offered with a click."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest

from browser.conftest import IMAGE

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
    # Unsaved, JupyterLab would ask.
    page.evaluate(
        "async () => { const shown = window.jupyterapp.shell.currentWidget;"
        " await shown.context.save(); shown.close(); }"
    )


def test_a_click_installs_the_sandbox_and_the_notebook_runs_in_it(
    lab: Lab, browser_page: Page, notebook: Open
) -> None:
    page = notebook("1").page
    stranger(lab, "agreed.ipynb", kind="shell", network="none", env={"A": "from the file"})
    page.evaluate(
        "() => void window.jupyterapp.commands.execute('docmanager:open', {path: 'agreed.ipynb'})"
    )
    dialog = page.locator(".jp-Dialog", has=page.locator(".ipycontainer-offer"))
    dialog.get_by_role("button", name="Install and use").click()
    page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.info"
    )
    (name,) = [one["name"] for one in lab.kernels() if one["name"] != "python3"]
    assert name.startswith("sandbox-")
    assert page.locator(".jp-Dialog").count() == 0
    page.evaluate(
        "async () => { const shown = window.jupyterapp.shell.currentWidget;"
        " shown.content.widgets[0].model.sharedModel.setSource('echo $A; ls /sys/class/net');"
        " await window.jupyterapp.commands.execute('notebook:run-cell'); }"
    )
    shown = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-OutputArea-output").first
    assert shown.inner_text().split() == ["from", "the", "file", "lo"]
    page.evaluate(
        "async () => { const shown = window.jupyterapp.shell.currentWidget;"
        " await shown.context.save(); await shown.sessionContext.shutdown(); shown.close(); }"
    )
    # Opened again it has that kernel, and nothing is asked, though the kernel takes its time.
    page.evaluate(
        "() => void window.jupyterapp.commands.execute('docmanager:open', {path: 'agreed.ipynb'})"
    )
    page.wait_for_function(
        "() => { const shown = window.jupyterapp.shell.currentWidget;"
        " return document.querySelector('.jp-Dialog') || (shown?.context?.path === 'agreed.ipynb'"
        " && shown.sessionContext.session?.kernel?.info); }"
    )
    assert page.locator(".jp-Dialog").count() == 0
    assert [one["name"] for one in lab.kernels() if one["name"] != "python3"] == [name]
    page.evaluate(
        "async () => { const shown = window.jupyterapp.shell.currentWidget;"
        " await shown.sessionContext.shutdown(); shown.close(); }"
    )


def test_a_cell_writes_the_sandbox_into_the_open_document(notebook: Open) -> None:
    page = notebook(
        "%load_ext ipycontainer",
        f"%container lock --image {IMAGE} -m 256m --network none -e API_TOKEN=x -e A=1",
    )
    page.run(0)
    said = page.run(1)
    assert "this notebook's metadata has its sandbox" in said
    assert "API_TOKEN: looks like a secret" in said
    assert "Error" not in said
    saved = page.save().metadata["ipycontainer"]
    assert (saved["image"], saved["memory"], saved["network"]) == (IMAGE, "256m", "none")
    assert (saved["env"], saved["secrets"]) == ({"A": "1"}, ["API_TOKEN"])
    assert "sha256:" in saved["digest"]
    assert page.page.locator(".jp-Dialog").count() == 0


def test_the_servers_routes_ask_who_it_is_and_what_page_it_comes_from(lab: Lab) -> None:
    import requests

    asked = {"path": "x.ipynb", "sandbox": {"image": "busybox", "volumes": ["/:/x"]}}
    for route in ("ipycontainer/sandbox", "ipycontainer/sandbox/kernel"):
        refused = requests.post(lab.url(route), json=asked, timeout=60)
        assert refused.status_code == 403
    answer = lab.ask("POST", "ipycontainer/sandbox", json=asked)
    assert answer.json()["refused"] == ["the mount '/:/x'"]
    malformed = [None, [], {"path": 1}, {"path": "x.ipynb"}, {"path": "../../x", "sandbox": 1}]
    for body in malformed:
        wrong = lab.ask("POST", "ipycontainer/sandbox/kernel", json=body)
        assert wrong.status_code in (400, 404), body
        assert "Traceback" not in wrong.text
