"""A terminal in the cell, as a front end sees it through a real kernel's messages."""

from __future__ import annotations

from typing import Any

from cells import SECONDS, Box, Kernel, errors

RUN = "%container run -it --net none --name box busybox"
VIEW = "application/vnd.jupyter.widget-view+json"


class Page:
    """A page with one terminal: what JupyterLab and `terminal.js` do together."""

    def __init__(self, kernel: Kernel, code: str) -> None:
        self._client = kernel._client
        self._number = 0
        self.text = ""
        self.viewed = False
        self.state: dict[str, Any] = {}
        self.shown = b""
        self.comm = ""
        asked = self._client.execute(code, allow_stdin=True)
        self.until(
            lambda kind, content, parent: (
                parent == asked and kind == "status" and content["execution_state"] == "idle"
            )
        )

    def until(self, met: Any) -> None:
        """Take messages until one meets it."""
        while True:
            raw = self._client.get_iopub_msg(timeout=SECONDS)
            kind, content = raw["msg_type"], raw["content"]
            if kind in ("display_data", "update_display_data"):
                self._hold(content["data"])
            elif kind == "comm_open" and content["data"]["state"].get("_model_name") == "AnyModel":
                self.comm, self.state = content["comm_id"], content["data"]["state"]
            elif kind == "comm_msg" and content["comm_id"] == self.comm:
                self._take(content["data"], raw["buffers"])
            assert kind != "error", content
            if met(kind, content, raw["parent_header"].get("msg_id")):
                return

    def _hold(self, bundle: dict[str, Any]) -> None:
        """Have the cell's two outputs: the text that is kept, and the view."""
        if "text/plain" in bundle:
            assert VIEW not in bundle
            self.text = bundle["text/plain"]
        else:
            self.viewed = VIEW in bundle

    def _take(self, data: dict[str, Any], buffers: list[Any]) -> None:
        if data["method"] == "update":
            self.state.update(data["state"])
        elif data["content"].get("type") in ("output", "replay"):
            if data["content"]["type"] == "replay":
                self.shown = b""
            self.shown += b"".join(map(bytes, buffers))
            self.send({"type": "drawn", "end": data["content"]["end"]})

    def send(self, message: dict[str, Any]) -> None:
        """Send what the terminal's module sends."""
        content = {**message, "page": "page", "number": self._number}
        self._number += 1
        data = {"method": "custom", "content": content}
        message_ = self._client.session.msg("comm_msg", {"comm_id": self.comm, "data": data})
        self._client.shell_channel.send(message_)

    def ready(self) -> None:
        """Be there."""
        self.send({"type": "ready", "cols": 80, "rows": 24})

    def type(self, line: str) -> None:
        """Type a line."""
        self.send({"type": "keys", "data": f"{line}\r"})

    def sees(self, text: bytes) -> None:
        """Wait until the terminal shows it."""
        if text not in self.shown:
            self.until(lambda *_: text in self.shown)

    def becomes(self, state: str) -> None:
        """Wait for a state, and for the cell to hold it."""
        self.until(lambda kind, *_: self.state["state"] == state and kind == "update_display_data")


def test_a_terminal_outlives_its_cell_and_leaves_its_text(box: Box, kernel: Kernel) -> None:
    page = Page(kernel, f"{RUN} sh")
    assert page.viewed
    page.ready()
    page.type("stty size; echo $((6*7))")
    page.sees(b"24 80\r\n42")
    page.type("exit 3")
    page.becomes("ended")
    page.until(lambda *_: not page.viewed)
    assert page.text.endswith("\n[container box: exited with code 3]")
    assert "\n42\n" in page.text


def test_who_leaves_finds_the_container_and_its_screen_again(box: Box, kernel: Kernel) -> None:
    page = Page(kernel, f"{RUN} sh")
    page.ready()
    page.type("echo $((6*7))")
    page.sees(b"\n42")
    page.send({"type": "gone"})
    page.becomes("detached")
    assert box.state("box")["Running"]
    page.ready()
    page.sees(b"\n42")
    page.type("echo $((6*8))")
    page.sees(b"\n48")
    page.send({"type": "press", "action": "stop"})
    page.becomes("ended")
    assert "was stopped" in page.state["status"]


def test_what_is_stopped_after_it_was_left_is_not_said_to_go_on(box: Box, kernel: Kernel) -> None:
    page = Page(kernel, f"{RUN} sleep 600")
    page.ready()
    page.send({"type": "press", "action": "detach"})
    page.becomes("detached")
    page.send({"type": "press", "action": "stop"})
    page.becomes("ended")
    assert "was stopped" in page.text
    assert not box.state("box")["Running"]


def test_a_flood_waits_for_the_page_and_is_interrupted(box: Box, kernel: Kernel) -> None:
    page = Page(kernel, f"{RUN} sh")
    page.ready()
    page.type("yes")
    page.until(lambda *_: len(page.shown) > 1_000_000)
    page.send({"type": "press", "action": "interrupt"})
    page.type("echo $((6*7))")
    page.sees(b"\n42")


def test_what_has_its_input_or_a_variable_is_relayed_as_ever(box: Box, kernel: Kernel) -> None:
    for line in (
        "%container run -it --rm --net none --out text busybox true",
        "%%container run -it --rm --net none busybox cat\nx",
        "%container run -it --rm --net none --input hello busybox cat",
    ):
        messages = kernel.run(line, asked=True)
        assert errors(messages) == []
        assert not any(VIEW in m.content.get("data", {}) for m in messages)
