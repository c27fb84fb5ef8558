"""The shell kernel in JupyterLab: it asks, shows files, completes, and is interrupted."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from browser.conftest import IMAGE
from support.shells import write_kernelspec

if TYPE_CHECKING:
    from browser.labroom import Lab, Notebook

CELLS = (
    'hello() { echo "hello, $1"; }\ncd /tmp && pwd',
    'printf "your name? "; read -r name\nhello "$name"',
    """cat >drawn.svg <<'END'
<svg xmlns="http://www.w3.org/2000/svg" width="180" height="60">
<rect width="180" height="60" rx="8" fill="#2f6f9f"/>
<text x="90" y="37" fill="#fff" text-anchor="middle" font-size="18">drawn by cat</text></svg>
END
display drawn.svg""",
    "nosuchcommand --help",
    "echo waiting; sleep 600",
    'echo "$? $name"',
)


def test_a_shell_in_an_image_asks_shows_and_is_interrupted(
    notebook: Callable[..., Notebook], lab: Lab, tmp_path: Path
) -> None:
    from browser.labroom import NARROW, WIDE

    write_kernelspec(lab.data, "shell", image=IMAGE, notebook="none")
    page = notebook(*CELLS, kernel="shell")
    assert page.run(0).strip() == "/tmp"
    page.begin(1)
    page.answer("Ada")
    assert "hello, Ada" in page.finish(1)
    page.run(2)
    page.output(2).locator("img, svg").first.wait_for()
    assert "status 127 (command not found)" in page.run(3)
    page.begin(4)
    page.output(4).get_by_text("waiting").wait_for()
    page.interrupt()
    assert "interrupted" in page.finish(4)
    assert page.run(5).strip() == "130 Ada"
    folder = Path(os.environ.get("IPYCONTAINER_PICTURES", tmp_path)).resolve()
    for theme, size, suffix in (("Light", WIDE, "light"), ("Dark", NARROW, "dark-narrow")):
        page.look(theme, size)
        page.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)").screenshot(
            path=folder / f"shell-{suffix}.png", animations="disabled"
        )
