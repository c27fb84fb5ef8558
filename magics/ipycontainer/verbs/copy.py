"""`cp` and `export`: files between this computer and containers."""

from __future__ import annotations

import os
import posixpath
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import archives, copying
from ..copying import Place
from ..failures import Failure, Usage
from ..units import decimal_size
from .base import container_argument, flag, main, pass_session

if TYPE_CHECKING:
    from ..session import Session


@main.command()
@flag("-a", "--archive", help="Give the files to the container's user.")
@flag("-L", "--follow-link", help="Copy what a link leads to.")
@flag("-q", "--quiet", help="Do not say what was copied.")
@click.option("--out", "out_name", metavar="NAME", help="Fill this variable with the archive.")
@click.argument("source", metavar="SOURCE")
@click.argument("target", metavar="TARGET")
@pass_session
def cp(
    session: Session,
    source: str,
    target: str,
    *,
    archive: bool,
    follow_link: bool,
    quiet: bool,
    out_name: str | None,
) -> None:
    """Copy files between here and a container, which need not run.

    One of SOURCE and TARGET is CONTAINER:PATH, the other a path here, or `-`: a tar archive from
    standard input or to standard output. A SOURCE that ends in `/.` is what the folder holds.
    """
    session.surface.redirect(out_name, None)
    start = Place("", "-") if source == "-" else copying.parse_place(source)
    end = Place("", "-") if target == "-" else copying.parse_place(target)
    if bool(start.container) == bool(end.container):
        raise Usage("one of SOURCE and TARGET is CONTAINER:PATH, the other a path here or -")
    if start.container:
        copied = _out(session, start, end.path, follow=follow_link)
    else:
        copied = _in(session, start.path, end, archive=archive, follow=follow_link)
    if not quiet and "-" not in (source, target):
        session.surface.note(f"copied {decimal_size(copied)} to {target}")


def _out(session: Session, start: Place, target: str, *, follow: bool) -> int:
    """Copy out of a container and return the bytes of the files."""
    found = copying.path_stat(session, start)
    if follow:
        start, found = copying.followed(session, start)
    if found is None:
        raise Failure(f"no {start.path} in container {start.container}")
    if target == "-":
        return archives.to_output(session, copying.get(session, start))
    here = Path(target)
    name = copying.name_of(start.path)
    if here.is_dir():
        here = here / name if name else here
    elif here.exists() and copying.is_folder(found):
        raise Failure(f"cannot copy a folder over the file {target}")
    elif target.endswith("/") and not copying.is_folder(found):
        raise Failure(f"{target} is no folder: make it first")
    if not here.parent.is_dir():
        raise Failure(f"no folder {here.parent}: make it first")
    return copying.unpack(copying.get(session, start), found["name"], here)


def _in(session: Session, source: str, end: Place, *, archive: bool, follow: bool) -> int:
    """Copy into a container and return the bytes of the archive."""
    end, found = copying.followed(session, end)
    is_folder = found is not None and copying.is_folder(found)
    if source == "-":
        if not is_folder:
            raise Failure(f"{end.path} in container {end.container} is no folder: make it first")
        if session.program.startswith("%"):
            raise Usage("a cell has no archive as its standard input: copy a file or a folder")
        copying.put(session, end, sys.stdin.buffer, archive=archive)
        return 0
    if not os.path.lexists(source):
        raise Failure(f"no {source} here")
    folder, name = end.path, copying.name_of(source) or "."
    if not is_folder:
        if os.path.isdir(source) and found is not None:
            raise Failure(f"cannot copy a folder over the file {end.path}")
        if end.path.endswith("/") and not os.path.isdir(source):
            raise Failure(f"{end.path} in container {end.container} is no folder: make it first")
        folder, name = posixpath.split(end.path.rstrip("/"))
    with copying.pack(source, name, follow=follow) as packed:
        packed.seek(0, os.SEEK_END)
        size = packed.tell()
        packed.seek(0)
        copying.put(session, Place(end.container, folder or "/"), packed, archive=archive)
    return size


@main.command()
@click.option("-o", "--output", metavar="FILE", help="Write to this file.")
@click.option("--out", "out_name", metavar="NAME", help="Fill this variable with the archive.")
@container_argument()
@pass_session
def export(session: Session, container: str, *, output: str | None, out_name: str | None) -> None:
    """Write a container's whole file system as a tar archive."""
    session.surface.redirect(out_name, None)
    if output is None and out_name is None:
        archives.refuse_to_show(session, "-o FILE, or --out NAME in a cell")
    chunks = session.api.export(container, chunk_size=1 << 20)
    if output is None:
        archives.to_output(session, chunks)
    else:
        archives.to_file(session, chunks, output, container)
