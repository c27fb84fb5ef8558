"""A process in a container with its streams in a cell or a terminal, from attach to exit code."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from .endings import Ending
from .exits import Exit
from .failures import Failure, Interrupted
from .inputs import nobody_to_ask, opened_input
from .streams import Connection, Relay

if TYPE_CHECKING:
    from .listening import Question
    from .session import Session

_UPGRADE = {"Connection": "Upgrade", "Upgrade": "tcp"}
FAREWELL = b"\x03\x04"
"""Ctrl-C and Ctrl-D, which end what is left alone in a terminal: the API can end no exec."""
# An interrupted cell should not hang for the ten seconds that `stop` gives a service.
INTERRUPT_GRACE = 3
# What waits for input does nothing else that it would have to finish.
REFUSAL_GRACE = 1


class ExecControls:
    """What a person can do to an exec: the Engine API can resize it, but send it no signal."""

    def __init__(self, session: Session, exec_id: str, container: str) -> None:
        self._api = session.api
        self._exec = exec_id
        self._container = container
        self.refused = False
        self.left = (
            f"the command goes on in container {container}; "
            f"`{session.program} stop {container}` ends both"
        )

    def resize(self, width: int, height: int) -> None:
        """Tell the exec's terminal its size."""
        _quietly(lambda: self._api.exec_resize(self._exec, height, width))

    def signal(self, number: int) -> None:
        """Do nothing: there is no such operation."""

    def interrupt(self) -> None:
        """Leave it running, and say so."""
        raise Interrupted(self.left)

    def refuse(self, question: Question) -> None:
        """End its input, by leaving, and say so."""
        self.refused = True
        raise nobody_to_ask(question, f"container {self._container}")


def _quietly(call: Callable[[], object]) -> None:
    from docker.errors import APIError

    try:
        call()
    except APIError as error:
        if error.status_code not in {404, 409, 500}:  # ended meanwhile; Docker says 500 of a resize
            raise


def attach(session: Session, container: str, **wanted: Any) -> Connection:
    """Hijack a connection to the container's streams; `wanted` are the operation's parameters."""
    api = session.api
    params = {name: value for name, value in wanted.items() if value is not None}
    response = api._post(
        api._url("/containers/{0}/attach", container),
        params={"stream": 1, **params},
        headers=_UPGRADE,
        stream=True,
    )
    api._raise_for_status(response)
    return Connection(response)


def start_exec(session: Session, exec_id: str, *, tty: bool) -> Connection:
    """Start an exec and hijack the connection to its streams."""
    api = session.api
    response = api._post_json(
        api._url("/exec/{0}/start", exec_id),
        data={"Tty": tty, "Detach": False},
        headers=_UPGRADE,
        stream=True,
    )
    api._raise_for_status(response)
    return Connection(response)


