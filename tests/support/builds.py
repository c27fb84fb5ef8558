"""Contexts sent to an engine, and what it tells of their builds."""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from support.calls import Connection, begin
from support.engines import Engine
from support.hosts import Host

Message = dict[str, Any]
Files = dict[str, str | bytes]


def packed(files: Files) -> bytes:
    """Return the archive of a context."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(data), 0o644, 1_700_000_000
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def begun(
    host: Host, files: Files, query: str = "", headers: dict[str, str] | None = None
) -> tuple[Connection, Iterator[Message]]:
    """Ask for a build, and return the connection with the messages as they come."""
    connection = Connection(host)
    given = {"Content-Type": "application/x-tar", **(headers or {})}
    connection.request("POST", f"/build?{query}", packed(files), given)
    reply = connection.getresponse()

    def messages() -> Iterator[Message]:
        while line := reply.readline():
            if line.strip():
                yield json.loads(line)
        connection.close()

    return connection, messages()


def send(host: Host, archive: bytes, query: str = "") -> list[Message]:
    """Send an archive of any kind to be built; a refusal before the first message is one too."""
    connection = Connection(host)
    connection.request("POST", f"/build?{query}", archive, {"Content-Type": "application/x-tar"})
    lines = connection.getresponse().read().splitlines()
    connection.close()
    return [json.loads(line) for line in lines if line.strip()]


def build(host: Host, files: Files, query: str = "", **headers: str) -> list[Message]:
    """Build files, and return all that is told of it; headers have `_` for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return list(begun(host, files, query, named)[1])


def elsewhere(host: Host, address: str) -> list[Message]:
    """Build a context that is elsewhere; a refusal before the first message is one too."""
    connection, reply = begin(host, "POST", f"/build?remote={quote(address)}")
    messages = [json.loads(line) for line in reply.read().splitlines()]
    connection.close()
    return messages


def shown(engine: Engine, image: str, *command: str) -> str:
    """Return what a command, or the image's own, says in a container of an image."""
    return engine.succeed("run", "--rm", "--network", "none", image, *command)


def image_of(messages: list[Message]) -> str:
    """Return the id of the image that was built."""
    found = [message["aux"]["ID"] for message in messages if "aux" in message]
    assert found, messages[-3:]
    image: str = found[-1]
    return image


def text(messages: list[Message]) -> str:
    """Return what was said of a build."""
    return "".join(message.get("stream", "") for message in messages)


def left(engine: Engine) -> list[Path]:
    """Return what builds in progress have on the disk."""
    folder = engine.paths.root / "build/running"
    return list(folder.iterdir()) if folder.exists() else []
