"""What is told of a build that failed, and the memory of it that `debug` needs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..failures import Failure, one_line
from .dockerfile import Line, Source
from .steps import Build, Step

if TYPE_CHECKING:
    from ..session import Session

_PARSE_ERROR = re.compile(r"(?:\w+ )?parse error (?:on )?lines? (\d+)(?:-(\d+))?: (.*)", re.DOTALL)
_LOG = 30
_KEPT = 16
_NAME_WIDTH = 60


class BuildFailure(Failure):
    """A build came to nothing.

    `step` is the instruction that failed, "" where it was none; `image` the state before it, ""
    where there is none; `code` the exit code of a RUN, else None; `log` the end of its output.
    """

    def __init__(
        self, message: str, *, step: str = "", image: str = "", code: int | None = None,
        log: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        super().__init__(message, code)
        self.step, self.image, self.code, self.log = step, image, code, log


@dataclass(frozen=True)
class Report:
    """A failed build as a view shows it."""

    headline: str
    lines: tuple[Line, ...] = ()
    log: tuple[str, ...] = ()
    hidden: int = 0
    """Lines of the log that came before."""
    hints: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stopped:
    """The state before a step that failed: what `debug` enters. Kept in a file of the person's."""

    address: str
    image: str
    step: str
    names: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    """Of `run`, for what the step had and the image does not say: build arguments, tmpfs."""
    missing: tuple[str, ...] = ()
    """The mounts of the step that cannot be had."""


def report(build: Build, source: Source, program: str, names: tuple[str, ...]) -> Report:
    """Return what to show of `build`, which has failed."""
    detail = build.failed or {}
    step = build.steps.get(str(detail.get("step") or ""))
    if step is None:
        return Report(headline=_without_step(detail, source), lines=_excerpt(detail, source))
    log = step.log.tail(_LOG)
    hidden = step.log.hidden(len(log))
    if not log and detail.get("log"):
        log = [one_line(line) for line in str(detail["log"]).splitlines()[-_LOG:]]
    hints: tuple[str, ...] = ()
    if detail.get("image"):
        name = f" {names[0]}" if names else ""
        hints = (f"`{program} debug{name}` opens a shell in the state before this step",)
    return Report(
        headline=_with_step(detail, step, source),
        lines=_excerpt(detail, source, step),
        log=tuple(log),
        hidden=hidden,
        hints=hints,
    )


def failure(build: Build, shown: Report) -> BuildFailure:
    """Return the error that fails the cell."""
    detail = build.failed or {}
    step = build.steps.get(str(detail.get("step") or ""))
    return BuildFailure(
        "; ".join((shown.headline, *shown.hints)),
        step=step.name if step else "",
        image=str(detail.get("image") or ""),
        code=_code(detail),
        log=shown.log,
    )


def _code(detail: Mapping[str, Any]) -> int | None:
    code = detail.get("code")
    return code if isinstance(code, int) and 0 < code < 256 else None


def _with_step(detail: Mapping[str, Any], step: Step, source: Source) -> str:
    place = source.place(*_span(detail, step))
    where = f" ({place})" if place else ""
    title = step.title if len(step.title) <= _NAME_WIDTH else f"{step.title[:_NAME_WIDTH]}…"
    code = _code(detail)
    ended = f"exited with code {code}" if code is not None else f"failed: {_message(detail)}"
    return f"{step.label} {title}{where} {ended}"


def _without_step(detail: Mapping[str, Any], source: Source) -> str:
    place = source.place(*_span(detail))
    message = _message(detail)
    return f"{place}: {message}" if place and place not in message else message


def _message(detail: Mapping[str, Any]) -> str:
    message = str(detail.get("message") or "the engine does not say why")
    found = _PARSE_ERROR.fullmatch(message) if detail.get("first") else None
    return one_line(found[3] if found else message)


def of_message(message: str) -> dict[str, Any]:
    """Return what a refusal tells: that of a Dockerfile that cannot be read names its line."""
    if found := _PARSE_ERROR.fullmatch(message):
        first, last, _ = found.groups()
        return {"message": message, "first": int(first), "last": int(last or first)}
    return {"message": message}


def _span(detail: Mapping[str, Any], step: Step | None = None) -> tuple[int, int]:
    first = int(detail.get("first") or (step.first if step else 0))
    return first, int(detail.get("last") or (step.last if step else 0) or first)


def _excerpt(
    detail: Mapping[str, Any], source: Source, step: Step | None = None
) -> tuple[Line, ...]:
    first, last = _span(detail, step)
    if source.text or not detail.get("text"):
        return tuple(source.excerpt(first, last))
    # A Dockerfile that the engine fetched is not here, but for what it shows of it.
    lines = str(detail["text"]).split("\n")
    return tuple(Line(number, text, True) for number, text in enumerate(lines, first))


def _file() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(base) / "ipycontainer" / "failed-builds.json"


def remember(stopped: Stopped) -> None:
    """Keep a failed build for `debug`; the last ones are kept, where nobody else can read them."""
    kept = [one for one in _stored() if not set(one.names) & set(stopped.names) or not one.names]
    path = _file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        json.dump([asdict(one) for one in (stopped, *kept)][:_KEPT], file)
    partial.replace(path)


def recalled(session: Session, name: str | None) -> Stopped | None:
    """Return the last failed build of this engine, or the one of `name`."""
    return next(
        (
            one
            for one in _stored()
            if one.address == session.address and (name is None or _tagged(name) in one.names)
        ),
        None,
    )


def names_of(session: Session) -> list[str]:
    """Return the names of this engine's failed builds."""
    return [name for one in _stored() if one.address == session.address for name in one.names]


def tagged(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return names as `debug` looks for them, `:latest` written out."""
    return tuple(_tagged(name) for name in names)


def _tagged(name: str) -> str:
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def _stored() -> list[Stopped]:
    try:
        found = json.loads(_file().read_text(encoding="utf-8"))
        return [_stopped(one) for one in found]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError, KeyError):
        return []  # another release's, or cut short: the next failed build writes it anew


def _stopped(one: dict[str, Any]) -> Stopped:
    address, image, step = (str(one[name]) for name in ("address", "image", "step"))
    names, flags, missing = (tuple(map(str, one[name])) for name in ("names", "flags", "missing"))
    return Stopped(address, image, step, names, flags, missing)