class Attended:
    """One container whose streams are here: started, relayed, and its exit told.

    With `stops` an interrupt stops it: this cell started it. Without, it is left running.
    """

    def __init__(
        self,
        session: Session,
        container: str,
        *,
        name: str,
        tty: bool,
        removed: bool,
        stops: bool,
        grace: int | None,
    ) -> None:
        self._session = session
        self._container = container
        self._name = name
        self._tty = tty
        self._removed = removed
        self._stops = stops
        self._grace = INTERRUPT_GRACE if grace is None else grace
        self._stopping = 0
        self._refused: Failure | None = None
        self.stopped = False
        """Whether a person has asked for its end, by `stop`."""

    def run(
        self,
        *,
        stdin: bool,
        start: Callable[[], object] | None,
        proxy: bool = True,
        detach_keys: str | None = None,
        streams: tuple[bool, bool] = (True, True),
    ) -> Ending | None:
        """Attach, start, relay, and return how it ended; None when it was left running."""
        session, surface = self._session, self._session.surface
        if stdin and self._tty and surface.shows_terminals:
            self._show(start, detach_keys)
            return None
        with ExitStack() as undo:
            source = None
            if stdin:
                target = f"containers/{self._container}"
                source = undo.enter_context(opened_input(session, target, tty=self._tty))
            undo.enter_context(surface.guard(self, tty=self._tty, proxy=proxy))
            connection, exit_ = self.open(
                undo, start=start, stdin=stdin, detach_keys=detach_keys, streams=streams
            )
            relay = Relay(connection, surface, source, tty=self._tty, beside=exit_)
            undo.callback(relay.close)
            undo.callback(surface.flush)
            relay.run()
            if source is not None and source.detached:
                return None
            ending = exit_.ending(relay)
        if self._refused is not None:
            raise self._refused
        if self._stopping:
            raise Interrupted(f"container {self._name} was stopped (exit code {ending.code})")
        return ending

    def open(
        self,
        undo: ExitStack,
        *,
        start: Callable[[], object] | None,
        stdin: bool = True,
        detach_keys: str | None = None,
        streams: tuple[bool, bool] = (True, True),
        logs: bool = False,
    ) -> tuple[Connection, Exit]:
        """Attach (`logs`: from the beginning), ask for its end, and start it; `undo` lets go."""
        connection = attach(
            self._session,
            self._container,
            stdin=int(stdin),
            stdout=int(streams[0]),
            stderr=int(streams[1]),
            logs=int(logs) or None,
            detachKeys=detach_keys,
        )
        undo.callback(connection.close)
        condition = "removed" if self._removed else _condition(start)
        exit_ = Exit(self._session, self._container, condition)
        undo.callback(exit_.close)
        if start is not None:
            start()
        return connection, exit_

    def resize(self, width: int, height: int) -> None:
        """Tell the container's terminal its size; one that has ended needs none."""
        _quietly(lambda: self._session.api.resize(self._container, height, width))

    def signal(self, number: int) -> None:
        """Pass a signal on; one that has ended needs none."""
        _quietly(lambda: self._session.api.kill(self._container, number))

    def interrupt(self) -> None:
        """Stop the container the first time, kill it the second, give up the third."""
        if not self._stops:
            raise Interrupted(
                f"container {self._name} goes on; "
                f"`{self._session.program} stop {self._name}` ends it"
            )
        self._stopping += 1
        if self._stopping > 2:
            raise Interrupted(f"container {self._name} may still run")
        if self._stopping == 1:
            self._session.surface.note(
                f"Interrupted: stopping container {self._name} "
                f"(it is killed after {self._grace} s; interrupt again to kill it now)"
            )
        # In a thread: what the container says while it ends is still relayed.
        threading.Thread(target=self._end, args=(self._stopping > 1,), daemon=True).start()

    def refuse(self, question: Question) -> None:
        """Stop the container if it is this cell's; else leave it, and fail."""
        refused = nobody_to_ask(question, f"container {self._name}")
        if not self._stops:
            raise refused
        if self._refused is None:
            self._refused = refused
            self._grace = min(self._grace, REFUSAL_GRACE)
            threading.Thread(target=self._end, args=(False,), daemon=True).start()

    def _show(self, start: Callable[[], object] | None, detach_keys: str | None) -> None:
        """Have a terminal in the cell, which lives on when the cell has ended."""
        from .widgets.subjects import ContainerSubject, show

        with ExitStack() as undo:
            opened = self.open(undo, start=start, detach_keys=detach_keys, logs=start is None)
            subject = ContainerSubject(self._session, self, self._container, self._name)
            show(subject, undo, *opened)

    def stop(self) -> None:
        """Stop it as an interrupted cell does."""
        self.stopped = True
        self._end(kill=False)

    def _end(self, kill: bool) -> None:
        api = self._session.api
        if kill:
            _quietly(lambda: api.kill(self._container))
        else:
            _quietly(lambda: api.stop(self._container, timeout=self._grace))


def _condition(start: object) -> str:
    """A container that already runs may end before `wait` is asked; then there is no next exit."""
    return "next-exit" if start is not None else "not-running"
