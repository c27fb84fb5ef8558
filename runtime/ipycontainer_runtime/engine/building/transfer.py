"""COPY and ADD: files of the context, of another stage, of an image, or of the network."""

import asyncio
import functools
import os
import posixpath
import re
import stat
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ipycontainer_runtime.build.instructions import Add, Copy
from ipycontainer_runtime.engine.building import cache as caching
from ipycontainer_runtime.engine.building import remote
from ipycontainer_runtime.engine.building.layering import Delta
from ipycontainer_runtime.engine.building.modes import Mode
from ipycontainer_runtime.engine.building.output import Step
from ipycontainer_runtime.engine.building.placing import (
    Destination,
    Placed,
    copied,
    extracted,
    is_archive,
    place,
)
from ipycontainer_runtime.engine.building.sources import Selection, Wanted, select
from ipycontainer_runtime.engine.building.stage import StageBuild, absolute
from ipycontainer_runtime.engine.building.state import State
from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.layers.view import View

_READ = 1 << 20


@dataclass(frozen=True)
class Piece:
    """Some of what a step copies: a selection, or with `archive` one file that is unpacked."""

    selection: Selection
    archive: Path | None = None


async def transfer(stage: StageBuild, instruction: Copy | Add, step: Step) -> bool:
    """Do a COPY or ADD, or take it from the cache; True when it was there."""
    site = stage.site
    path = absolute(stage.state.described.folder, instruction.destination)
    destination = Destination(
        path,
        instruction.chown,
        Mode(instruction.chmod) if instruction.chmod else None,
        site.epoch,
        keeps=isinstance(instruction, Copy) and bool(instruction.origin),
    )
    async with _pieces(stage, instruction) as pieces:
        _check(pieces, instruction, path)
        digests = [await asyncio.to_thread(_digest, stage, destination, piece) for piece in pieces]
        several = sum(len(piece.selection.chosen) for piece in pieces) > 1
        # Without a blank, as Docker's classic builder has it.
        chown = f"--chown={instruction.chown}" if instruction.chown else ""
        told = _told(stage, instruction, f"{chown}{_named(pieces, digests)}")

        # Whose name is to be found needs the files before it.
        alone = instruction.link and not re.search("[^0-9:]", instruction.chown)

        async def key(before: State) -> str:
            return caching.key(
                instruction.keyword.lower(),
                chain="" if alone else await before.chain(),
                contents=digests,
                unpacked=[piece.archive is not None for piece in pieces],
                names=[one.path for piece in pieces for one in piece.selection.chosen],
                to=path,
                chown=instruction.chown,
                chmod=instruction.chmod,
                epoch=site.epoch,
                link=instruction.link,
            )

        async def make(delta: Delta) -> None:
            for piece in pieces:
                content = functools.partial(_content, stage, destination, piece, several)
                await place(delta, content)

        unpack = isinstance(instruction, Add) and instruction.unpack is not None
        worded = not (instruction.chmod or instruction.link or unpack)  # see _told
        return await stage.done(step, key, told, make, alone=alone, worded=worded)


def _content(
    stage: StageBuild, destination: Destination, piece: Piece, several: bool, view: View
) -> Placed:
    if piece.archive is not None:
        return extracted(view, destination, _chunks(piece.archive))
    ownership = stage.site.layering.ownership
    return copied(view, destination, piece.selection, ownership, several=several)


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while chunk := opened.read(_READ):
            yield chunk


def _digest(stage: StageBuild, destination: Destination, piece: Piece) -> str:
    return piece.selection.digest(stage.site.layering.ownership, ids=destination.keeps)


def _named(pieces: list[Piece], digests: list[str]) -> str:
    """Return what is copied in the words of the history: by its content."""
    chosen = [one for piece in pieces for one in piece.selection.chosen]
    whole = digests[0] if len(digests) == 1 else caching.key("multi", of=digests)[7:]
    if len(chosen) > 1:
        return f"multi:{whole}"
    return f"{'dir' if chosen and chosen[0].is_folder else 'file'}:{whole}"


