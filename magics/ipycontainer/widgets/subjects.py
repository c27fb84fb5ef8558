"""What a terminal in the cell is of, and how it is shown."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from ..attached import FAREWELL, ExecControls
from ..endings import check_ending
from ..failures import ContainerExit, Failure

if TYPE_CHECKING:
    from ..attached import Attended
    from ..exits import Exit
    from ..session import Session
    from ..streams import Connection, Relay
    from .live import Subject


class ContainerSubject:
    """A container's own process, by the `Attended` that has started it."""

    farewell = b""

    def __init__(self, session: Session, attended: Attended, container: str, name: str) -> None:
        self._session, self._attended, self._container = session, attended, container
        self._name = name
        self.title = f"container {name}"
        self.actions = ["interrupt", "detach", "attach", "stop"]
        self.left = f"detached; the container goes on, `{session.program} stop {name}` ends it"
        self.resize = attended.resize
        self.stop = attended.stop

    def attach(self, undo: ExitStack) -> tuple[Connection, Exit]:
        """Attach to what runs; raises `Failure` when it has ended meanwhile."""
        try:
            if not self._session.api.inspect_container(self._container)["State"]["Running"]:
                raise Failure("has ended while nobody was attached")
            return self._attended.open(undo, start=None, logs=True)
        except Exception as error:
            raise self._session.explained(error) from error

    def told(self, relay: Relay, exit_: Exit | None) -> str:
        """Wait for the container's end and tell how it was."""
        assert exit_ is not None
        ending = exit_.ending(relay)
        if self._attended.stopped:
            return f"was stopped (exit code {ending.code})"
        if not (ending.code or ending.fault):
            return "exited with code 0"
        try:
            check_ending(self._session, self._container, ending, name=self._name, flags={})
        except ContainerExit as error:
            return str(error).removeprefix(f"{self.title} ")
        return f"exited with code {ending.code}"


class ExecSubject:
    """A command in a container that runs: it can be neither stopped nor attached to again."""

    farewell = FAREWELL

    def __init__(self, session: Session, exec_id: str, container: str) -> None:
        self._session, self._exec = session, exec_id
        controls = ExecControls(session, exec_id, container)
        self.title = f"command in {container}"
        self.actions = ["interrupt", "detach"]
        self.left = f"detached; {controls.left}"
        self.resize = controls.resize

    def stop(self) -> None:
        """Do nothing: the Engine API cannot end an exec."""

    def attach(self, undo: ExitStack) -> tuple[Connection, Exit | None]:
        """Refuse: an exec's streams can be had once."""
        raise Failure(self.left)

    def told(self, _relay: Relay, _exit: Exit | None) -> str:
        """Tell how it has ended."""
        ended = self._session.api.exec_inspect(self._exec)
        signal = (ended.get("Fault") or {}).get("Signal")
        if signal:
            return f"was killed by signal {signal}"
        return f"exited with code {ended['ExitCode']}"


def show(subject: Subject, undo: ExitStack, connection: Connection, exit_: Exit | None) -> None:
    """Show a terminal in the cell that runs; `undo` is let go when it ends."""
    from .bundles import Place
    from .live import LiveTerminal

    LiveTerminal(subject, lambda view: Place(view.model_id, view.send)).begin(
        undo, connection, exit_
    )
