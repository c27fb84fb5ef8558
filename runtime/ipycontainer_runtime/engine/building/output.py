"""What a build tells its client: the classic builder's lines, or one JSON object a change of step.

Stages run side by side. The classic form tells steps in the Dockerfile's order, so what a later
stage says meanwhile is held back, in a bounded piece of memory and then in a file without a name.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from ipycontainer_runtime.build.source import Span, excerpt_of

Message = dict[str, Any]
Say = Callable[[Message], None]

_HELD = 256 << 10
"""Characters of one step that are held back in memory."""
_AHEAD = 64
"""Messages that a build may be ahead of its client before its commands wait."""
_TAIL = 16 << 10
"""Characters of a failed step's log that its error carries."""


class Telling:
    """What is said of a build, until its client takes it; one that does not read holds it up."""

    def __init__(self) -> None:
        self._said: asyncio.Queue[Message | None] = asyncio.Queue()
        self._room = asyncio.Event()
        self._room.set()

    def say(self, message: Message | None) -> None:
        """Say something; None that there is no more."""
        self._said.put_nowait(message)
        if self._said.qsize() >= _AHEAD:
            self._room.clear()

    async def take(self) -> Message | None:
        """Return what was said next."""
        message = await self._said.get()
        if self._said.qsize() < _AHEAD:
            self._room.set()
        return message

    async def room(self) -> None:
        """Wait until the client has taken so much that more can be said."""
        await self._room.wait()


@dataclass
class Step:
    """One instruction of the build that will be done."""

    stage: str
    """The stage's name, or its number."""
    number: int
    """Counted from 1 over the whole Dockerfile, in its order."""
    total: int
    name: str
    span: Span
    trigger: int = 0
    """Which ONBUILD trigger of the FROM with this number it is, from 1."""
    triggers: int = 0
    given: bool = False
    """Whether it came with the request, so that no variable in it is expanded."""
    state: str = "waiting"
    begun: float = 0.0
    seconds: float = 0.0
    size: int = 0
    tail: str = ""
    """The end of its log."""

    @property
    def identity(self) -> str:
        """What messages call it."""
        return f"{self.stage}:{self.number}" + (f".{self.trigger}" if self.trigger else "")

    def note(self, text: str) -> None:
        """Keep the end of what it says."""
        self.tail = (self.tail + text)[-_TAIL:]


class Output(Protocol):
    """The seam: what the stages tell, by step."""

    def planned(self, steps: list[Step]) -> None:
        """Take all steps that will be done, in the Dockerfile's order."""
        ...

    def begin(self, step: Step) -> None:
        """Tell that a step is begun."""
        ...

    def log(self, step: Step, text: str) -> None:
        """Tell what a step's command says."""
        ...

    def line(self, step: Step, text: str) -> None:
        """Tell a line of the classic builder, such as ` ---> Using cache`."""
        ...

    def end(self, step: Step, state: str) -> None:
        """Tell that a step is done, cached or failed."""
        ...

    def settled(self, step: Step, image: str) -> None:
        """Tell the state after a step that did not fail, once its layer is known."""
        ...

    def pulled(self, step: Step, message: Message) -> None:
        """Tell the progress of a pull."""
        ...

    def warn(self, message: Message) -> None:
        """Tell a warning of the Dockerfile."""
        ...

    def caution(self, step: Step, text: str) -> None:
        """Tell what a person should know of a step."""
        ...

    def finished(self, image: str, names: list[str]) -> None:
        """Tell the image."""
        ...


def ended(step: Step, state: str) -> None:
    """Note a step's end."""
    step.state = state
    step.seconds = time.monotonic() - step.begun if step.begun else 0.0


