"""What a build tells its client: the classic builder's lines, or one JSON object a change of step.

Stages run side by side. The classic form tells steps in the Dockerfile's order, so what a later
stage says meanwhile is held back (`telling.Held`).
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ipycontainer_runtime.build.source import Span, excerpt_of
from ipycontainer_runtime.engine.building.telling import Held, Message, Say

_TAIL = 16 << 10
"""Characters of a failed step's log that its error carries."""


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

    def finished(self, image: str, names: list[str]) -> None:
        """Tell the image."""
        ...


def ended(step: Step, state: str) -> None:
    """Note a step's end."""
    step.state = state
    step.seconds = time.monotonic() - step.begun if step.begun else 0.0


class Steps:
    """One JSON object for each change of a step's state, and for each piece of its log."""

    def __init__(self, telling: Say) -> None:
        self._say = telling.say

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

    def __init__(self, telling: Say, folder: Path) -> None:
        self._telling = telling
        self._say = telling.say
        self._folder = folder
        self._order: list[Step] = []
        self._held: dict[str, Held] = {}
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
        if self._is_told(step):
            self._say({"stream": text})
        else:
            self._holding(step).log(text)

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

    def finished(self, image: str, names: list[str]) -> None:
        """Tell the image's id and its names."""
        self._say({"aux": {"ID": image}})
        self._say({"stream": f"Successfully built {image.removeprefix('sha256:')[:12]}\n"})
        for name in names:
            self._say({"stream": f"Successfully tagged {name}\n"})

    def _is_told(self, step: Step) -> bool:
        """Tell whether it is a step's turn."""
        return bool(self._order) and self._order[0].identity == step.identity

    def _holding(self, step: Step) -> Held:
        if step.identity not in self._held:
            self._held[step.identity] = Held(self._folder)
        return self._held[step.identity]

    def _put(self, step: Step, message: Message) -> None:
        if self._is_told(step):
            self._say(message)
        else:
            self._holding(step).add(message)

    def _release(self, step: Step) -> None:
        if (held := self._held.pop(step.identity, None)) is not None:
            held.close(step.tail)
            self._telling.say_all(held.messages())
