"""Variables' values put into an instruction.

Which instructions take variables: https://docs.docker.com/reference/dockerfile/#environment-replacement
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from msgspec.structs import replace

from ipycontainer_runtime.build import instructions as known
from ipycontainer_runtime.build import mounts
from ipycontainer_runtime.build.instructions import Document, Instruction, Pair
from ipycontainer_runtime.build.ports import ports
from ipycontainer_runtime.build.source import DockerfileError, quoted
from ipycontainer_runtime.build.words import Lexer, WordError, is_plain, split

AnyInstruction = TypeVar("AnyInstruction", bound=Instruction)
_Read = TypeVar("_Read", str, list[str])


def expanded(
    instruction: AnyInstruction, variables: Mapping[str, str], missing: set[str] | None = None
) -> AnyInstruction:
    """Return the instruction with `${…}` replaced and quotes removed where its form has any.

    ARG is not for this: what it comes to depends on what the build was given (`scope.Scope`).
    Names that `variables` does not have are added to `missing`. DockerfileError for a substitution
    that is malformed or whose `?` says so.
    """
    change = _CHANGES.get(type(instruction))
    if change is None:
        return instruction
    unset: set[str] = set() if missing is None else missing
    reader = _Reader(variables, instruction.escape, unset)
    try:
        return replace(instruction, **change(instruction, reader))
    except ValueError as error:
        raise DockerfileError(str(error), instruction.span, instruction.keyword) from error


def word(text: str, variables: Mapping[str, str], escape: str, missing: set[str]) -> str:
    """Return one word expanded, for what is no instruction of its own; ValueError."""
    return _Reader(variables, escape, missing).word(text)


def words(texts: Iterable[str], variables: Mapping[str, str], escape: str) -> list[str]:
    """Return texts expanded and split; ValueError."""
    reader = _Reader(variables, escape, set())
    return [each for text in texts for each in reader.words(text)]


_MOST_PORTS = 3 * 65536
"""All ports of all protocols."""


class _Reader:
    def __init__(self, variables: Mapping[str, str], escape: str, missing: set[str]) -> None:
        self._variables = variables
        self._escape = escape
        self._missing = missing

    def word(self, text: str) -> str:
        if is_plain(text, self._escape):
            return text
        return self._lexed(Lexer(self._variables, self._escape), text, Lexer.word)

    def words(self, text: str) -> list[str]:
        if is_plain(text, self._escape):
            return split(text)
        return self._lexed(Lexer(self._variables, self._escape), text, Lexer.words)

    def document(self, document: Document) -> Document:
        """Expand a heredoc, where quotes mean nothing and the escape is always the backslash."""
        if not document.expand:
            return document
        lexer = Lexer(self._variables, quotes=False)
        return replace(document, content=self._lexed(lexer, document.content, Lexer.word))

    def all(self, texts: Iterable[str]) -> tuple[str, ...]:
        return tuple(map(self.word, texts))

    def pairs(self, pairs: Iterable[Pair]) -> tuple[Pair, ...]:
        found = tuple(
            Pair(self.word(pair.name), self.word(pair.value), pair.legacy) for pair in pairs
        )
        if not all(pair.name for pair in found):
            raise ValueError("names can not be blank")
        return found

    def _lexed(self, lexer: Lexer, text: str, read: Callable[[Lexer, str], _Read]) -> _Read:
        try:
            return read(lexer, text)
        except WordError as error:
            raise ValueError(f"failed to process {quoted(text)}: {error}") from error
        finally:
            self._missing |= lexer.missing


def _transfer(instruction: known.Copy | known.Add, read: _Reader) -> dict[str, Any]:
    return {
        "sources": read.all(instruction.sources),
        "documents": tuple(map(read.document, instruction.documents)),
        "destination": read.word(instruction.destination),
        "chown": read.word(instruction.chown),
        "chmod": read.word(instruction.chmod),
        "exclude": read.all(instruction.exclude),
    }


def _add(instruction: known.Add, read: _Reader) -> dict[str, Any]:
    return {**_transfer(instruction, read), "checksum": read.word(instruction.checksum)}


def _run(instruction: known.Run, read: _Reader) -> dict[str, Any]:
    return {"mounts": tuple(mounts.mount(flag, read.word) for flag in instruction.mount_flags)}


def _expose(instruction: known.Expose, read: _Reader) -> dict[str, Any]:
    written = {each: None for text in instruction.ports for each in read.words(text)}
    found: dict[str, None] = {}
    steps = 0
    for each in written:
        range_ = ports(each)
        steps += len(range_)
        if steps > _MOST_PORTS:
            raise ValueError(f"its ranges have more than {_MOST_PORTS} ports together")
        found.update(dict.fromkeys(range_))
    return {"ports": tuple(found), "written": tuple(written)}


_CHANGES: Mapping[type[Instruction], Callable[[Any, _Reader], dict[str, Any]]] = {
    known.Add: _add,
    known.Copy: _transfer,
    known.Env: lambda env, read: {"pairs": read.pairs(env.pairs)},
    known.Expose: _expose,
    known.Label: lambda label, read: {"pairs": read.pairs(label.pairs)},
    known.Run: _run,
    known.StopSignal: lambda stop, read: {"signal": read.word(stop.signal)},
    known.User: lambda user, read: {"user": read.word(user.user)},
    known.Volume: lambda volume, read: {"paths": read.all(volume.paths)},
    known.Workdir: lambda workdir, read: {"path": read.word(workdir.path)},
}
