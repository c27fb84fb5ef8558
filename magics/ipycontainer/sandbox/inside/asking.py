"""What the program asks for: the lines of `input`, `getpass` and `sys.stdin` are the notebook's."""

import builtins
import getpass
import io
import queue
import sys
import threading
from typing import Any, Callable

from . import codec, frames

LONGEST = 10000


class Questions:
    """One question at a time; the thread that reads brings the answers."""

    def __init__(self, send: "Callable[..., None]", flush: "Callable[[], None]") -> None:
        self._send, self._flush = send, flush
        self._lock = threading.Lock()
        self._answers = queue.Queue()  # type: queue.Queue[dict[str, Any]]
        self._number = 0
        builtins.input = self.input
        getpass.getpass = self.getpass
        sys.stdin = Lines(self)

    def input(self, prompt: object = "") -> str:
        """Do what the built-in `input` does."""
        return self.ask(str(prompt), False)

    def getpass(self, prompt: str = "Password: ", stream: Any = None) -> str:
        """Do what `getpass.getpass` does."""
        return self.ask(str(prompt), True)

    def ask(self, prompt: str, hidden: bool) -> str:
        """Return a line without its end; raises EOFError where there is none to come."""
        with self._lock:
            self._number += 1
            question = {"question": self._number, "prompt": prompt[-LONGEST:], "hidden": hidden}
            self._flush()
            self._send(frames.ASK, *codec.pack(question, []))
            while True:
                answer = self._answers.get()
                if answer["question"] == self._number:
                    break
        if answer["line"] is None:
            raise EOFError(answer["why"])
        return str(answer["line"])

    def answer(self, body: bytes) -> None:
        """Take an answer; called by the thread that reads."""
        self._answers.put(codec.unpack(body)[0])


class Lines(io.TextIOBase):
    """The program's `sys.stdin`: each line is a question without words."""

    encoding = "utf-8"

    def __init__(self, questions: Questions) -> None:
        super().__init__()
        self._questions = questions

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readline(self, size: "int | None" = -1) -> str:  # type: ignore[override] # of bytes and text
        """Return a line with its end, nothing at the end; `size` is for what has none."""
        try:
            return self._questions.ask("", False) + "\n"
        except EOFError as error:
            if error.args[0]:
                raise
            return ""

    def read(self, size: "int | None" = -1) -> str:
        """Return all lines until the end."""
        return "".join(iter(self.readline, ""))
