"""`%container` in a kernel's container, as JupyterLab shows what comes of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from ipycontainer_kernel import specs
from ipycontainer_kernel.resolving import icons
from ipycontainer_kernel.settings import Settings

if TYPE_CHECKING:
    from browser.labroom import Lab, Notebook
    from support.engines import Engine

NAME = "inside"


def test_a_restore_is_no_death_and_a_lock_is_offered_where_there_is_no_such_kernel(
    notebook: Callable[..., Notebook], lab: Lab, lab_engine: Engine, debian_python: str
) -> None:
    lab_engine.client.images.pull(debian_python)
    place = specs.Place(lab.data / "kernels")
    settings = Settings(debian_python, name=NAME, memory="512m", network="none")
    specs.write(settings, place, icons=icons("container"))
    made = notebook(
        "x = 1\nopen('/made', 'w').close()\n%container checkpoint good",
        "import os\nos.unlink('/made')\n%container restore good",
        "import os\nprint(os.path.exists('/made'), 'x' in globals())",
        "%container lock",
        kernel=NAME,
    )
    page = made.page
    page.evaluate(
        "() => { window.told = []; window.jupyterapp.shell.currentWidget.sessionContext"
        ".statusChanged.connect((_, status) => window.told.push(status)); }"
    )
    made.run(0)
    assert "the kernel restarts" in made.run(1)
    page.wait_for_function("() => /restarting.*starting.*idle/.test(window.told.join())")
    assert made.run(2).strip() == "True False"
    assert page.locator(".jp-Dialog").count() == 0

    assert "this notebook's metadata has its sandbox" in made.run(3)
    locked = made.save().metadata["ipycontainer"]
    assert (locked["image"], locked["memory"], locked["network"]) == (debian_python, "512m", "none")
    made.shutdown()
    shutil.rmtree(lab.data / "kernels" / NAME)
    made.load()
    dialog = page.locator(".jp-Dialog", has=page.locator(".ipycontainer-offer"))
    expect(dialog).to_contain_text("512m")
    dialog.get_by_role("button", name="Install and use").click()
    made.wait()
    assert made.run(2).strip() == "False False"
