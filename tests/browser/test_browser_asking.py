"""A cell in a browser asks for what a program in a container waits for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from browser.conftest import IMAGE

if TYPE_CHECKING:
    from playwright.sync_api import Locator

    from browser.labroom import Notebook

Open = Callable[..., "Notebook"]
LOAD = "%load_ext ipycontainer"
RUN = f"%container run --rm --init -i {IMAGE}"


def asked(page: Notebook, prompt: str) -> Locator:
    """Wait for the box with this prompt, and return it."""
    labelled = page.view(1).locator(".jp-Stdin", has_text=prompt)
    box = labelled.locator("input.jp-Stdin-input")
    box.wait_for()
    return box


def test_a_container_asks_and_the_dialogue_is_saved(notebook: Open) -> None:
    script = "printf 'Name? '; read name; printf 'Age? '; read age; echo $name is $age"
    page = notebook(LOAD, f'{RUN} sh -c "{script}"')
    page.run(0)
    page.begin(1)
    for prompt, answer in (("Name?", "Ada"), ("Age?", "36")):
        box = asked(page, prompt)
        box.fill(answer)
        box.press("Enter")
    assert "Ada is 36" in page.finish(1)
    saved = page.save().cells[1].outputs
    text = " ".join("".join(output.text for output in saved).split())
    assert text == "Name? Ada Age? 36 Ada is 36"


def test_a_password_is_not_on_the_page(notebook: Open) -> None:
    script = "stty -echo; printf 'Password: '; read word; stty echo; echo; echo it has ${#word}"
    # Where things are rich a terminal in the cell is typed into, and nothing is asked.
    plain = f"{LOAD}\n%config IPyContainer.display = 'text'"
    page = notebook(plain, f'{RUN.replace("-i ", "-it ")} sh -c "{script}"')
    page.run(0)
    page.begin(1)
    box = asked(page, "Password:")
    assert box.get_attribute("type") == "password"
    box.fill("secret")
    box.press("Enter")
    text = page.finish(1)
    assert "it has 6" in text
    assert "secret" not in text
    assert "secret" not in str(page.save().cells[1].outputs)


def test_a_cell_that_asks_is_interrupted(notebook: Open) -> None:
    page = notebook(LOAD, f"{RUN} sh -c 'printf Really?; read x'")
    page.run(0)
    page.begin(1)
    asked(page, "Really?")
    page.interrupt()
    page.finish(1)
    said, question, error = page.save().cells[1].outputs
    assert "stopping container" in said.text
    assert question.text == "Really?"
    assert error.ename == "Interrupted"
