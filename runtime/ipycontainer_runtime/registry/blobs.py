"""Downloading a blob: a stream of chunks that survives cut connections and can be cancelled.

A connection that breaks is opened again from the byte where it broke (RFC 9110 section 14.2);
a registry that ignores ranges sends the whole again, and what was already had is skipped. The
digest is the reader's to verify: the stream as a whole is one byte sequence, however many
connections it took, and never longer than was declared.
"""

import re
import socket
import threading
from collections.abc import Iterator
from typing import Protocol

import requests
from urllib3.exceptions import HTTPError

from ipycontainer_runtime.errors import ContainerError, Corrupt, Unavailable
from ipycontainer_runtime.registry.client import Call, Registry
from ipycontainer_runtime.registry.errors import Lost, RegistryError
from ipycontainer_runtime.registry.retry import pause

CHUNK = 256 << 10
ATTEMPTS = 5
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")


class Abandoned(ContainerError):  # noqa: N818 - named as the kinds of errors.py are
    """The reader of a download no longer wants it."""


class Sized(Protocol):
    """The part of a descriptor that a download needs."""

    @property
    def digest(self) -> str:
        """Of the whole blob, `sha256:` and 64 hex digits."""
        ...

    @property
    def size(self) -> int:
        """In bytes."""
        ...


class Download:
    """One blob as an iterator of chunks; iterate once, on one thread; cancel from any."""

    def __init__(self, registry: Registry, repository: str, blob: Sized) -> None:
        self._registry = registry
        self._blob = blob
        self._call = Call(
            "GET", f"{repository}/blobs/{blob.digest}", f"repository:{repository}:pull"
        )
        self._received = 0
        self._response: requests.Response | None = None
        self._cancelled = threading.Event()
        self.resumed = 0

    def cancel(self) -> None:
        """Make the iteration raise Abandoned soon, also while it waits for the registry."""
        self._cancelled.set()
        response = self._response
        if response is not None:
            _hang_up(response)

    def __iter__(self) -> Iterator[bytes]:
        failures = 0
        while self._received < self._blob.size:
            before = self._received
            try:
                yield from self._connection()
            except (Lost, OSError, HTTPError) as error:
                failures = 1 if self._received > before else failures + 1
                self._retry(failures, error)
            except RegistryError as error:
                if not error.transient:
                    raise
                failures += 1
                self._retry(failures, error)

    def _retry(self, failures: int, error: Exception) -> None:
        """Wait before the next connection, or raise where enough were tried."""
        if self._cancelled.is_set():
            raise Abandoned("cancelled") from error
        wait = pause(failures, error)
        if failures >= ATTEMPTS or wait is None:
            if isinstance(error, ContainerError):
                raise error
            raise Unavailable(
                f"the registry {self._registry.endpoint.domain} cut the connection {ATTEMPTS} "
                f"times at byte {self._received} of {self._blob.size} of {self._blob.digest}; "
                "try again"
            ) from error
        self.resumed += 1
        if self._cancelled.wait(wait):
            raise Abandoned("cancelled") from error

    def _connection(self) -> Iterator[bytes]:
        with self._open() as response:
            self._response = response
            try:
                skip = self._offset(response)
                for chunk in response.raw.stream(CHUNK, decode_content=False):
                    if self._cancelled.is_set():
                        raise Abandoned("cancelled")
                    if skip >= len(chunk):
                        skip -= len(chunk)
                        continue
                    yield self._counted(chunk[skip:] if skip else chunk)
                    skip = 0
            finally:
                self._response = None
        if self._received < self._blob.size:
            raise ConnectionResetError("the registry ended the answer early")

    def _open(self) -> requests.Response:
        if self._cancelled.is_set():
            raise Abandoned("cancelled")
        if not self._received:
            return self._registry.call(self._call)
        return self._registry.call(
            self._call._replace(headers={"Range": f"bytes={self._received}-"})
        )

    def _offset(self, response: requests.Response) -> int:
        """Return how many bytes of this answer are already had."""
        if response.status_code != 206:
            return self._received
        found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        start = int(found[1]) if found else self._received
        if start > self._received:
            raise Corrupt(
                f"the registry {self._registry.endpoint.domain} resumed {self._blob.digest} at "
                f"byte {start} where {self._received} was asked for"
            )
        return self._received - start

    def _counted(self, chunk: bytes) -> bytes:
        self._received += len(chunk)
        if self._received > self._blob.size:
            raise Corrupt(
                f"{self._blob.digest} is longer than the {self._blob.size} bytes that its manifest "
                f"declares; the registry {self._registry.endpoint.domain} is broken or hostile"
            )
        return chunk


def _hang_up(response: requests.Response) -> None:
    """Shut the connection of an answer down, which wakes a thread that waits for its bytes."""
    connection = getattr(response.raw, "connection", None) or getattr(
        response.raw, "_connection", None
    )
    sock = getattr(connection, "sock", None)
    if isinstance(sock, socket.socket):
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # already down, which is what was wanted
