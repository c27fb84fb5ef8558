"""`Containers`: the containers as they live, with what can be done to them."""

from __future__ import annotations

import os
from contextlib import ExitStack, closing
from threading import Lock, RLock, Thread
from typing import TYPE_CHECKING, Any

from .. import rows
from ..attached import start_exec
from ..failures import Failure, explain
from ..listing import Table
from ..published import machine, of_entry, once
from ..session import Session
from ..units import binary_size, counted
from ..verbs.stats import busy_share, memory_used
from .bundles import Nowhere
from .desk import PROGRAM, Desk, begin, engine_client, failed
from .live import LiveTerminal
from .logs import Logs
from .panel import Panel, preferences, push_button
from .parts import Board, bad, good
from .stats import Watch
from .subjects import ExecSubject

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipywidgets import Widget

_EVERY = 1.5
_DONE = {"start": "started", "stop": "stopped", "rm": "removed"}
_VERBS = {"start": ["start"], "stop": ["stop"], "rm": ["rm", "-f"]}


class Containers(Panel):
    """A row for each container: its state, processor and memory, and buttons.

    It is asked anew while somebody can see it. `everything` shows those that have ended too.
    """

    def __init__(self, *, everything: bool = True) -> None:
        self._everything = everything
        self._board = Board()
        self._board.on_msg(self._hear)
        self._lock = Lock()
        self._looking = Lock()
        self._opening = RLock()
        self._shut: Callable[[], None] = lambda: None
        self._entries: list[dict[str, Any]] = []
        self._watch = Watch()
        super().__init__(self._board)
        try:
            self._look_once()
        except Exception as error:
            if (failure := explain(error, PROGRAM)) is None:
                raise
            raise failure from error
        self._board.presence.feed(self._feed, "containers")

    def _look_once(self) -> None:
        """Look, whether somebody sees it or not: a notebook that nobody watches has something."""
        with self._looking, closing(self._watch):
            self._look()

    def _feed(self) -> None:
        problem = good("")
        while self._board.presence.seen:
            try:
                with self._looking:
                    self._look()
                if self._board.summary == problem:
                    self._board.summary = good("")
            except Exception as error:
                self._board.summary = problem = failed(error)
            self._board.presence.pause(_EVERY)
        with self._looking:
            self._watch.close()

    def _look(self) -> None:
        entries = self._watch.api.containers(all=self._everything)
        running = [entry["Id"] for entry in entries if entry["State"] in {"running", "paused"}]
        samples = {sample["id"]: sample for sample in self._watch.look(running)}
        none = f"There is none: `{PROGRAM} run IMAGE` makes one."
        self._entries = entries
        self._board.caption = counted(len(entries), "container") if entries else none
        self._board.rows = [_row(entry, samples.get(entry["Id"])) for entry in entries]

    def _hear(self, _widget: object, content: Any, _buffers: object) -> None:
        if not isinstance(content, dict) or content.get("kind") != "do":
            return
        action, container = str(content.get("action")), str(content.get("id"))
        name = self._name(container)
        if name is None:
            return
        if action == "logs":
            self._open(Logs(name), f"Close the log of {name}")
        elif action == "shell":
            Thread(target=self._open_shell, args=(container, name), daemon=True).start()
        elif action in _VERBS:
            self._do(action, container, name)

    def _name(self, container: str) -> str | None:
        found = [one for one in self._entries if one["Id"] == container]
        return rows.container_name(found[0]) if found else None

    def _do(self, action: str, container: str, name: str) -> None:
        """Run the verb; the row is busy until it has ended."""

        def ended(_value: object, failure: Failure | None) -> None:
            with self._lock:
                self._board.busy = [one for one in self._board.busy if one != container]
            if failure is None:
                self._look_once()
                self.keep()
            said = good(f"{name} was {_DONE[action]}.") if failure is None else bad(str(failure))
            self._board.summary = said

        with self._lock:
            if container in self._board.busy:
                return
            self._board.busy = [*self._board.busy, container]
        begin([*_VERBS[action], container], Desk(lambda _name: None), ended, preferences)

    def _open_shell(self, container: str, name: str) -> None:
        """Show a terminal with a shell in the container."""
        with ExitStack() as undo:
            try:
                client = engine_client()
                undo.callback(client.close)
                session = Session(Desk(lambda _text: None), lambda: client)
                made = client.api.exec_create(container, ["sh"], stdin=True, tty=True)["Id"]
                connection = start_exec(session, made, tty=True)
                undo.callback(connection.close)
            except Exception as error:
                self._board.summary = failed(error)
                return
            # What is saved of the whole is the board's; a shell comes and goes.
            terminal = LiveTerminal(ExecSubject(session, made, name), lambda _view: Nowhere())
            terminal.begin(undo, connection, None)
        self._open(terminal.view, f"Leave the shell in {name}")

    def _open(self, widget: Widget, label: str) -> None:
        """Show another widget under the board, until it is closed or another is opened."""

        def close() -> None:
            with self._opening:
                self.children = (self._board,)
                self._shut = lambda: None
            widget.close()
            shut.close()

        with self._opening:
            self._shut()
            shut = push_button(label, close)
            self._shut = close
            self.children = (self._board, shut, widget)

    def text(self) -> str:
        """Return the table as it was last seen."""
        return self._table().text()

    def html(self) -> str:
        """Return the table as it was last seen."""
        return self._table().html()

    def _table(self) -> Table[Any]:
        found = [rows.container(entry, whole=False) for entry in self._entries]
        caption = counted(len(found), "container")
        return Table(self._entries, caption, rows.CONTAINER_COLUMNS, found)


def _row(entry: dict[str, Any], sample: dict[str, Any] | None) -> dict[str, Any]:
    row = rows.container(entry, whole=False)
    used = "" if sample is None else binary_size(memory_used(sample.get("memory_stats") or {}))
    here = machine(os.environ.get("DOCKER_HOST", ""))
    return {
        "id": entry["Id"],
        "name": rows.container_name(entry),
        "image": row["Image"],
        "status": row["Status"],
        "ports": [
            {"text": f"{port.outer}->{port.inner}", "link": port.link(here)}
            for port in once(of_entry(entry))
        ],
        "running": row["State"] in {"running", "paused", "restarting"},
        "paused": row["State"] == "paused",
        "cpu": "" if sample is None else f"{busy_share(sample):.1f}%",
        "memory": used,
    }
