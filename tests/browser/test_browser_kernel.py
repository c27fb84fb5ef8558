"""A kernel in a container in JupyterLab: the launcher offers it, cells run, and it is restarted."""

from collections.abc import Callable

from playwright.sync_api import expect

from browser.labroom import Lab, Notebook
from ipycontainer_kernel import specs
from ipycontainer_kernel.resolving import icons
from ipycontainer_kernel.settings import Settings
from support.engines import Engine

NAME, SHOWN = "contained", "Contained Python"


def test_the_launcher_offers_it_and_cells_run_are_interrupted_and_begin_anew(
    notebook: Callable[..., Notebook], lab: Lab, lab_engine: Engine, debian_python: str
) -> None:
    lab_engine.client.images.pull(debian_python)
    settings = Settings(debian_python, name=NAME, display_name=SHOWN, network="none")
    specs.write(settings, specs.Place(lab.data / "kernels"), icons=icons("container"))
    cells = ["x = 1\nopen('/run/ipycontainer-kernel.json').close()\nprint('inside')"]
    busy = "print('busy', flush=True)\nwhile True: pass"
    page = notebook(*cells, busy, "print('x' in globals())", kernel=NAME)
    assert page.run(0).strip() == "inside"
    page.begin(1)
    expect(page.output(1)).to_contain_text("busy")  # an idle kernel takes no interrupt
    page.interrupt()
    assert "KeyboardInterrupt" in page.finish(1)
    assert page.run(2).strip() == "True"

    (before,) = lab_engine.client.containers.list()
    page.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
    page.command("notebook:clear-all-cell-outputs")
    assert page.run(2).strip() == "False"
    (after,) = lab_engine.client.containers.list()
    assert after.id != before.id

    page.command("launcher:create")
    card = page.page.locator(".jp-LauncherCard[data-category='Notebook']", has_text=SHOWN)
    expect(card.first).to_be_visible()
    page.page.evaluate("() => window.jupyterapp.shell.currentWidget.close()")