def _told(stage: StageBuild, instruction: Copy | Add, what: str) -> str:
    shell = " ".join(stage.state.described.shell)
    return f"{shell} #(nop) {instruction.keyword} {what} in {instruction.destination} "


def _check(pieces: list[Piece], instruction: Copy | Add, path: str) -> None:
    chosen = [one for piece in pieces for one in piece.selection.chosen]
    if not chosen:
        raise InvalidParameter(f"{instruction.keyword} failed: no source files were specified")
    if len(chosen) > 1 and not path.endswith("/"):
        raise InvalidParameter(
            f"When using {instruction.keyword} with more than one source file, the destination "
            "must be a directory and end with a /"
        )


@asynccontextmanager
async def _pieces(stage: StageBuild, instruction: Copy | Add) -> AsyncIterator[list[Piece]]:
    """Give what is copied, in the order of its words; what is held for it goes afterwards."""
    roots: list[int] = []
    try:
        pieces: list[Piece] = []
        root = await _root(stage, instruction)
        roots.append(root)
        words = [word for word in instruction.sources if not _is_remote(instruction, word)]
        if words:
            pieces += await asyncio.to_thread(_local, stage, instruction, root, tuple(words))
        for word in instruction.sources:
            if _is_remote(instruction, word):
                assert isinstance(instruction, Add), "COPY fetches nothing"
                folder = _own_folder(stage)
                agent = stage.site.request.secrets.ssh.get("default", "")
                piece = await asyncio.to_thread(
                    remote.fetch, instruction, word, folder, roots, agent
                )
                pieces.append(Piece(*piece))
        if instruction.documents:
            pieces.append(await asyncio.to_thread(_documents, stage, instruction, roots))
        yield pieces
    finally:
        for root in roots:
            os.close(root)


async def _root(stage: StageBuild, instruction: Copy | Add) -> int:
    origin = instruction.origin if isinstance(instruction, Copy) else ""
    if origin:
        return await stage.site.root(stage.planned.origins[origin])
    return os.open(stage.site.context, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _is_remote(instruction: Copy | Add, word: str) -> bool:
    return isinstance(instruction, Add) and remote.is_remote(word)


def _local(
    stage: StageBuild, instruction: Copy | Add, root: int, words: tuple[str, ...]
) -> list[Piece]:
    origin = instruction.origin if isinstance(instruction, Copy) else ""
    parents = isinstance(instruction, Copy) and instruction.parents
    wanted = Wanted(instruction.keyword, words, parents, instruction.exclude)
    if origin:
        wanted = replace(wanted, place=origin)
    selection = select(root, wanted)
    if isinstance(instruction, Copy) or instruction.unpack is False:
        return [Piece(selection)] if selection.chosen else []
    pieces: list[Piece] = []
    for one in selection.chosen:
        file = stage.site.context / one.real
        part = Selection(root, (one,), selection.excluded)
        archive = file if stat.S_ISREG(one.status.st_mode) and is_archive(file) else None
        pieces.append(Piece(part, archive))
    return pieces


def _documents(stage: StageBuild, instruction: Copy | Add, roots: list[int]) -> Piece:
    """Make files of heredocs."""
    folder = _own_folder(stage)
    moment = time.time_ns() if stage.site.epoch is None else stage.site.epoch * 1_000_000_000
    for document in instruction.documents:
        name = posixpath.basename(document.name)
        if name in ("", ".", ".."):
            raise InvalidParameter(
                f"a file's heredoc cannot be named {document.name!r}: use a word like EOF"
            )
        file = folder / name
        file.write_text(document.content)
        file.chmod(0o644)
        os.utime(file, ns=(moment, moment))
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    roots.append(root)
    words = tuple(posixpath.basename(document.name) for document in instruction.documents)
    chosen = [select(root, Wanted(instruction.keyword, (_literal(word),))).chosen for word in words]
    return Piece(Selection(root, tuple(one for found in chosen for one in found)))


def _literal(word: str) -> str:
    return "".join(f"\\{c}" if c in "*?[\\" else c for c in word)


def _own_folder(stage: StageBuild) -> Path:
    import tempfile

    return Path(tempfile.mkdtemp(prefix="made-", dir=stage.site.folder))
