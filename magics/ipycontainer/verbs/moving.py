"""`save`, `load` and `import`: images as archives, for computers that share no registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .. import archives
from ..failures import Failure, Usage
from ..transfers import Quiet
from .base import flag, image_argument, main, pass_session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..session import Session

_CHUNK = 1 << 20
_LOADED = ("Loaded image: ", "Loaded image ID: ")


@main.command()
@click.option("-o", "--output", metavar="FILE", help="Write to this file.")
@click.option("--platform", metavar="OS/ARCH", help="Only if it is for this platform.")
@image_argument(many=True)
@pass_session
def save(
    session: Session, images: tuple[str, ...], *, output: str | None, platform: str | None
) -> None:
    """Write images, with their names and all their layers, as one tar archive.

    Any Docker Engine, Podman and skopeo read it: it is an OCI layout with Docker's manifest.json.
    """
    if output is None:
        archives.refuse_to_show(session, "-o FILE")
    api = session.api
    params: dict[str, Any] = {"names": list(images)}
    if platform is not None:
        params["platform"] = _as_json(platform)
    response = api._get(api._url("/images/get"), params=params, stream=True)
    api._raise_for_status(response)
    chunks: Iterator[bytes] = api._stream_raw_result(response, _CHUNK, False)
    if output is None:
        archives.to_output(session, chunks)
    else:
        archives.to_file(session, chunks, output, ", ".join(images))


@main.command()
@click.option("-i", "--input", "path", metavar="FILE", help="Read this file, not standard input.")
@flag("-q", "--quiet", help="Show no progress.")
@click.option("--platform", metavar="OS/ARCH", help="Load the image for this platform.")
@pass_session
def load(session: Session, *, path: str | None, quiet: bool, platform: str | None) -> None:
    """Load images from an archive that `save`, Docker, Podman or skopeo wrote.

    It may be compressed, by gzip, zstd, xz or bzip2.
    """
    params = {"quiet": "1" if quiet else "0"}
    if platform is not None:
        params["platform"] = _as_json(platform)
    with archives.open_archive(session, path) as file:
        title = f"Loading {path or 'an archive'}"
        view = Quiet() if quiet else session.surface.progress(title, aside=True)
        loaded = []
        for entry in archives.send(session, view, "/images/load", params, file):
            line = str(entry.get("stream", "")).rstrip("\n")
            if line.startswith(_LOADED):
                loaded.append(line)
            elif line:
                session.surface.note(line)
    names = [line.partition(": ")[2] for line in loaded]
    view.done(f"Loaded {', '.join(names)}")
    for line in loaded:
        session.surface.say(line)


@main.command("import")
@click.option("-c", "--change", "changes", multiple=True, metavar="INSTRUCTION", help="Apply it.")
@click.option("-m", "--message", default="", metavar="TEXT", help="Note it in the history.")
@click.option("--platform", metavar="OS/ARCH", help="Say that it is for this platform.")
@click.argument("source", metavar="FILE|URL|-")
@click.argument("name", metavar="[NAME[:TAG]]", default="")
@pass_session
def import_image(
    session: Session,
    source: str,
    name: str,
    *,
    changes: tuple[str, ...],
    message: str,
    platform: str | None,
) -> None:
    """Make an image of one layer from an archive of a file system, as `export` writes it."""
    is_url = source.startswith(("http://", "https://"))
    params: dict[str, Any] = {
        "fromSrc": source if is_url else "-",
        "repo": name,
        "message": message,
        "changes": list(changes),
    }
    if platform is not None:
        params["platform"] = platform
    file = None if is_url else archives.open_archive(session, source)
    view = session.surface.progress(f"Importing {source}", aside=True)
    made = ""
    try:
        with session.naming(name):
            for entry in archives.send(session, view, "/images/create", params, file):
                made = str(entry.get("status") or made)
    finally:
        if file is not None:
            file.close()
    if not made.startswith("sha256:"):
        raise Failure(f"the engine did not say what it made of {source}")
    view.done(f"Imported {source}" + (f" as {name}" if name else ""))
    session.surface.say(made)


def _as_json(platform: str) -> str:
    """Return a platform as the API has wanted it since 1.48."""
    import json

    parts = platform.split("/")
    if len(parts) not in (2, 3):
        raise Usage(f"invalid platform {platform!r}: write OS/ARCH, as in linux/arm64")
    return json.dumps(dict(zip(("os", "architecture", "variant"), parts, strict=False)))
