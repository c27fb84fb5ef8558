"""Files of this computer in containers of an engine that cannot mount them: copied, as nobody's."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipycontainer.session import Session


def is_local(session: Session) -> bool:
    """Tell whether the engine is on this computer, and can mount its folders."""
    return session.address.startswith("unix:")


def bound(binds: Iterable[str]) -> dict[str, Path]:
    """Return the files of this computer by their places in the container."""
    parts = (bind.split(":") for bind in binds)
    return {target: Path(source) for source, target, *_ in parts}


def deliver(session: Session, container: str, files: Mapping[str, Path]) -> None:
    """Copy files and folders into a container, before its start."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for target, file in files.items():
            archive.add(file, target.lstrip("/"), filter=_nobodys)
    session.api.put_archive(container, "/", data.getvalue())


def _nobodys(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Whose it is here means nothing there."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry
