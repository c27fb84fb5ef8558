"""What a notebook sees: a real kernel, driven through its client."""

import os
import time
from pathlib import Path

import pytest
from cells import Box, Kernel, Message, errors, streamed

from support.made import image, tar, write_layout
from support.registry import Registry

LARGE = 30 << 20


def test_output_comes_while_the_container_runs(box: Box, kernel: Kernel) -> None:
    def end_it(message: Message) -> None:
        if message.kind == "stream" and "first" in message.content["text"]:
            box.client.api.kill("web")

    messages = kernel.run(
        "%container run --net none --name web busybox sh -c 'echo first; sleep 600'", on=end_it
    )
    assert streamed(messages, "stdout") == "first\n"
    assert errors(messages)[0]["ename"] == "ContainerExit"


def test_a_failed_cell_has_one_line_and_no_traceback(box: Box, kernel: Kernel) -> None:
    messages = kernel.run(
        "%container run --net none --rm --name web busybox sh -c 'echo no >&2; exit 3'"
    )
    assert streamed(messages, "stderr") == "no\n"
    assert errors(messages)[0]["traceback"] == ["ContainerExit: container web exited with code 3"]


def test_interrupting_the_cell_stops_the_container_and_says_so(box: Box, kernel: Kernel) -> None:
    def interrupt(message: Message) -> None:
        if message.kind == "stream" and "ready" in message.content["text"]:
            kernel.interrupt()

    messages = kernel.run(
        "%container run --net none --name web busybox sh -c"
        " 'trap \"echo bye; exit 5\" TERM; echo ready; while :; do sleep 0.1; done'",
        on=interrupt,
    )
    assert "Interrupted: stopping container web" in streamed(messages, "stderr")
    assert streamed(messages, "stdout") == "ready\nbye\n"
    assert errors(messages)[0]["traceback"] == [
        "Interrupted: container web was stopped (exit code 5)"
    ]
    assert box.state("web")["Running"] is False
    assert streamed(kernel.run("print('alive')"), "stdout") == "alive\n"


def test_a_second_interrupt_kills_the_container(box: Box, kernel: Kernel) -> None:
    def interrupt(message: Message) -> None:
        if message.kind == "stream" and (
            "ready" in message.content["text"] or "stopping" in message.content["text"]
        ):
            kernel.interrupt()

    began = time.monotonic()
    messages = kernel.run(
        "%container run --net none --name web --stop-timeout 60 busybox sh -c"
        " 'trap \"\" TERM; echo ready; while :; do sleep 0.1; done'",
        on=interrupt,
    )
    assert errors(messages)[0]["evalue"] == "container web was stopped (exit code 137)"
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    "verb", ["logs -f web", "attach web", "exec web sh -c 'echo x; sleep 600'", "wait web"]
)
def test_interrupting_a_look_leaves_the_container_running(
    box: Box, kernel: Kernel, verb: str
) -> None:
    def interrupt(message: Message) -> None:
        if message.kind == "stream" and "Interrupted" not in message.content.get("text", ""):
            kernel.interrupt()

    script = "while :; do echo x; sleep 0.1; done"
    kernel.run(f"%container run --net none -d --name web busybox sh -c '{script}'")
    # `wait` says nothing by itself, so its interrupt may come a moment before it.
    said = "print('x', flush=True)\n" if verb == "wait web" else ""
    messages = kernel.run(f"{said}%container {verb}", on=interrupt)
    assert "nterrupt" in str(messages)
    assert verb == "wait web" or "Traceback" not in str(messages)
    assert box.state("web")["Running"] is True


def test_the_last_line_of_a_burst_is_shown_while_a_log_is_quiet(box: Box, kernel: Kernel) -> None:
    script = (
        "echo first; until [ -e /go ]; do usleep 1000; done;"
        " echo second; usleep 2000; echo last; sleep 600"
    )
    kernel.run(f"%container run --net none -d --name web busybox sh -c '{script}'")

    def react(message: Message) -> None:
        if message.kind == "stream" and "first" in message.content["text"]:
            made = box.client.api.exec_create("web", ["touch", "/go"])
            box.client.api.exec_start(made)
        elif message.kind == "stream" and "last" in message.content["text"]:
            kernel.interrupt()

    messages = kernel.run("%container logs -f web", on=react)
    assert streamed(messages, "stdout") == "first\nsecond\nlast\n"


