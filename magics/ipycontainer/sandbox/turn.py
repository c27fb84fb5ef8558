"""One request to an interpreter and its reply: output between them, interrupts and the timeout."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

from ..signals import Signals
from ..surface import STDERR, STDOUT
from .channel import Broken
from .errors import TimedOut, error_of
from .inside import codec, frames
from .inside.codec import BadData

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..surface import Surface
    from .interpreter import Interpreter

_STOPS_WITHIN = 3.0
"""What is interrupted for its timeout may take this long to clean up."""
_Reply = tuple[dict[str, Any], list[memoryview]]


def take(
    interpreter: Interpreter, request: list[Any], surface: Surface, timeout: float | None
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
        self, interpreter: Interpreter, surface: Surface, signals: Signals, timeout: float | None
    ) -> None:
        self._interpreter = interpreter
        self._surface = surface
        self._signals = signals
        self._timeout = timeout
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._late = False
        self._stopping = False

    def take(self, request: list[Any]) -> _Reply:
        """Send the request and return the reply's fields and blobs."""
        try:
            self._interpreter.send(frames.EXECUTE, request, self._signals.wake, self._deadline)
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
            message = self._interpreter.receive(self._signals.wake, self._next(due))
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
        }

    def _next(self, due: float | None) -> float | None:
        shown = None if due is None else time.monotonic() + due
        if shown is None or self._deadline is None:
            return self._deadline if shown is None else shown
        return min(shown, self._deadline)

    def _woken(self) -> None:
        """Stop the code when the person or its timeout says so; end it when that is no use."""
        for _ in self._signals.take():
            if self._stopping and not self._late:
                self._interpreter.close()
                raise KeyboardInterrupt("the interpreter was ended: its variables are gone")
            self._stopping = True
            self._interpreter.interrupt()
        if self._deadline is not None and time.monotonic() >= self._deadline:
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
