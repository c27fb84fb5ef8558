"""What is injected, kept on this computer: made once, whole or not at all, and not for ever.

`~/.cache/ipycontainer/kernels/KEY/`. A folder is made beside its place and renamed, under a lock
that lets two who want the same make one. Containers have it mounted, so one that is in use stays.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from docker import DockerClient

KEPT: Final = 16
_DAY = 86_400.0
_RECENT = 7 * _DAY
_ABANDONED = 1 * _DAY
_MAKING = "making-"


def home() -> Path:
    """Return the folder of all of it, made if need be; nobody else may look into it."""
    own = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(own).absolute() / "ipycontainer" / "kernels"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def key(*parts: Any) -> str:
    """Return the name of what is made of `parts`, which are JSON's types."""
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def kept(name: str, make: Callable[[Path], None]) -> Path:
    """Return the folder `name`; `make` fills it where it is not there yet."""
    place = home() / name
    if not place.is_dir():
        with _locked(name):
            if not place.is_dir():
                _made(place, make)
    os.utime(place)  # when it was last wanted
    return place.resolve()


def also(place: Path, name: str) -> None:
    """Let `name` be found at `place` too."""
    link = home() / name
    if not link.exists():
        link.unlink(missing_ok=True)
        with suppress(FileExistsError):  # somebody else was first
            link.symlink_to(place.name)


def _made(place: Path, make: Callable[[Path], None]) -> None:
    making = Path(tempfile.mkdtemp(prefix=_MAKING, dir=place.parent))
    try:
        make(making)
        readable(making)
        place.unlink(missing_ok=True)  # a link to what was removed by hand
        making.rename(place)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise


def readable(folder: Path) -> None:
    """Let every user of a container read it, whatever the umask here is."""
    for path, _, names in os.walk(folder):
        os.chmod(path, 0o755)  # noqa: S103 - below a folder that is 0700
        for name in names:
            file = os.path.join(path, name)
            mode = os.stat(file, follow_symlinks=False).st_mode
            if mode & 0o444 != 0o444:
                os.chmod(file, 0o644)


@contextmanager
def _locked(name: str) -> Iterator[None]:
    with (home() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def prune(client: DockerClient, keep: int = KEPT) -> list[str]:
    """Remove what nobody wanted lately beyond the `keep` newest; return the names.

    What a container of `client`'s engine has mounted stays, and what was wanted this week.
    """
    now, found = time.time(), []
    for path in home().iterdir():
        if path.is_dir() and not path.is_symlink():
            found.append((path.stat().st_mtime, path))
    found.sort(reverse=True)
    half = [p for at, p in found if p.name.startswith(_MAKING) and now - at > _ABANDONED]
    whole = [(at, p) for at, p in found if not p.name.startswith(_MAKING)]
    old = [path for at, path in whole[keep:] if now - at > _RECENT]
    used = _mounted(client) if old else set()
    gone = half + [path for path in old if str(path) not in used]
    for path in gone:
        shutil.rmtree(path, ignore_errors=True)
        path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    for link in home().iterdir():
        if link.is_symlink() and not link.exists():
            link.unlink(missing_ok=True)
    return [path.name for path in gone]


def _mounted(client: DockerClient) -> set[str]:
    return {
        mount.get("Source", "")
        for container in client.api.containers(all=True)
        for mount in container.get("Mounts") or ()
    }
