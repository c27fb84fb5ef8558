"""The widgets, used in a browser as a person uses them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from browser.conftest import IMAGE
from support.engines import Engine

if TYPE_CHECKING:
    from browser.labroom import Notebook

Open = Callable[..., "Notebook"]
SETUP = "from ipycontainer import connect\nfrom ipycontainer.widgets import *"
SLEEP = ["sleep", "600"]


def show(notebook: Open, line: str, subshells: str = "perCommTarget") -> Notebook:
    page = notebook(SETUP, line)
    # Where a kernel has none, messages of widgets come on its main thread.
    page.page.evaluate(
        "mode => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
        ".commsOverSubshells = mode",
        subshells,
    )
    page.run(0)
    page.run(1)
    return page


def kept_with(page: Notebook, text: str) -> None:
    """Wait until the text beside the view says this: it is renewed just after the view."""
    page.output(1).locator(".ipycontainer-still", has_text=text).wait_for(state="attached")


def running(engine: Engine, command: list[str]) -> None:
    """Have a container `web` that ends at once when it is stopped."""
    engine.client.containers.run(
        IMAGE, command, name="web", detach=True, network_mode="none", stop_signal="SIGKILL"
    )


def test_containers_are_seen_stopped_started_and_removed(
    notebook: Open, lab_engine: Engine
) -> None:
    running(lab_engine, SLEEP)
    page = show(notebook, "Containers()")
    output = page.view(1)
    output.get_by_role("rowheader", name="web").wait_for()
    output.get_by_text("MiB").or_(output.get_by_text("KiB")).first.wait_for()
    output.get_by_role("button", name="Stop web").click()
    output.get_by_text("Exited (137)").wait_for()
    output.get_by_role("button", name="Start web").click()
    output.get_by_text("web was started.").wait_for()
    output.get_by_role("button", name="Remove web").click()
    assert lab_engine.client.containers.get("web").status == "running"
    output.get_by_role("button", name="Remove web").click()
    output.get_by_text("web was removed.").wait_for()
    assert output.get_by_role("rowheader", name="web").count() == 0


def test_a_container_that_somebody_else_makes_comes_by_itself(
    notebook: Open, lab_engine: Engine
) -> None:
    page = show(notebook, "Containers()")
    page.view(1).get_by_text("There is none").wait_for()
    lab_engine.client.containers.create(IMAGE, "true", name="late", network_mode="none")
    page.view(1).get_by_role("rowheader", name="late").wait_for()


def test_many_containers_are_searched_and_shown_a_hundred_at_a_time(
    notebook: Open, lab_engine: Engine
) -> None:
    for number in range(103):
        lab_engine.client.api.create_container(IMAGE, "true", name=f"many-{number}")
    page = show(notebook, "Containers()")
    view = page.view(1)
    view.get_by_role("button", name="Show more containers").click()
    view.get_by_role("rowheader", name="many-0", exact=True).wait_for()
    assert view.get_by_role("rowheader").count() == 103
    view.get_by_label("Find").fill("many-77")
    view.get_by_role("rowheader", name="many-76").wait_for(state="detached")
    assert view.get_by_role("rowheader").all_inner_texts() == ["many-77"]


def test_a_log_is_opened_under_the_board(notebook: Open, lab_engine: Engine) -> None:
    running(lab_engine, ["sh", "-c", "echo told; sleep 600"])
    page = show(notebook, "Containers()")
    page.view(1).get_by_role("button", name="Logs web").click()
    page.view(1).get_by_role("log").get_by_text("told").wait_for()
    page.view(1).get_by_role("button", name="Close the log of web").click()
    page.view(1).get_by_role("log").wait_for(state="detached")


def test_a_shell_is_opened_under_the_board(notebook: Open, lab_engine: Engine) -> None:
    running(lab_engine, SLEEP)
    page = notebook("%load_ext ipycontainer", "%container")
    page.run(0)
    page.run(1)
    page.view(1).get_by_role("button", name="Shell web").click()
    screen = page.view(1).locator(".xterm-screen")
    screen.wait_for()
    screen.click()
    page.page.keyboard.type("echo $((6 * 7))")
    page.page.keyboard.press("Enter")
    page.view(1).locator(".xterm-rows").get_by_text("42", exact=True).wait_for()
    page.view(1).get_by_role("button", name="Leave the shell in web").click()
    screen.wait_for(state="detached")


def test_what_is_opened_under_the_board_takes_the_place_of_another(
    notebook: Open, lab_engine: Engine
) -> None:
    running(lab_engine, ["sh", "-c", "echo told; sleep 600"])
    page = notebook(
        SETUP,
        "Containers()",
        "import threading\n"
        "named = [t for t in threading.enumerate() if t.name == 'log stream of web']\n"
        "before = len(named)",
        "for thread in named:\n    thread.join(30)\nprint(before, [t.is_alive() for t in named])",
    )
    page.run(0)
    page.run(1)
    page.view(1).get_by_role("button", name="Logs web").click()
    page.view(1).get_by_role("log").get_by_text("told").wait_for()
    page.run(2)
    page.view(1).get_by_role("button", name="Shell web").click()
    page.view(1).locator(".xterm-screen").wait_for()
    assert page.view(1).get_by_role("log").count() == 0
    assert page.run(3).strip() == "1 [False]"


@pytest.mark.parametrize("subshells", ["disabled", "perComm"])
def test_a_form_runs_a_container_with_input_and_output(notebook: Open, subshells: str) -> None:
    line = f"Run({IMAGE!r}, \"sh -c 'echo ready; read x; echo got $x $A'\")"
    page = show(notebook, line, subshells)
    output = page.view(1)
    output.get_by_label("Variables").fill("A=1")
    output.get_by_text("%container run -i --rm -e A=1 busybox").wait_for()
    output.get_by_role("button", name="Run").click()
    output.get_by_role("log").get_by_text("ready").wait_for()
    output.get_by_label("Input").fill("hello")
    output.get_by_label("Input").press("Enter")
    output.get_by_text("It ended with 0.").wait_for()
    assert output.get_by_role("log").inner_text() == "ready\ngot hello 1\n"
    kept_with(page, "got hello 1")
    kept = page.save().cells[1].outputs[0].data
    assert "got hello 1" in kept["text/plain"]
    assert "got hello 1" in kept["text/html"]


def test_a_form_takes_more_flags_and_completes_them(notebook: Open) -> None:
    page = show(notebook, f"Run({IMAGE!r}, 'id -u')")
    output = page.view(1)
    output.get_by_text("Limits, network and more flags").click()
    flags = output.get_by_label("More flags")
    flags.fill("--usr")
    output.get_by_text("No such option '--usr'").wait_for()
    flags.fill("--use")
    output.locator("datalist option[value='--userns']").wait_for(state="attached")
    flags.fill("--user 1234")
    output.get_by_role("button", name="Run").click()
    output.get_by_text("It ended with 0.").wait_for()
    assert output.get_by_role("log").inner_text() == "1234\n"


def test_lines_typed_fast_come_whole_and_in_their_order(notebook: Open) -> None:
    page = show(
        notebook, f"Run({IMAGE!r}, \"sh -c 'for i in 1 2 3; do read x; echo got $x; done'\")"
    )
    output = page.view(1)
    output.get_by_role("button", name="Run").click()
    output.get_by_label("Input").wait_for()  # what is not shown yet takes no focus
    output.get_by_label("Input").focus()
    page.page.keyboard.type("the first\nthe first\n\n")
    output.get_by_text("It ended with 0.").wait_for()
    assert output.get_by_role("log").inner_text() == "got the first\ngot the first\ngot\n"


def test_bars_in_a_form_look_as_in_a_terminal(notebook: Open) -> None:
    drawn = r'printf "10%%\r"; sleep 0.2; printf "\033[32m100%%\033[0m\rdone\nnext"'
    command = f"sh -c '{drawn}'"
    page = show(notebook, f"Run({IMAGE!r}, {command!r})")
    page.view(1).get_by_role("button", name="Run").click()
    page.view(1).get_by_text("It ended with 0.").wait_for()
    assert page.view(1).get_by_role("log").inner_text() == "done\nnext"
    kept_with(page, "It ended")
    assert "done\nnext\nIt ended" in page.save().cells[1].outputs[0].data["text/plain"]


def test_what_a_form_started_is_stopped_by_its_button(notebook: Open, lab_engine: Engine) -> None:
    page = show(notebook, f"Run({IMAGE!r}, \"sh -c 'echo on; sleep 600'\")")
    page.view(1).get_by_role("button", name="Run").click()
    page.view(1).get_by_role("log").get_by_text("on").wait_for()
    page.view(1).get_by_role("button", name="Stop").click()
    page.view(1).get_by_text("was stopped (exit code").wait_for()
    assert lab_engine.client.containers.list(all=True) == []


def test_an_image_is_pulled_with_its_bars(notebook: Open, busybox: str) -> None:
    page = show(notebook, "Pull()")
    output = page.view(1)
    output.get_by_label("Image").fill(busybox)
    output.get_by_role("button", name="Pull").click()
    output.get_by_text(f"{busybox} is up to date").wait_for()
    kept_with(page, "is up to date")
    assert f"{busybox} is up to date" in page.save().cells[1].outputs[0].data["text/plain"]


def test_a_pull_that_fails_says_why(notebook: Open) -> None:
    page = show(notebook, "Pull('UPPER')")
    page.view(1).get_by_role("button", name="Pull").click()
    page.view(1).get_by_text("'UPPER' is no name of an image").wait_for()


def test_changes_are_committed_with_a_name(notebook: Open, lab_engine: Engine) -> None:
    lab_engine.client.containers.run(
        IMAGE, ["sh", "-c", "echo one > /made"], name="web", network_mode="none"
    )
    page = show(notebook, "Commit('web')")
    output = page.view(1)
    output.get_by_text("/made").wait_for()
    output.get_by_label("Name").fill("mine:1")
    output.get_by_label("Message").fill("a file")
    output.get_by_role("button", name="Commit").click()
    output.get_by_text("Made mine:1 of web; its new layer has").wait_for()
    made = lab_engine.client.images.get("mine:1")
    try:
        assert made.attrs["Comment"] == "a file"
    finally:
        lab_engine.client.images.remove("mine:1")


def test_stats_are_lines_and_numbers(notebook: Open, lab_engine: Engine) -> None:
    running(lab_engine, SLEEP)
    page = show(notebook, "Stats('web')")
    page.view(1).get_by_role("img", name="Memory of web").wait_for()
    assert "web" in page.view(1).get_by_role("rowheader").inner_text()


def test_what_a_container_prints_is_never_markup(notebook: Open, lab_engine: Engine) -> None:
    hostile = "<img src=x onerror=\"document.title='caught'\"><b>bold</b>"
    running(lab_engine, ["echo", hostile])
    page = show(notebook, "Logs('web')")
    page.view(1).get_by_role("log").get_by_text("onerror").wait_for()
    assert page.view(1).get_by_role("log").inner_text() == hostile + "\n"
    assert page.view(1).locator("b").count() == 0
    assert "caught" not in page.page.title()


def test_a_removed_log_ends_its_stream(notebook: Open, lab_engine: Engine) -> None:
    running(lab_engine, ["sh", "-c", "echo told; sleep 600"])
    page = notebook(
        SETUP,
        "Logs('web')",
        "import threading\n"
        "named = [t for t in threading.enumerate() if t.name == 'log stream of web']\n"
        "before = len(named)",
        "for thread in named:\n    thread.join(30)\nprint(before, [t.is_alive() for t in named])",
    )
    page.run(0)
    page.run(1)
    page.view(1).get_by_role("log").get_by_text("told").wait_for()
    page.run(2)
    page.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.activeCellIndex = 1")
    page.command("notebook:clear-cell-output")
    assert page.run(3).strip() == "1 [False]"


def test_what_nobody_sees_is_not_asked_for(notebook: Open, lab_engine: Engine) -> None:
    page = notebook(
        SETUP,
        "board = Containers()",
        "board",
        "[part] = board.children\n"
        "part.presence.wait_gone()\n"
        "connect().api.create_container('busybox', 'true', name='unseen')\n"
        "part.presence.pause(4)\n"
        "print([row['name'] for row in part.rows])",
        "board",
    )
    page.run(0)
    page.run(1)
    page.run(2)
    page.view(2).get_by_text("There is none").wait_for()
    page.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.activeCellIndex = 2")
    page.command("notebook:clear-cell-output")
    assert page.run(3).strip() == "[]"
    page.run(4)
    page.view(4).get_by_role("rowheader", name="unseen").wait_for()
