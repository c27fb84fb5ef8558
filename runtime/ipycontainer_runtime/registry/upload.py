"""Pushing: blobs that the registry lacks, then the manifest that names them.

The bytes go up as they lie in the store, so digests are the same before and after. A blob that
another repository of the registry holds is mounted from there. Otherwise it goes up in pieces, each
with its Content-Range, and after a cut connection the registry is asked how much it has. Protocol:
https://github.com/opencontainers/distribution-spec/blob/main/spec.md#push
"""

import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import BinaryIO, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from ipycontainer_runtime.errors import Corrupt, Unavailable
from ipycontainer_runtime.registry.blobs import Abandoned, Sized
from ipycontainer_runtime.registry.client import Call, Registry, read_bounded
from ipycontainer_runtime.registry.errors import ERROR_LIMIT, Lost, RegistryError
from ipycontainer_runtime.registry.retry import pause

PIECE = 64 << 20
"""Bytes of one request: proxies before registries refuse larger ones (Cloudflare's from 100 MB)."""
LEAST_PIECE = 1 << 20
"""What nginx takes of one request unless it is told otherwise."""
ATTEMPTS = 6
"""In a row without a byte in between, over six seconds: a registry may be starting again."""
_READ = 128 << 10
_RANGE = re.compile(r"(?:bytes=)?0-(\d{1,18})")
# How registries refuse an upload in pieces: no such method, not here, not so.
_NO_PIECES = frozenset({400, 404, 405, 411, 415, 501})
# What they say to an upload that is not as far as they said that it was.
_ASTRAY = frozenset({400, 404, 416})

Sent = Callable[[int], None]
"""Called with the bytes sent so far, on the pushing thread."""


class Mount(NamedTuple):
    """What came of an attempt: from which repository, or an upload that was begun instead."""

    source: str | None
    location: str


class Uploader:
    """Pushes to one repository of one registry; several threads may push blobs at once."""

    def __init__(self, registry: Registry, repository: str) -> None:
        self.registry = registry
        self._repository = repository
        self._scope = f"repository:{repository}:pull,push"

    def has(self, digest: str) -> bool:
        """Tell whether the repository holds this blob."""
        try:
            self.registry.fetch(self.call("HEAD", f"blobs/{digest}"), 0)
        except RegistryError as error:
            if error.http == 404:
                return False
            raise
        return True

    def mount(self, digest: str, sources: Sequence[str]) -> "Mount":
        """Take a blob over from one of these repositories of the same registry.

        A registry that cannot, or will not for this user, begins an upload in its stead.
        """
        begun = ""
        for source in sources:
            query = urlencode({"mount": digest, "from": source})
            call = self.call("POST", f"blobs/uploads/?{query}", body=b"")
            scope = f"{self._scope} repository:{source}:pull"
            try:
                status, headers = self._answer(call._replace(scope=scope))
                self.forget(begun)
                begun = "" if status == 201 else self.where(headers)
            except RegistryError:
                continue  # it was an attempt: whatever is wrong is told by the upload
            if status == 201:
                return Mount(source, "")
        return Mount(None, begun)

    def blob(
        self,
        blob: Sized,
        file: BinaryIO,
        sent: Sent,
        stop: threading.Event,
        location: str = "",
    ) -> None:
        """Upload one blob from an open file; raises Abandoned soon after `stop` was set.

        `location` is that of an upload that was begun already.
        """
        _Upload(self, blob, file, sent, stop, location).run()

    def manifest(self, raw: bytes, media_type: str, reference: str) -> None:
        """Put a manifest under a tag or its digest, exactly as its bytes are."""
        call = self.call("PUT", f"manifests/{reference}", {"Content-Type": media_type}, raw)
        # The same bytes under the same name: doing it twice does no harm.
        self.registry.fetch(call, ERROR_LIMIT)

    def begin(self) -> str:
        """Begin an upload and return where to."""
        _, headers = self._answer(self.call("POST", "blobs/uploads/", body=b""))
        if location := self.where(headers):
            return location
        raise Unavailable(
            f"the registry {self.registry.endpoint.domain} accepts an upload but does not say "
            "where to (no Location)"
        )

    def where(self, headers: Mapping[str, str]) -> str:
        """Return where an upload goes on, a URL or an absolute path; empty where nothing is said.

        Which hosts a registry may name is looked at where the request is made.
        """
        location = headers.get("Location", "").strip()
        if not location or location.startswith(("/", "http://", "https://")):
            return location
        raise Unavailable(
            f"the registry {self.registry.endpoint.domain} names {location[:200]!r} as where to "
            "upload to, which is refused: neither a URL of http or https nor a path of its own"
        )

    def forget(self, location: str) -> None:
        """Take an upload back that came to nothing; the registry would keep it for days."""
        if location:
            try:
                self._answer(self.call("DELETE", location))
            except Unavailable:
                return  # then it is the registry's to clean up

    def call(
        self,
        method: str,
        location: str,
        headers: Mapping[str, str] | None = None,
        body: "bytes | _Piece | None" = None,
    ) -> Call:
        """Return a request; `location` is below the repository, or what the registry gave."""
        if not location.startswith(("http://", "https://", "/")):
            location = f"{self._repository}/{location}"
        return Call(method, location, self._scope, headers or {}, body)

    def send(self, call: Call) -> Mapping[str, str]:
        """Make a request and return the headers of its answer."""
        return self._answer(call)[1]

    def _answer(self, call: Call) -> tuple[int, Mapping[str, str]]:
        with self.registry.call(call) as response:
            # Read to its end, so that the connection is used again.
            read_bounded(response, ERROR_LIMIT)
            return response.status_code, response.headers


