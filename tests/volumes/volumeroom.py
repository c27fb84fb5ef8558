"""Images with volumes, and what tests ask of an engine about them."""

import os
from pathlib import Path
from typing import Any

from support import calls
from support.copies import archive, folder, hard_link, member, symlink
from support.hosts import Host

TREE = archive(
    folder("data/", mode=0o1755, uid=5, gid=6, pax_headers={"SCHILY.xattr.user.top": "blue"}),
    member("data/file", b"one", mode=0o4751, uid=7, gid=8),
    member("data/marked", b"two", pax_headers={"SCHILY.xattr.user.colour": "green"}),
    hard_link("data/twin", "data/file"),
    symlink("data/link", "file"),
    symlink("data/out", "../../../etc/passwd"),
    member("data/pipe", type=b"6"),
    member("data/.wh.kept", b"no whiteout"),
    folder("data/empty", mode=0o700),
    folder("data/deep/er", mode=0o755),
    member("data/deep/er/f", b"x" * 70000),
    folder("owned", mode=0o770, uid=5, gid=6),
    symlink("there", "data"),
    symlink("climbs", "../../../../../../../../data"),
    member("file", b"a file"),
)
"""What an image has: a folder of every kind of file, one that is empty, links to it, and a file."""


def build(host: Host, busybox: str, place: Path, *lines: str, name: str = "volumes") -> str:
    """Build an image of busybox, TREE and further lines, and return its name."""
    (place / "tree.tar").write_bytes(TREE)
    (place / "Dockerfile").write_text("\n".join((f"FROM {busybox}", "ADD tree.tar /", *lines, "")))
    host.succeed("build", "-q", "-t", name, str(place))
    return name


def mounts(host: Host, container: str) -> dict[str, dict[str, Any]]:
    """Return a container's Mounts by their place."""
    found = calls.call(host, "GET", f"/containers/{container}/json").body["Mounts"]
    return {mount["Destination"]: mount for mount in found}


def volumes(host: Host) -> set[str]:
    """Return the names of an engine's volumes."""
    return {v["Name"] for v in calls.call(host, "GET", "/volumes").body["Volumes"] or ()}


def volume(host: Host, name: str = "", **fields: Any) -> dict[str, Any]:
    """Create a volume and return what the engine says of it."""
    reply = calls.call(host, "POST", "/volumes/create", {"Name": name, **fields})
    assert reply.status == 201, reply.body
    found = reply.body
    assert isinstance(found, dict)
    return found


def refusal(host: Host, image: str, **fields: Any) -> tuple[int, str]:
    """Return status and message of a container that is refused."""
    settings = {"NetworkMode": "none", **fields.pop("HostConfig", {})}
    body = {"Image": image, "HostConfig": settings, **fields}
    reply = calls.call(host, "POST", "/containers/create", body)
    assert reply.status != 201, reply.body
    return reply.status, reply.message


def facts(path: Path) -> dict[str, tuple[object, ...]]:
    """Return what is at each path of a tree: kind, mode, ids, content, xattrs, first name."""
    found: dict[str, tuple[object, ...]] = {}
    first: dict[int, str] = {}
    for top, folders, files in os.walk(path):
        for name in ("", *sorted(files), *(f for f in folders if os.path.islink(f"{top}/{f}"))):
            at = Path(top, name)
            status = at.lstat()
            content: object = None
            if at.is_symlink():
                content = os.readlink(at)
            elif at.is_file():
                content = hash(at.read_bytes())
            relative = str(at.relative_to(path))
            twin = first.setdefault(status.st_ino, relative)
            xattrs = [n for n in os.listxattr(at, follow_symlinks=False) if n.startswith("user.")]
            values = {
                n: os.getxattr(at, n, follow_symlinks=False) for n in xattrs if "ipyc" not in n
            }
            found[relative] = (status.st_mode, status.st_uid, status.st_gid, content, values, twin)
    return found