def test_a_pull_draws_bars_live_and_leaves_a_true_text(
    box: Box, kernel: Kernel, registry: Registry, tmp_path: Path
) -> None:
    # Nobody has this layer: what an engine has already it draws no bar for.
    layer = tar({"chance": os.urandom(LARGE)})
    name = registry.add(write_layout(image(layer), tmp_path / "layout"), "chance")
    messages = kernel.run(f"%container pull {name}")
    first = next(m for m in messages if m.kind == "display_data")
    updates = [m for m in messages if m.kind == "update_display_data"]
    display_id = first.content["transient"]["display_id"]
    assert {m.content["transient"]["display_id"] for m in updates} == {display_id}
    assert any("<progress" in m.content["data"]["text/html"] for m in (first, *updates))
    final = updates[-1].content["data"]
    assert final["text/plain"].startswith(f"Pulled {name} (1 layer")
    assert "<progress" not in final["text/html"]
    again = kernel.run(f"%container pull {name}")
    last = [m for m in again if m.kind == "update_display_data"][-1]
    assert "is up to date" in last.content["data"]["text/plain"]
    box.client.api.remove_image(name, force=True)


def test_a_pull_that_fails_leaves_no_bar(box: Box, kernel: Kernel, registry: Registry) -> None:
    messages = kernel.run(f"%container pull {registry.address}/nosuch:1")
    drawn = [m for m in messages if m.kind.endswith("display_data")]
    assert all("<progress" not in m.content["data"]["text/html"] for m in drawn[-1:])
    assert f"{registry.address}/nosuch" in errors(messages)[0]["evalue"]


def test_a_table_is_displayed_once_as_html_and_text(box: Box, kernel: Kernel) -> None:
    messages = kernel.run("%container images")
    shown = [m for m in messages if m.kind in {"execute_result", "display_data"}]
    assert [m.kind for m in shown] == ["execute_result"]
    data = shown[0].content["data"]
    assert data["text/plain"].startswith("REPOSITORY")
    assert "<th scope='col'" in data["text/html"]


def test_what_a_container_writes_is_text(box: Box, kernel: Kernel) -> None:
    hostile = "<script>alert(1)</script>"
    messages = kernel.run(
        f"%container run --net none --name web -l 'x={hostile}' busybox echo '{hostile}'"
    )
    assert [m.kind for m in messages if "display" in m.kind or "result" in m.kind] == []
    assert streamed(messages, "stdout") == f"{hostile}\n"
    shown = kernel.run("%container ps -a --no-trunc")[-1].content["data"]
    assert hostile in shown["text/plain"]
    assert "<script" not in shown["text/html"]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("%container ru", "run"),
        ("x = %container comm", "commit"),
        ("%%container ru", "run"),
        ("%container run --net none --ent", "--entrypoint"),
        ("%container run --net none --rm busy", "busybox"),
        ("%container stop we", "web"),
        ("%container inspect we", "web"),
        ("%container image l", "ls"),
        ("%container run --net none --pull al", "always"),
        ("%container ps --filter st", "status="),
        ("%container run --network no", "none"),
        ("%container exec {na", "{name}"),
        ("%container rm {na", "{name}"),
    ],
)
def test_tab_completes(box: Box, kernel: Kernel, line: str, offered: str) -> None:
    kernel.run("%container create --net none --name web busybox true\nname = 'web'")
    reply = kernel.complete(line)
    assert offered in reply["matches"]
    assert line[reply["cursor_start"] :] == line.rsplit(maxsplit=1)[-1]
    assert streamed(kernel.run("1"), "stderr") == ""


def test_tab_elsewhere_is_as_before(box: Box, kernel: Kernel) -> None:
    kernel.run("container_of_mine = 1")
    assert kernel.complete("container_of_")["matches"] == ["container_of_mine"]


def test_tab_without_an_engine_is_silent(box: Box, kernel: Kernel) -> None:
    kernel.run("%env DOCKER_HOST=unix:///nowhere.sock")
    assert kernel.complete("%container stop zz")["matches"] == []
    assert "run" in kernel.complete("%container ru")["matches"]