class _Upload:
    """One blob on its way; used once, on one thread."""

    def __init__(
        self,
        uploader: Uploader,
        blob: Sized,
        file: BinaryIO,
        sent: Sent,
        stop: threading.Event,
        location: str,
    ) -> None:
        self._uploader = uploader
        self._blob = blob
        self._file = file
        self._sent = sent
        self._stop = stop
        self._location = location
        self._done = 0
        """Bytes that the registry has."""
        self._whole = False
        """True once the registry takes no pieces: the blob goes up in the one PUT."""
        self._piece = PIECE
        self._resumed = False
        """True once an upload was gone on with that was cut before."""

    def run(self) -> None:
        """Do it, again and again where the connection breaks and there is progress."""
        failures = 0
        while True:
            before = self._done
            try:
                return self._attempt(resumed=failures > 0)
            except (Lost, RegistryError) as error:
                if isinstance(error, RegistryError) and self._settled(error):
                    continue
                failures = 1 if self._done > before else failures + 1
                self._wait(failures, error)

    def _attempt(self, *, resumed: bool) -> None:
        if self._stop.is_set():
            raise Abandoned("cancelled")
        if resumed and self._uploader.has(self._blob.digest):
            return None  # only the last answer was lost
        if self._location and resumed:
            self._ask()
        if not self._location:
            self._location, self._done = self._uploader.begin(), 0
        if self._whole:
            return self._put(0)
        while self._done < self._blob.size:
            self._patch()
        return self._put(self._done)

    def _ask(self) -> None:
        """Ask the registry how much it has; nothing where it has forgotten the upload."""
        try:
            headers = self._uploader.send(self._uploader.call("GET", self._location))
        except RegistryError as error:
            if error.transient:
                raise
            self._location = ""
            return
        self._location = self._uploader.where(headers) or self._location
        self._done = self._received(headers, 0)
        self._resumed = self._done > 0

    def _patch(self) -> None:
        first = self._done
        last = min(first + self._piece, self._blob.size) - 1
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Range": f"{first}-{last}",
        }
        body = self._bytes(first, last + 1)
        answer = self._uploader.send(self._uploader.call("PATCH", self._location, headers, body))
        self._location = self._uploader.where(answer) or self._location
        self._done = self._received(answer, last + 1)
        if self._done <= first:
            raise Lost(f"{self._name} took nothing of {self._blob.digest}; try again")

    def _put(self, first: int) -> None:
        """Say that this is all, with whatever was not sent in pieces."""
        parts = urlsplit(self._location)
        query = urlencode(
            [*parse_qsl(parts.query, keep_blank_values=True), ("digest", self._blob.digest)]
        )
        url = parts._replace(query=query).geturl()
        headers = {"Content-Type": "application/octet-stream"}
        body = self._bytes(first, self._blob.size) if first < self._blob.size else b""
        self._uploader.send(self._uploader.call("PUT", url, headers, body))
        self._sent(self._blob.size)

    def _bytes(self, first: int, end: int) -> "_Piece":
        return _Piece(self._file.fileno(), first, end, self._sent, self._stop)

    def _received(self, headers: Mapping[str, str], otherwise: int) -> int:
        """Return how many bytes an answer says that the registry has, from the first on."""
        found = _RANGE.fullmatch(headers.get("Range", "").strip())
        count = int(found[1]) + 1 if found else otherwise
        # docker-registry's way to say "nothing yet", which is written as one byte.
        count = 0 if found and found[1] == "0" else count
        if count > self._blob.size:
            raise Unavailable(
                f"{self._name} says that it has {count} bytes of {self._blob.digest}, which has "
                f"{self._blob.size}"
            )
        return count

    def _settled(self, error: RegistryError) -> bool:
        """Find another way where the registry refuses this one; tell whether there is one."""
        if error.http == 413 and not self._whole and self._piece > LEAST_PIECE:
            self._piece = max(LEAST_PIECE, self._piece // 8)
        elif error.http in _ASTRAY and self._resumed:
            self._resumed = False  # the cut request was still being written when we asked
        elif error.http in _NO_PIECES and self._location and not self._whole and not self._done:
            self._whole = True
        else:
            return False
        self._uploader.forget(self._location)
        self._location = ""
        return True

    def _wait(self, failures: int, error: Lost | RegistryError) -> None:
        """Wait before the next attempt, or raise where there were enough."""
        wait = pause(failures, error)
        if not error.transient or failures >= ATTEMPTS or wait is None:
            raise error
        if self._stop.wait(wait):
            raise Abandoned("cancelled") from error

    @property
    def _name(self) -> str:
        return f"the registry {self._uploader.registry.endpoint.domain}"


class _Piece:
    """Some bytes of a file as a body, which `requests` may ask for twice: it takes len()."""

    def __init__(
        self, descriptor: int, first: int, end: int, sent: Sent, stop: threading.Event
    ) -> None:
        self._descriptor = descriptor
        self._first = first
        self._end = end
        self._sent = sent
        self._stop = stop

    def __len__(self) -> int:
        return self._end - self._first

    def __iter__(self) -> Iterator[bytes]:
        at = self._first
        while at < self._end:
            if self._stop.is_set():
                raise Abandoned("cancelled")
            chunk = os.pread(self._descriptor, min(_READ, self._end - at), at)
            if not chunk:
                raise Corrupt(f"a blob in the store ends at byte {at} of {self._end}")
            yield chunk
            at += len(chunk)
            self._sent(at)
