"""`Commit`: what a container has changed, and a new image of it."""

from __future__ import annotations

from contextlib import closing
from threading import Thread
from typing import Any

from ipywidgets import Dropdown, HBox, Layout, Text

from ..failures import Failure, one_line
from ..rows import container_name
from ..units import counted, decimal_size
from .desk import Desk, begin, engine_client, failed
from .panel import Panel, preferences, push_button
from .parts import Grid, bad, good

_KINDS = {0: "changed", 1: "added", 2: "deleted"}


class Commit(Panel):
    """The changes of a container, a name and a message, and the size of the layer they make.

    `image_id` is that of the image that was made last, or None.
    """

    def __init__(self, container: str = "", name: str = "") -> None:
        options = [container] if container else []
        self._container = Dropdown(options=options, description="Container")
        self._name = Text(value=name, description="Name", placeholder="mine:1")
        self._message = Text(description="Message", placeholder="what changed")
        self._go = push_button("Commit", self.commit, style="primary")
        self._again = push_button("Look again", self._look)
        self._changes = Grid(columns=["", "Path"])
        self._desk: Desk | None = None
        self.image_id: str | None = None
        self._asked = container
        self._container.observe(lambda _change: self._look(), "value")
        wrap = Layout(flex_flow="wrap", align_items="center", width="100%")
        super().__init__(
            HBox([self._container, self._again], layout=wrap),
            HBox([self._name, self._message, self._go], layout=wrap),
            self._changes,
        )
        Thread(target=self._fill, daemon=True, name="containers").start()

    def _fill(self) -> None:
        try:
            with closing(engine_client()) as client:
                names = [container_name(one) for one in client.api.containers(all=True)]
        except Exception as error:
            self._changes.summary = failed(error)
            return
        if self._asked and self._asked not in names:
            names.insert(0, self._asked)
        self._container.options = names
        if self._asked:
            self._container.value = self._asked
        if names:
            self._see(self._container.value)
        else:
            self._changes.summary = good("There is no container to commit.")

    def _look(self) -> None:
        if self._container.value:
            Thread(target=self._see, args=(self._container.value,), daemon=True).start()

    def _see(self, container: str) -> None:
        """Show what the container has changed."""
        try:
            with closing(engine_client()) as client:
                changes = client.api.diff(container) or []
                written = _written(client.api, container)
        except Exception as error:
            self._changes.rows, self._changes.summary = [], failed(error)
            return
        if container != self._container.value:
            return  # another was chosen meanwhile
        size = decimal_size(written)
        self._changes.caption = f"{counted(len(changes), 'change')} in {container}, {size}"
        self._changes.rows = [[_KINDS[one["Kind"]], one_line(one["Path"])] for one in changes]
        self._changes.summary = good("" if changes else "Nothing was changed in it.")

    def commit(self) -> None:
        """Make the image; does nothing while one is made."""
        if self._desk is not None or not self._container.value:
            return
        message, name = self._message.value.strip(), self._name.value.strip()
        flags = ["-m", message] if message else []
        self._desk = Desk(lambda _id: None)
        self._go.disabled = True
        words = ["commit", *flags, "--", self._container.value, *([name] if name else ())]
        begin(words, self._desk, self._ended, preferences)

    def _ended(self, value: Any, failure: Failure | None) -> None:
        self._desk = None
        self._go.disabled = False
        if failure is not None:
            self._changes.summary = bad(str(failure))
        else:
            self.image_id = str(value.id)
            self._changes.summary = good(self._told(value))
        self.keep()

    def _told(self, image: Any) -> str:
        """Say what was made; the newest step of its history is the new layer."""
        name = self._name.value.strip() or str(image.short_id)
        with closing(engine_client()) as client:
            layer = client.images.get(image.id).history()[0]["Size"]
        return f"Made {name} of {self._container.value}; its new layer has {decimal_size(layer)}."

    def text(self) -> str:
        """Return what was made, or what could be."""
        said = self._changes.summary.get("text", "")
        return one_line(said or self._changes.caption or "Nothing was committed yet.")


def _written(api: Any, container: str) -> int:
    """Return how many bytes a container has written; of this one alone, since it is a walk."""
    response = api._get(api._url("/containers/{0}/json", container), params={"size": 1})
    return int(api._result(response, json=True).get("SizeRw") or 0)
