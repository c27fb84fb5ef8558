"""Asking the person: a program in a container that waits for input makes the cell ask.

The question goes out as Jupyter's `input_request`, over the kernel's stdin channel, and is waited
for by the loop that relays: output goes on to be shown, an interrupt is heard, and a question that
is over is given up. ipykernel's own `raw_input` would do nothing else until there is an answer.
"""

from __future__ import annotations

import re
import sys
import threading
from typing import TYPE_CHECKING, Any, Protocol

from .listening import Question
from .scripted import END_OF_INPUT
from .surface import STDOUT

if TYPE_CHECKING:
    from .listening import Listening

ENDS = ("\x04", "^D")
"""Answers that end the input: a box cannot hold a Ctrl-D, though jupyter-console sends one."""
HOW_TO_END = "(^D ends the input) "
# Sequences that move or colour, and titles (ECMA-48); a prompt is one line of text.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])")


def plain(line: str) -> str:
    """Return the text of an unfinished line as a terminal would show it."""
    text = _ESCAPES.sub("", line).rpartition("\r")[2]
    return "".join(c for c in text if c.isprintable() or c == "\t")


class FrontEnd:
    """The box under the cell. One question at a time; `answer` when `descriptor` is readable."""

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel
        self._asked: dict[str, str] = {}
        """The prompts of the questions of this cell, by the ids of their messages."""

    @property
    def descriptor(self) -> int:
        """Readable when something may have come, after any other use of the channel."""
        import zmq

        return int(self._kernel.stdin_socket.getsockopt(zmq.FD))

    def ask(self, prompt: str, *, hidden: bool) -> None:
        """Show the question; an earlier one for the same is left where it is."""
        if self._asked and list(self._asked.values())[-1] == prompt and not hidden:
            return
        sys.stdout.flush()
        sys.stderr.flush()
        while self._receive() is not None:
            pass  # what was typed into the box of an earlier cell
        kernel = self._kernel
        sent = kernel.session.send(
            kernel.stdin_socket,
            "input_request",
            {"prompt": prompt, "password": hidden},
            kernel.get_parent("shell"),
            ident=kernel._parent_ident["shell"],
        )
        self._asked[sent["header"]["msg_id"]] = prompt

    def answer(self) -> str | None:
        """Return what was typed, None when nothing has come."""
        while (reply := self._receive()) is not None:
            known = reply["parent_header"].get("msg_id")
            # Not every front end says which question it answers.
            if self._asked and (not known or known in self._asked):
                self._asked.clear()
                return str(reply["content"].get("value", ""))
        return None

    def _receive(self) -> dict[str, Any] | None:
        import zmq

        socket = self._kernel.stdin_socket
        # The descriptor tells of news only; whether there is a message must be asked each time.
        while socket.getsockopt(zmq.EVENTS) & zmq.POLLIN:
            _, reply = self._kernel.session.recv(socket)
            if reply is not None and reply["msg_type"] == "input_reply":
                return dict(reply)
        return None


def front_end() -> FrontEnd | None:
    """Return the box of the cell that runs, None where no cell does or nobody can be asked."""
    if "IPython" not in sys.modules or threading.current_thread() is not threading.main_thread():
        return None
    from IPython.core.getipython import get_ipython

    kernel = getattr(get_ipython(), "kernel", None)
    return FrontEnd(kernel) if getattr(kernel, "_allow_stdin", False) else None


class Asked(Protocol):
    """The cell whose process asks: `cell.Cell`, or that of a kernel."""

    def write(self, stream: int, data: memoryview) -> None:
        """Show bytes of a stream."""

    def flush(self) -> None:
        """Show all that came."""

    def note(self, text: str) -> None:
        """Print a line about what goes on."""

    def prompt(self, line: str) -> tuple[str, str]:
        """Return what to ask with, and what of it was held back: the box shows it instead."""
        ...

    def drop_echo(self, data: bytes) -> None:
        """Leave out what a terminal echoes of an answer."""

    def refuse(self, question: Question) -> None:
        """Have what waits for input ended: nobody can be asked."""


class Asking:
    """The input of a process from a person, a line at each question; or from nobody."""

    detached = False

    def __init__(
        self, cell: Asked, listening: Listening, front_end: FrontEnd | None, *, tty: bool
    ) -> None:
        self._cell = cell
        self._listening = listening
        self._front_end = front_end
        self._tty = tty
        self._told: list[Question | None] = []
        self._wanted = False
        self._explained = self._hidden = False
        self._unanswered = ""
        """What the box shows and the output does not, until there is an answer."""

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Readable when there may be a question, or an answer."""
        asked = self._listening.descriptor
        found = () if asked is None else (asked,)
        return found if self._front_end is None else (*found, self._front_end.descriptor)

    @property
    def ready(self) -> bool:
        """Whether to read though no descriptor says so."""
        return self._listening.early or bool(self._told)

    def read(self) -> bytes | None:
        """Put questions and return answers; None while there is none, nothing at the end.

        A question is put by the read after the one that learns of it: what the process has written
        before comes by another connection, which is read in between.
        """
        told, self._told = self._told, []
        if self._listening.descriptor is not None:
            self._told = self._listening.take()
        if told:
            self._wanted = told[-1] is not None
            if told[-1] is not None:
                self._put(told[-1])
            else:
                self._give_up()
        if self._told:  # it may be that nobody waits for an answer any more
            return None
        answer = self._front_end.answer() if self._front_end is not None else None
        if answer is None:
            return None
        if not self._wanted:
            self._cell.note("nobody waits for input any more: what you typed was not sent")
            return None
        self._wanted, self._unanswered = False, ""
        return self._typed(answer)

    def _give_up(self) -> None:
        """Show what was asked in vain with the rest of the output: a box is nothing that stays."""
        self._cell.write(STDOUT, memoryview(self._unanswered.encode()))
        self._unanswered = ""

    def _put(self, question: Question) -> None:
        if self._front_end is None:
            self._cell.refuse(question)
            return
        self._give_up()
        prompt, self._unanswered = self._cell.prompt(question.line)
        prompt = plain(prompt)
        if not (prompt or question.line or self._explained):
            prompt = HOW_TO_END
            self._explained = True
        self._hidden = not question.echo
        self._front_end.ask(prompt, hidden=self._hidden)

    def _typed(self, answer: str) -> bytes:
        """Return what the keys would have sent; a terminal shows it, as the box does already."""
        if answer in ENDS:
            return END_OF_INPUT if self._tty else b""
        data = answer.encode("utf-8", "surrogateescape")
        if not self._tty:
            return data + b"\n"
        if not self._hidden:
            self._cell.drop_echo(data + b"\r\n")
        return data + b"\r"

    def close(self) -> None:
        """Let the engine look no more, and leave a question that nobody has answered."""
        self._give_up()
        self._cell.flush()
        self._listening.close()
