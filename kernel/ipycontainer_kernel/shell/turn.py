"""One cell in the shell: its streams, its questions, its interrupts, until it says its end."""

from __future__ import annotations

import selectors
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, NamedTuple

from ipycontainer.asking import Asking
from ipycontainer.sandbox.turn import interrupts
from ipycontainer.signals import Signals
from ipycontainer_kernel.shell import script
from ipycontainer_kernel.shell.control import Mark, word

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipycontainer.asking import FrontEnd
    from ipycontainer_kernel.shell.output import CellOutput
    from ipycontainer_kernel.shell.shell import Shell

_LISTENS_AFTER: Final = 0.05
"""Seconds until the engine is asked to tell of questions: most cells have ended by then."""
_NUDGED_AFTER: Final = 0.1
_MOST_NUDGES: Final = 50
"""Times that a shell prompts and does not tell its end, until it is given up."""
_KILLED: Final = 3
_MARKED_WITHIN: Final = 10.0
_READ = selectors.EVENT_READ


class Cell(NamedTuple):
    """A cell to run: its code, where it is shown, who is asked, what displays a file."""

    code: str
    output: CellOutput
    front_end: FrontEnd | None
    display: Callable[[str, bytes, bool], object]


class Outcome(NamedTuple):
    """How a cell ended."""

    status: int
    interrupts: int = 0
    died: bool = False
    """Whether the shell has ended with it; another one is there now."""
    kept: bool = True
    """Whether that one has the state of the old one, as far as a shell can tell it."""


