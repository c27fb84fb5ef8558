"""A warm Python in a container: one exec, whose standard streams carry our messages."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from ..attached import start_exec
from ..failures import Failure
from . import start
from .channel import Broken, Channel, Message
from .errors import InterpreterLost, error_of, plain
from .inside import codec, frames
from .inside.codec import BadData, Decoder, Encoder, NotData
from .shown import Opaque, show
from .turn import take

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..session import Session
    from ..surface import Sink
    from .channel import Wakes

_STARTS_WITHIN = 60.0
_ENDS_WITHIN = 1.0


class Code(NamedTuple):
    """One piece of code to run: how its lines are called, and what goes in and out."""

    text: str
    called: str
    inputs: Mapping[str, Any]
    outputs: Sequence[str]
    timeout: float | None


class Outcome(NamedTuple):
    """The last expression's value, and the variables that were asked for."""

    value: Any
    outputs: dict[str, Any]


class Interpreter:
    """One Python process in a container; `start` it, `run` code in it, `close` it.

    Life of one: it is started by the first code, runs one piece of code after the other, and ends
    with its stream. `ended` says so afterwards.
    """

    def __init__(self, session: Session, container: str, *, name: str, trusted: bool) -> None:
        self._session = session
        self._container = container
        self._name = name
        self._trusted = trusted
        self._channel: Channel | None = None
        self._exec = ""
        self._number = 0
        self._sources: dict[str, tuple[str, list[str]]] = {}
        self._files: dict[tuple[str, str], str] = {}
        self._asked = threading.Event()
        self.pid = 0
        """Its process number in the container, as it says itself."""
        self.oom_kills = 0

    @property
    def ended(self) -> bool:
        """Whether there is none: not started, or ended."""
        return self._channel is None

    def start(self) -> None:
        """Start it; raises Failure where the image has no Python that can be used."""
        for python in start.PYTHONS:
            if self._begin(python):
                return
        looked = " and ".join(start.PYTHONS)
        raise Failure(
            f"sandbox {self._name} has no Python: {looked} were looked for in its PATH; use an"
            " image with Python 3.6 or later, or `run` what it has"
        )

    def _begin(self, python: str) -> bool:
        """Start one; False when there is no program of this name."""
        command = [python, "-c", start.BOOT]
        self._exec = self._session.api.exec_create(self._container, command, stdin=True)["Id"]
        channel = Channel(start_exec(self._session, self._exec, tty=False))
        deadline = time.monotonic() + _STARTS_WITHIN
        try:
            with suppress(Broken):  # the reason is in what it said before it ended
                channel.send_raw(start.modules(), (), deadline)
            message = channel.receive((), deadline)
            if message is None:
                raise Broken(f"it was not there after {_STARTS_WITHIN:g} s")
            self._greeted(message)
        except Broken as broken:
            # Engines tell what they cannot execute on the stream, and the exit code at its end.
            channel.drain(time.monotonic() + _ENDS_WITHIN)
            channel.close()
            return self._missing(python, broken, channel.notes)
        except BaseException:
            channel.close()
            raise
        self._channel = channel
        return True

    def _greeted(self, message: Message) -> None:
        try:
            hello, _ = codec.unpack(message.body)
            self.pid, self.oom_kills = int(hello["pid"]), int(hello["oom"])
        except (BadData, KeyError, TypeError, ValueError) as error:
            raise Broken("what it sent is no message of ours") from error

    def _missing(self, python: str, broken: Broken, notes: bytes) -> bool:
        code = self._session.api.exec_inspect(self._exec)["ExitCode"]
        if code in (126, 127):
            return False
        if code == start.TOO_OLD:
            raise Failure(
                f"sandbox {self._name}: its {python} is older than 3.6; use an image with a later"
                " one"
            )
        lines = notes.decode(errors="replace").strip().splitlines()
        said = f": {lines[-1]}" if lines else ""
        raise Failure(f"sandbox {self._name}: its {python} did not start, {broken}{said}")

    def run(self, code: Code, surface: Sink) -> Outcome:
        """Run code, show what it prints, and return what it leaves.

        Raises PythonError, TimedOut, KeyboardInterrupt when this was interrupted, Failure for
        values that cannot pass, and Broken when the interpreter has ended meanwhile.
        """
        request = self._request(code)
        self._asked.clear()
        return self._outcome(code, *take(self, request, surface, code.timeout))

    def interrupt(self) -> None:
        """Stop the code that runs; also for another thread than the one that waits for it."""
        self._asked.set()
        if (channel := self._channel) is not None:
            packet = codec.pack({"number": self._number}, [])
            with suppress(Broken):  # it has ended: then there is nothing to stop
                channel.send_now(frames.INTERRUPT, packet)

    def _request(self, code: Code) -> list[Any]:
        self._number += 1
        # The same code has one name: what is called in a loop is kept once, here and there.
        file = self._files.setdefault((code.called, code.text), f"<sandbox {self._number}>")
        self._sources.setdefault(file, (code.called, code.text.splitlines()))
        encoder = Encoder(pickles=True)
        inputs = {}
        for name, value in code.inputs.items():
            try:
                inputs[name] = encoder.encode(value)
            except NotData as error:
                raise Failure(f"{name} cannot be sent to the sandbox: {error}") from error
        fields = {
            "number": self._number,
            "code": code.text,
            "file": file,
            "inputs": inputs,
            "outputs": list(code.outputs),
            "pickles": self._trusted,
        }
        try:
            packet = codec.pack(fields, encoder.blobs)
        except NotData as error:
            raise Failure(f"the inputs are too large: {error}") from error
        if (size := sum(len(piece) for piece in packet)) > frames.LARGEST:
            raise Failure(
                f"the inputs have {size >> 20} MB, more than the {frames.LARGEST >> 20} MB that can"
                " be sent at once: put() them as a file"
            )
        return packet

    def send(self, kind: bytes, packet: list[Any], wakes: Wakes, deadline: float | None) -> None:
        """Send a message; raises Broken."""
        if self._channel is None:
            raise Broken("it has ended")
        self._channel.send(kind, packet, wakes, deadline)

    def receive(self, wakes: Wakes, deadline: float | None) -> Message | None:
        """Return the next message, as the channel does."""
        if self._channel is None:
            raise Broken("it has ended")
        return self._channel.receive(wakes, deadline)

    def answer(self, question: int, line: str | None, why: str = "") -> None:
        """Give the program the line that it waits for; None is the end, for a reason perhaps."""
        if self._channel is None:
            raise Broken("it has ended")
        packet = codec.pack({"question": question, "line": line, "why": why}, [])
        self._channel.send_now(frames.ANSWER, packet)

    @property
    def number(self) -> int:
        """The number of the code that runs, or ran last."""
        return self._number

    @property
    def interrupted(self) -> bool:
        """Whether another thread has asked for the code's end."""
        return self._asked.is_set()

    def display(self, body: bytes) -> None:
        """Show what the code displays; raises Broken for what is nothing to show."""
        try:
            description, blobs = codec.unpack(body)
            show(self._value(description, blobs))
        except BadData as error:
            raise Broken(f"what it sent to be shown is malformed: {error}") from error

    def _value(self, description: Any, blobs: list[memoryview]) -> Any:
        if not isinstance(description, dict):
            raise BadData("it has no description")
        if "value" not in description:
            return Opaque.read(description.get("opaque"), blobs, trusted=self._trusted)
        decoder = Decoder(blobs, self._trusted)
        try:
            return decoder.decode(description["value"])
        except ImportError as error:
            return Opaque.missing(error)
        except NotData as error:
            return Opaque.unopened(str(error))

    def _outcome(self, code: Code, fields: dict[str, Any], blobs: list[memoryview]) -> Outcome:
        if "error" in fields:
            raise error_of(fields["error"], self._sources)
        if "large" in fields:
            raise Failure(
                f"the result is too large to be had at once, {plain(fields['large'], 200)}; or have"
                " the code write it to a file, and get() that"
            )
        if "refused" in fields:
            raise self._refused(code, fields)
        if isinstance(missing := fields.get("missing"), list):
            raise Failure(
                f"the sandbox has no variable {', '.join(map(repr, missing))} to bring out"
            )
        try:
            value = self._value(fields.get("result"), blobs)
            described = fields.get("outputs") or {}
            outputs = {name: self._value(described.get(name), blobs) for name in code.outputs}
        except BadData as error:
            self.close()
            raise InterpreterLost(
                f"sandbox {self._name} sent a result that is none: {error}; its interpreter was"
                " ended"
            ) from error
        for name, output in outputs.items():
            if isinstance(output, Opaque):
                raise Failure(f"{name} cannot be brought out: {output.why}")
        return Outcome(value, outputs)

    def _refused(self, code: Code, fields: dict[str, Any]) -> Failure:
        name, why = plain(fields["refused"], 200), plain(fields.get("why"), 500)
        kind = codec.type_name(code.inputs[name]) if name in code.inputs else "value"
        if "No module named" in why:
            cure = "use an image that has it, or send plain values (.tolist(), .to_dict())"
            return Failure(f"{name} is a {kind}, and the sandbox cannot read it: {why}; {cure}")
        return Failure(f"{name}, a {kind}, cannot be read in the sandbox: {why}")

    def exit_code(self) -> int | None:
        """Return how the process ended, None while it runs or when nobody knows any more."""
        from docker.errors import APIError

        try:
            code = self._session.api.exec_inspect(self._exec)["ExitCode"]
        except APIError:
            return None  # its container has gone
        return None if code is None else int(code)

    def close(self) -> None:
        """End it: at the end of its input it leaves."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
