"""Docker's config.json: which logins it holds, which helpers it names, and how it is rewritten.

Format: https://docs.docker.com/reference/cli/docker/#configuration-files
"""

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from ipycontainer_runtime.credentials.login import Entry, Login, domain, kept_in
from ipycontainer_runtime.errors import InvalidParameter, Unavailable

LIMIT = 1 << 20


class Content(msgspec.Struct, rename={"helpers": "credHelpers", "store": "credsStore"}):
    """The part of the file that is about logins."""

    auths: dict[str, Entry] = {}
    helpers: dict[str, str] = {}
    """The helper's name by server."""
    store: str = ""
    """The helper for all other servers."""


class DockerConfig:
    """$DOCKER_CONFIG/config.json, else the one in ~/.docker; a missing file holds nothing."""

    def __init__(self, path: Path | None = None) -> None:
        folder = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
        self.path = path or Path(folder) / "config.json"

    def lookup(self, server: str) -> Login | None:
        """Return the login that the file itself holds for exactly this domain.

        Raises InvalidParameter, naming the file, where it cannot be read as Docker writes it.
        """
        with self._readable():
            for name, kept in self.content().auths.items():
                if domain(name) == domain(server):
                    login = kept.login()
                    return kept_in(login, str(self.path)) if login else None
        return None

    def domains(self) -> list[str]:
        """Return the domains that a login is stored for; errors as in `lookup`."""
        return [domain(name) for name in self.content().auths]

    def content(self) -> Content:
        """Return what the file says of logins; errors as in `lookup`."""
        with self._readable():
            whole = msgspec.json.decode(self._readable_bytes() or b"{}", type=dict[str, Any])
            # Docker's own reader, in Go, takes null for nothing.
            return msgspec.convert({k: v for k, v in whole.items() if v is not None}, Content)

    def change(self, edit: Callable[[dict[str, Any]], None]) -> None:
        """Rewrite the file by `edit`, which is given its JSON and leaves other keys as they are.

        Atomic, 0600, and alone: what two of us change at a time is there twice.
        """
        target = Path(os.path.realpath(self.path))  # Docker follows a link, and keeps it
        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._alone(target.parent):
                with self._readable():
                    whole = msgspec.json.decode(self._read() or b"{}", type=dict[str, Any])
                edit(whole)
                _replace(target, (json.dumps(whole, indent="\t", ensure_ascii=False)).encode())
        except OSError as error:
            raise Unavailable(
                f"cannot write {target}: {error.strerror}; make it readable and writable, or set"
                " DOCKER_CONFIG to a folder that is"
            ) from error

    def _readable_bytes(self) -> bytes:
        try:
            return self._read()
        except PermissionError:  # what this user may not look into is not for this user
            return b""

    def _read(self) -> bytes:
        try:
            with self.path.open("rb") as file:
                raw = file.read(LIMIT + 1)
        except (FileNotFoundError, NotADirectoryError):
            return b""
        if len(raw) > LIMIT:
            raise ValueError(f"it is larger than {LIMIT} bytes")
        return raw

    @staticmethod
    @contextlib.contextmanager
    def _alone(folder: Path) -> Iterator[None]:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, msgspec.MsgspecError, RecursionError):
            # Not chained: the cause may quote what it could not decode, which is a secret.
            raise InvalidParameter(
                f"{self.path} is not a Docker configuration; repair or remove it"
            ) from None


def _replace(target: Path, content: bytes) -> None:
    # mkstemp makes it 0600 from the beginning.
    descriptor, name = tempfile.mkstemp(prefix=f"{target.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise
