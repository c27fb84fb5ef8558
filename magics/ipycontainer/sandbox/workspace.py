"""The sandboxes that a notebook's cells share, one for each image or name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..failures import Failure, Usage
from .box import Sandbox
from .errors import SandboxClosed
from .interpreter import Outcome

if TYPE_CHECKING:
    from ..session import Session


@dataclass(frozen=True)
class Asked:
    """What one cell asks for: its image, perhaps a name, and the settings that it gives."""

    image: str
    name: str | None
    settings: Mapping[str, Any]
    """Keywords of `Sandbox`, those alone that the cell names."""


class Workspace:
    """A notebook's variables, and its sandboxes, which stay warm between its cells.

    The rules: the first cell that names an image, or a name, makes the sandbox with its settings;
    later ones use it, and may repeat those settings but give no others. `reset` ends its
    interpreter, `stop` the sandbox; what has ended by itself is made anew by the next cell.
    """

    def __init__(self, names: MutableMapping[str, Any], called: Callable[[], str]) -> None:
        self._names = names
        self._called = called
        self._kept: dict[tuple[str, str], tuple[Asked, Sandbox]] = {}

    @property
    def names(self) -> Mapping[str, Any]:
        """The notebook's variables."""
        return self._names

    def sandbox(self, session: Session, asked: Asked) -> Sandbox:
        """Return the sandbox that is asked for, started."""
        key = (session.address, asked.name or asked.image)
        if key in self._kept:
            first, found = self._kept[key]
            self._check(session, first, asked)
            return found
        made = Sandbox(asked.image, name=asked.name, session=session, **asked.settings).start()
        self._kept[key] = (asked, made)
        return made

    def run(
        self,
        session: Session,
        asked: Asked,
        code: str,
        *,
        inputs: tuple[str, ...],
        outputs: tuple[str, ...],
        timeout: float | None,
    ) -> Any:
        """Run a cell's code; return its value, after the variables that it brings out are set."""
        if missing := [name for name in inputs if name not in self._names]:
            raise Usage(f"-i: the notebook has no variable {', '.join(map(repr, missing))}")
        found = self.sandbox(session, asked)
        try:
            outcome: Outcome = found.execute(
                code,
                inputs={name: self._names[name] for name in inputs},
                outputs=outputs,
                timeout=timeout,
                called=self._called(),
                surface=session.surface,
            )
        except SandboxClosed:
            self._forget(found)
            raise
        self._names.update(outcome.outputs)
        return outcome.value

    def reset(self, session: Session, key: str | None) -> int:
        """End the interpreters of one sandbox, or of all; return how many sandboxes that were."""
        found = self._those(session, key)
        for sandbox in found:
            sandbox.reset()
        return len(found)

    def stop(self, session: Session, key: str | None) -> int:
        """End and remove one sandbox, or all; return how many that were."""
        found = self._those(session, key)
        for sandbox in found:
            self._forget(sandbox)
        return len(found)

    def close(self) -> None:
        """End and remove all sandboxes."""
        for _, sandbox in list(self._kept.values()):
            self._forget(sandbox)

    def _those(self, session: Session, key: str | None) -> list[Sandbox]:
        kept = {k: sandbox for k, (_, sandbox) in self._kept.items()}
        if key is None:
            return list(kept.values())
        wanted = (session.address, key)
        if wanted not in kept:
            known = ", ".join(k for _, k in kept) or "none"
            raise Failure(f"there is no sandbox {key!r} in this notebook; there are: {known}")
        return [kept[wanted]]

    def _forget(self, sandbox: Sandbox) -> None:
        self._kept = {k: kept for k, kept in self._kept.items() if kept[1] is not sandbox}
        sandbox.close()

    def _check(self, session: Session, first: Asked, asked: Asked) -> None:
        others = [
            name
            for name, value in asked.settings.items()
            if first.settings.get(name, _NOT_GIVEN) != value
        ]
        if asked.image != first.image:
            others.append("image")
        if others:
            key = asked.name or asked.image
            raise Failure(
                f"sandbox {key} was made with another {' and '.join(others)}:"
                f" `{session.program} python --stop {key}` ends it, and the next cell makes one"
            )


_NOT_GIVEN = object()
