"""Archives of containers as a client asks for them, and the files they are tried on."""

import base64
import io
import json
import tarfile
from typing import Any, NamedTuple
from urllib.parse import quote

from support import calls
from support.hosts import Host

STAT = "x-docker-container-path-stat"


def member(name: str, content: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    """One entry of an archive; `fields` are tarfile's."""
    info = tarfile.TarInfo(name)
    info.size, info.mtime = len(content), 1_700_000_000
    info.mode = 0o755 if fields.get("type") == tarfile.DIRTYPE else 0o644
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def folder(name: str, **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    """A folder's entry."""
    return member(name, type=tarfile.DIRTYPE, **fields)


def symlink(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    """A symlink's entry."""
    return member(name, type=tarfile.SYMTYPE, linkname=target)


def hard_link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    """A hard link's entry."""
    return member(name, type=tarfile.LNKTYPE, linkname=target)


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """Return a whole archive of these entries, in this order."""
    parts = [
        info.tobuf(tarfile.PAX_FORMAT) + content + bytes(-len(content) % 512)
        for info, content in members
    ]
    return b"".join(parts) + bytes(1024)


class Got(NamedTuple):
    """What one path's archive and its header said."""

    status: int
    stat: dict[str, Any]
    members: dict[str, tarfile.TarInfo]
    contents: dict[str, bytes]
    message: str = ""


def get(host: Host, container: str, path: str, method: str = "GET") -> Got:
    """Ask for a path's archive, or with HEAD for its description alone."""
    reply = calls.call(host, method, f"/containers/{container}/archive?path={quote(path)}")
    if reply.status != 200:
        return Got(reply.status, {}, {}, {}, reply.message if reply.body else "")
    stat = json.loads(base64.b64decode(reply.headers[STAT]))
    return Got(200, stat, *opened(reply.body if method == "GET" else b""))


def opened(data: bytes) -> tuple[dict[str, tarfile.TarInfo], dict[str, bytes]]:
    """Return the entries and the contents of an archive, by name."""
    members: dict[str, tarfile.TarInfo] = {}
    contents: dict[str, bytes] = {}
    if data:
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for info in tar:
                members[info.name] = info
                file = tar.extractfile(info) if info.isreg() else None
                contents[info.name] = file.read() if file else b""
    return members, contents


def put(host: Host, container: str, path: str, data: bytes, **flags: str) -> calls.Reply:
    """Send an archive into a folder of a container."""
    connection = calls.Connection(host)
    query = "".join(f"&{name}={value}" for name, value in flags.items())
    target = f"/containers/{container}/archive?path={quote(path)}{query}"
    connection.request("PUT", target, data, {"Content-Type": "application/x-tar"})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return calls.Reply(response.status, json.loads(body) if body else None, {})


def begin_put(host: Host, container: str, path: str, data: bytes, length: int) -> calls.Connection:
    """Send the first bytes of an archive of `length` bytes, and leave the connection open."""
    connection = calls.Connection(host)
    connection.putrequest("PUT", f"/containers/{container}/archive?path={quote(path)}")
    connection.putheader("Content-Length", str(length))
    connection.endheaders(data)
    return connection
