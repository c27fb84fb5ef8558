"""One request to an interpreter and its reply: output between them, interrupts and the timeout."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

from ..asking import ENDS, front_end, plain
from ..signals import Signals
from ..surface import STDERR, STDOUT
from .channel import Broken
from .errors import TimedOut, error_of
from .inside import codec, frames
from .inside.codec import BadData

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..surface import Sink
    from .interpreter import Interpreter

_STOPS_WITHIN = 3.0
"""What is interrupted for its timeout may take this long to clean up."""
_LONGEST_PROMPT = 500
NOBODY = "nobody can be asked for input here: give the value as a variable, python(code, x=…)"
_Reply = tuple[dict[str, Any], list[memoryview]]


def take(
    interpreter: Interpreter, request: list[Any], surface: Sink, timeout: float | None
) -> _Reply:
    """Send a request and return the fields and blobs of its reply; raises as `Interpreter.run`."""
    signals = Signals()
    with signals.catching(interrupts()):
        return _Turn(interpreter, surface, signals, timeout).take(request)


def interrupts() -> list[int]:
    """Return the person's interrupt, unless it is ignored here, as in a job in the background."""
    return [] if signal.getsignal(signal.SIGINT) is signal.SIG_IGN else [signal.SIGINT]


class _Turn:
    """One request and its reply, with the output between, interrupts and the timeout."""

    def __init__(
        self, interpreter: Interpreter, surface: Sink, signals: Signals, timeout: float | None
    ) -> None:
        self._interpreter = interpreter
        self._surface = surface
        self._signals = signals
        self._timeout = timeout
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._late = False
        self._stopping = False
        self._person = front_end()
        self._asked: tuple[int, float] | None = None  # the question's number, and since when

    def take(self, request: list[Any]) -> _Reply:
        """Send the request and return the reply's fields and blobs."""
        try:
            self._interpreter.send(frames.EXECUTE, request, self._wakes, self._deadline)
            reply = self._reply()
        except BadData as error:
            self._interpreter.close()
            raise Broken(str(error)) from error
        except Broken:
            self._interpreter.close()
            raise
        except KeyboardInterrupt:
            self._interpreter.close()  # in the middle of a message, perhaps
            raise
        finally:
            self._surface.flush()
        if "error" in reply[0] and self._interpreter.interrupted:
            self._check_stopped(reply[0])
        elif self._signals.take() or (self._stopping and not self._late):
            raise KeyboardInterrupt("the code had ended already; its variables are kept")
        return reply

    def _reply(self) -> _Reply:
        serve = self._handlers()
        while True:
            due = self._surface.tick()
            message = self._interpreter.receive(self._wakes, self._next(due))
            self._answer()
            self._woken()  # also between messages: they may come without end
            if message is None:
                continue
            if message.kind == frames.RESULT:
                fields, blobs = codec.unpack(message.body)
                if fields.get("number") == self._interpreter.number:
                    return fields, blobs
                raise Broken("it answered what was not asked")
            if message.kind in serve:
                serve[message.kind](message.body)

    def _handlers(self) -> dict[bytes, Callable[[bytes], None]]:
        def display(body: bytes) -> None:
            self._surface.flush()
            self._interpreter.display(body)

        return {
            frames.OUT: lambda body: self._surface.write(STDOUT, memoryview(body)),
            frames.ERR: lambda body: self._surface.write(STDERR, memoryview(body)),
            frames.SHOW: display,
            frames.ASK: self._ask,
        }

    @property
    def _wakes(self) -> tuple[int, ...]:
        own = () if self._signals.wake is None else (self._signals.wake,)
        asked = self._asked is not None and self._person is not None
        return (*own, self._person.descriptor) if asked and self._person is not None else own

    def _ask(self, body: bytes) -> None:
        """Ask the person, where there is one; one question at a time, whatever is sent."""
        fields, _ = codec.unpack(body)
        number, prompt, hidden = (fields.get(name) for name in ("question", "prompt", "hidden"))
        if not isinstance(number, int) or not isinstance(prompt, str) or self._asked is not None:
            raise Broken("it asks what is no question")
        if self._person is None:
            self._interpreter.answer(number, None, NOBODY)
            return
        self._surface.flush()
        self._person.ask(plain(prompt)[-_LONGEST_PROMPT:], hidden=bool(hidden))
        self._asked = number, time.monotonic()

    def _answer(self) -> None:
        if self._asked is None or self._person is None:
            return
        if (line := self._person.answer()) is None:
            return
        (number, since), self._asked = self._asked, None
        if self._deadline is not None:
            self._deadline += time.monotonic() - since  # the person's time, not the code's
        self._interpreter.answer(number, None if line in ENDS else line)

    def _next(self, due: float | None) -> float | None:
        shown = None if due is None else time.monotonic() + due
        known = [moment for moment in (shown, self._limit) if moment is not None]
        return min(known, default=None)

    @property
    def _limit(self) -> float | None:
        """The deadline, but while a person thinks."""
        return self._deadline if self._asked is None else None

    def _woken(self) -> None:
        """Stop the code when the person or its timeout says so; end it when that is no use."""
        for _ in self._signals.take():
            if self._stopping and not self._late:
                self._interpreter.close()
                raise KeyboardInterrupt("the interpreter was ended: its variables are gone")
            self._stopping = True
            self._interpreter.interrupt()
        if (
            self._asked is None
            and self._deadline is not None
            and time.monotonic() >= self._deadline
        ):
            if self._late:
                self._interpreter.close()
                raise TimedOut(
                    f"the code ran longer than its timeout of {self._timeout:g} s and did not stop:"
                    " its interpreter was ended, and its variables are gone"
                )
            self._late = self._stopping = True
            self._deadline = time.monotonic() + _STOPS_WITHIN
            self._interpreter.interrupt()

    def _check_stopped(self, fields: dict[str, Any]) -> None:
        """Raise what stopped the code; an error of its own is told as ever."""
        if self._late:
            raise TimedOut(
                f"the code ran longer than its timeout of {self._timeout:g} s and was stopped;"
                " its variables are kept"
            )
        if error_of(fields["error"], {}).name == "KeyboardInterrupt":
            raise KeyboardInterrupt(
                "the code was stopped; the interpreter and its variables are kept"
            )
