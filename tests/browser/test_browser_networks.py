"""Networks drawn in JupyterLab: addresses are read, published ports open with a click."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browser.conftest import IMAGE
from support.engines import Engine

if TYPE_CHECKING:
    from browser.labroom import Notebook

pytestmark = pytest.mark.needs("root")
Open = Callable[..., "Notebook"]
HOSTILE = "<img src=x onerror='document.title=1'>"
SERVE = "sh -c 'mkdir /w; echo hello from inside > /w/index.html; exec httpd -f -p 80 -h /w'"


@pytest.fixture
def shop(lab_engine: Engine) -> Iterator[None]:
    """Two networks; they are gone afterwards."""
    api = lab_engine.client.api
    made = [api.create_network(name)["Id"] for name in ("shop", "vault")]
    yield
    lab_engine.remove_containers()
    for one in made:
        api.remove_network(one)


@pytest.mark.usefixtures("shop")
def test_a_drawing_has_addresses_and_links_that_open(notebook: Open, tmp_path: Path) -> None:
    from browser.labroom import NARROW, WIDE

    folder = Path(os.environ.get("IPYCONTAINER_PICTURES", tmp_path)).resolve()
    page = notebook(
        "%load_ext ipycontainer",
        f"%container run -d --name store --network shop -p 127.0.0.1::80 {IMAGE} {SERVE}",
        f"label = {f'x={HOSTILE}'!r}\n"
        f"%container run -d --name back --network shop --label {{label}} {IMAGE} sleep 1000\n"
        "%container network connect vault back",
        "%container network show shop vault",
        "from ipycontainer.widgets import Containers\nContainers()",
    )
    for cell in range(5):
        page.run(cell)
    told = page.view(1).get_by_role("link")
    assert told.get_attribute("href", timeout=30_000).startswith("http://localhost:")
    drawing = page.view(3)
    heads = drawing.locator("thead th").all_inner_texts()
    assert [head.split()[0] for head in heads] == ["container", "shop", "vault", "published"]
    rows = [row.locator("td").all_inner_texts() for row in drawing.locator("tbody tr").all()]
    assert all(row[0] for row in rows), "both are in the first network"
    assert [bool(row[1].strip()) for row in rows] == [True, False]
    assert HOSTILE not in drawing.inner_html()
    with page.page.expect_popup() as opened:
        drawing.get_by_role("link").click()
    assert opened.value.locator("body").inner_text().strip() == "hello from inside"
    opened.value.close()
    board = page.view(4).get_by_role("link")
    assert board.get_attribute("href") == told.get_attribute("href")
    for theme, size, suffix in (("Light", WIDE, "light"), ("Dark", NARROW, "dark-narrow")):
        page.look(theme, size)
        page.screenshot(3, folder / f"networks-{suffix}.png")
    saved = page.save().cells[3].outputs[0]
    assert "shop" in saved.data["text/plain"]
