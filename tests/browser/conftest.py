"""One JupyterLab, one browser and one engine for all tests of this folder, and their pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from support.engines import Engine, running_engine
from support.needs import require

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from browser.labroom import Lab, Notebook

IMAGE = "busybox"


@pytest.fixture(scope="package")
def lab_engine(busybox: str) -> Iterator[Engine]:
    """The engine that the notebooks' kernels use; it has busybox, by that name."""
    with running_engine() as running:
        running.client.images.pull(busybox).tag(IMAGE)
        yield running


@pytest.fixture(scope="package")
def lab(lab_engine: Engine) -> Iterator[Lab]:
    """The server."""
    require("chromium", "playwright")
    from browser.labroom import running_lab

    with running_lab(lab_engine.variables) as running:
        yield running


# Not for the session: while Playwright runs there is an event loop in this thread, which tests
# elsewhere that have a loop of their own cannot bear.
@pytest.fixture(scope="package")
def browser_page(lab: Lab) -> Iterator[Page]:
    """A browser's page, used by one test after the other: it takes seconds to load."""
    from browser.labroom import running_browser

    with running_browser() as page:
        yield page


@pytest.fixture
def notebook(
    lab: Lab, lab_engine: Engine, browser_page: Page, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Notebook]]:
    """A function that opens a notebook with these cells; pages, kernels and containers go."""
    from browser.labroom import Notebook

    opened: list[Notebook] = []

    def open_notebook(*cells: str, kernel: str = "python3") -> Notebook:
        name = f"{request.node.name.partition('[')[0]}-{len(opened)}.ipynb"
        opened.append(Notebook(browser_page, lab, name, cells, kernel))
        return opened[-1]

    yield open_notebook
    for one in opened:
        one.close()
    lab_engine.remove_containers()