class Steps:
    """One JSON object for each change of a step's state, and for each piece of its log."""

    def __init__(self, say: Say) -> None:
        self._say = say

    def planned(self, steps: list[Step]) -> None:
        """Tell every step as waiting."""
        for step in steps:
            self._tell(step)

    def begin(self, step: Step) -> None:
        """Tell that it runs."""
        step.state, step.begun = "running", time.monotonic()
        self._tell(step)

    def log(self, step: Step, text: str) -> None:
        """Tell its output at once."""
        step.note(text)
        self._say({"step": {"id": step.identity}, "stream": text})

    def line(self, step: Step, text: str) -> None:
        """Tell nothing: the state says it."""

    def end(self, step: Step, state: str) -> None:
        """Tell how it ended."""
        ended(step, state)
        self._tell(step)

    def settled(self, step: Step, image: str) -> None:
        """Tell the size of what it made."""
        if step.size:
            self._tell(step)

    def pulled(self, step: Step, message: Message) -> None:
        """Tell it as the step's."""
        self._say({"step": {"id": step.identity}, **message})

    def warn(self, message: Message) -> None:
        """Tell it as it is."""
        self._say({"warning": message})

    def caution(self, step: Step, text: str) -> None:
        """Tell it as a warning of the step's lines."""
        first, last = step.span.first, step.span.last
        self.warn({"first": first, "last": last, "message": text, "text": step.name})

    def finished(self, image: str, names: list[str]) -> None:
        """Tell the image's id, then its names."""
        self._say({"aux": {"ID": image}})
        for name in names:
            self._say({"stream": f"Successfully tagged {name}\n"})

    def _tell(self, step: Step) -> None:
        self._say(
            {
                "step": {
                    "id": step.identity,
                    "stage": step.stage,
                    "number": step.number,
                    "total": step.total,
                    "name": step.name,
                    "first": step.span.first,
                    "last": step.span.last,
                    "state": step.state,
                    "seconds": round(step.seconds, 3),
                    "size": step.size,
                }
            }
        )


class Classic:
    """The classic builder's lines, in the Dockerfile's order."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._order: list[Step] = []
        self._held: dict[str, _Held] = {}
        self._over: set[str] = set()

    def planned(self, steps: list[Step]) -> None:
        """Take the order in which to tell them."""
        self._order = list(steps)

    def begin(self, step: Step) -> None:
        """Tell its line of the Dockerfile."""
        step.state, step.begun = "running", time.monotonic()
        self._put(step, {"stream": f"{self._title(step)}\n"})

    def _title(self, step: Step) -> str:
        if step.trigger == 1:
            return f"# Executing {step.triggers} build trigger{'s' * (step.triggers > 1)}"
        return f"Step {step.number}/{step.total} : {step.name}" if not step.trigger else ""

    def log(self, step: Step, text: str) -> None:
        """Tell its output."""
        step.note(text)
        self._put(step, {"stream": text})

    def line(self, step: Step, text: str) -> None:
        """Tell a line."""
        self._put(step, {"stream": f"{text}\n"})

    def end(self, step: Step, state: str) -> None:
        """Let out what a failed step said, although earlier ones may not have ended."""
        ended(step, state)
        if state == "failed":
            self._release(step)

    def settled(self, step: Step, image: str) -> None:
        """Tell the state after it, and go on to the next."""
        if image:
            self._put(step, {"stream": f" ---> {image.removeprefix('sha256:')[:12]}\n"})
        self._over.add(step.identity)
        while self._order and self._order[0].identity in self._over:
            self._order.pop(0)
            if self._order:
                self._release(self._order[0])

    def pulled(self, step: Step, message: Message) -> None:
        """Tell it as `docker pull` has it."""
        self._put(step, message)

    def warn(self, message: Message) -> None:
        """Tell it with its lines, before the first step, where the classic builder has its own."""
        span = Span(message["first"], message["last"])
        shown = excerpt_of(message["text"], span)
        self._say({"stream": f"[Warning] {message['message']} ({span})\n{shown}\n"})

    def caution(self, step: Step, text: str) -> None:
        """Tell it as the classic builder tells that there is no forwarding."""
        self.line(step, f" ---> [Warning] {text}")

    def finished(self, image: str, names: list[str]) -> None:
        """Tell the image's id and its names."""
        self._say({"aux": {"ID": image}})
        self._say({"stream": f"Successfully built {image.removeprefix('sha256:')[:12]}\n"})
        for name in names:
            self._say({"stream": f"Successfully tagged {name}\n"})

    def _put(self, step: Step, message: Message) -> None:
        if self._order and self._order[0].identity == step.identity:
            self._say(message)
        else:
            self._held.setdefault(step.identity, _Held()).add(message)

    def _release(self, step: Step) -> None:
        if (held := self._held.pop(step.identity, None)) is not None:
            for message in held.messages():
                self._say(message)


class _Held:
    """What a step has said before it is its turn."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(_HELD)  # noqa: SIM115 - it lives until it is read

    def add(self, message: Message) -> None:
        self._file.write(msgspec.json.encode(message) + b"\n")

    def messages(self) -> Iterator[Message]:
        self._file.seek(0)
        with self._file:
            yield from map(msgspec.json.decode, self._file)