class Turn:
    """The loop of one cell; made by `Shell`, and used once."""

    def __init__(self, shell: Shell, cell: Cell) -> None:
        self._shell = shell
        self._cell = cell
        self._words = script.Words(word(), word())
        self._signals = Signals()
        self._began = time.monotonic()
        self._nudge: float | None = None
        self._nudges = 0
        self._source: Asking | None = None
        self._interrupts = 0
        self._outcome: Outcome | None = None
        self._state: tuple[str, bytes] | None = None
        self._showing = ""

    def take(self) -> Outcome:
        """Run the cell to its end; raises Broken when the container has gone."""
        shell, output = self._shell, self._cell.output
        text = script.cell(self._cell.code, self._words, shell.status, shell.streams)
        with ExitStack() as undo:
            undo.enter_context(self._signals.catching(interrupts()))
            undo.callback(self._drop_source)
            shell.control.expect(self._words.nonce)
            if shell.tells and self._cell.front_end is not None:
                output.holds()
            shell.stage.expect(self._words.mark, output.write)
            shell.control.send(text)
            while self._outcome is None:
                self._step()
            self._drop_source()
            self._drain()
            output.flush()
        return self._outcome

    def _step(self) -> None:
        """Wait for something, and do what it asks for."""
        shell, output = self._shell, self._cell.output
        ready = self._wait(self._due(output.tick()))
        if self._signals.take():
            self._interrupt()
        if ready.get(shell.stage.descriptor, 0) & selectors.EVENT_WRITE:
            shell.stage.flush()
        if shell.stage.descriptor in ready or shell.stage.pending:
            shell.stage.read(output.write)
        if self._source is not None and (
            self._source.ready or ready.keys() & set(self._source.descriptors)
        ):
            self._answer()
        if shell.control.descriptor in ready or shell.control.pending:
            shell.control.read()
        for mark in shell.control.marks():
            self._hear(mark)
        self._look_after()

    def _due(self, shown: float | None) -> float | None:
        now = time.monotonic()
        due = [moment - now for moment in (self._nudge, self._listens_at) if moment is not None]
        known = [max(0.0, seconds) for seconds in (*due, shown) if seconds is not None]
        return min(known, default=None)

    @property
    def _listens_at(self) -> float | None:
        """When to begin to listen for questions; None when that is done or of no use."""
        wanted = self._source is None and self._shell.tells and not self._shell.stage.ended
        return self._began + _LISTENS_AFTER if wanted else None

    def _wait(self, seconds: float | None) -> dict[int, int]:
        shell = self._shell
        with selectors.PollSelector() as selector:
            selector.register(shell.control.descriptor, _READ)
            selector.register(shell.stage.descriptor, shell.stage.events)
            if self._signals.wake is not None:
                selector.register(self._signals.wake, _READ)
            if self._source is not None and not shell.stage.sending:
                for descriptor in self._source.descriptors:
                    selector.register(descriptor, _READ)
            told = self._source is not None and self._source.ready
            pending = told or shell.stage.pending or shell.control.pending
            return {key.fd: mask for key, mask in selector.select(0 if pending else seconds)}

    def _look_after(self) -> None:
        """Begin to listen, and ask a shell for its end that has forgotten what it was told."""
        now = time.monotonic()
        begins = self._listens_at
        if self._outcome is None and begins is not None and now >= begins:
            self._listen()
        if self._shell.control.stirred and self._nudge is None:
            # It prompts. dash forgets what it has read ahead when something interrupts it.
            self._nudge = now + _NUDGED_AFTER
        self._shell.control.stirred = False
        if self._nudge is not None and now >= self._nudge:
            self._nudge = None
            self._nudges += 1
            if self._nudges == _MOST_NUDGES:
                # It is under `set -n`, say, or without what ours are made of.
                self._cell.output.note("The shell reads what it is told and does none of it")
                self._shell.signal(_KILLED)
            self._shell.control.send(script.end(self._words.nonce))

    def _listen(self) -> None:
        shell, cell = self._shell, self._cell
        listening = shell.stage.listening()
        self._source = Asking(cell.output, listening, cell.front_end, tty=False)

    def _answer(self) -> None:
        assert self._source is not None
        data = self._source.read()
        if self._cell.output.refused is not None and not self._interrupts:
            self._interrupt()
        if data is None:
            return
        self._shell.stage.type(data)
        if not data:
            self._drop_source()

    def _drop_source(self) -> None:
        if self._source is not None:
            source, self._source = self._source, None
            source.close()

    def _interrupt(self) -> None:
        """End the foreground command: by SIGINT, then SIGKILL, then with the shell itself."""
        self._interrupts += 1
        if self._interrupts == 2:
            self._cell.output.note("Interrupted again: what the shell runs is killed")
        elif self._interrupts > 2:
            self._cell.output.note("Interrupted again: the shell itself is killed")
        found = self._shell.signal(self._interrupts)
        if self._interrupts == 2 and not found:
            self._cell.output.note("It runs nothing, so that the shell itself is killed")
            self._shell.signal(_KILLED)
        self._shell.control.send(script.end(self._words.nonce))

    def _hear(self, mark: Mark) -> None:
        if mark.kind == "show":
            self._showing = mark.value
        elif mark.kind == "shown":
            self._show(mark)
        elif mark.kind == "state":
            self._state = (mark.value, b"")
        elif mark.kind == "stated" and self._state is not None:
            self._state = None if mark.cut else (self._state[0], mark.body)
        elif mark.kind == "end" and self._outcome is None and mark.number is not None:
            self._outcome = Outcome(mark.number, self._interrupts)
        elif mark.kind == "dead" and self._outcome is None:
            status = 255 if mark.number is None else mark.number
            self._shell.renew(self._state)
            kept = self._state is not None
            self._outcome = Outcome(status, self._interrupts, died=True, kept=kept)

    def _show(self, mark: Mark) -> None:
        """Display a file where the cell's output is now, which comes by another way."""
        stage, output = self._shell.stage, self._cell.output
        stage.read_to_mark(self._write, _MARKED_WITHIN)
        output.flush()
        self._cell.display(self._showing, mark.body, mark.cut)
        stage.go_on(output.write)

    def _drain(self) -> None:
        """Show what the cell wrote before its end, which may still be on its way."""
        shell, output = self._shell, self._cell.output
        last = word()
        shell.stage.expect(last, output.write)
        shell.control.send(script.marking(last, shell.streams))
        shell.stage.read_to_mark(self._write, _MARKED_WITHIN)

    def _write(self, stream: int, data: memoryview) -> None:
        """Take output, and show what is due: it may be of something that writes on and on."""
        self._cell.output.write(stream, data)
        self._cell.output.tick()
