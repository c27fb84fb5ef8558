"""Pushing: blobs that the registry lacks, then the manifest that names them.

The bytes go up as they lie in the store, so digests are the same before and after. Protocol:
https://github.com/opencontainers/distribution-spec/blob/main/spec.md#push
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from ipycontainer_runtime.errors import Unavailable
from ipycontainer_runtime.registry.blobs import CHUNK, Abandoned, Sized
from ipycontainer_runtime.registry.client import Call, Registry
from ipycontainer_runtime.registry.errors import ERROR_LIMIT, RegistryError

Sent = Callable[[int], bool]
"""Called with the bytes sent so far, on the pushing thread; a false answer cancels the push."""


class Uploader:
    """Pushes to one repository of one registry; several threads may push blobs at once."""

    def __init__(self, registry: Registry, repository: str) -> None:
        self._registry = registry
        self._repository = repository
        self._scope = f"repository:{repository}:pull,push"

    def has(self, digest: str) -> bool:
        """Tell whether the repository holds this blob."""
        try:
            self._registry.call(self._call("HEAD", f"blobs/{digest}")).close()
        except RegistryError as error:
            if error.http == 404:
                return False
            raise
        return True

    def blob(self, blob: Sized, path: Path, sent: Sent) -> None:
        """Upload one blob from a file, in one streamed PUT."""
        location = self._begin()
        parts = urlsplit(location)
        query = urlencode(
            [*parse_qsl(parts.query, keep_blank_values=True), ("digest", blob.digest)]
        )
        call = self._call("PUT", parts._replace(query=query).geturl())
        headers = {"Content-Type": "application/octet-stream"}
        body = _File(path, blob.size, sent)
        self._registry.read(call._replace(headers=headers, body=body), ERROR_LIMIT)

    def manifest(self, raw: bytes, media_type: str, reference: str) -> None:
        """Put a manifest under a tag or its digest, exactly as its bytes are."""
        call = self._call("PUT", f"manifests/{reference}")
        self._registry.read(
            call._replace(headers={"Content-Type": media_type}, body=raw), ERROR_LIMIT
        )

    def _begin(self) -> str:
        _, headers = self._registry.read(self._call("POST", "blobs/uploads/", b""), ERROR_LIMIT)
        location = headers.get("Location", "")
        if not location:
            raise Unavailable(
                f"the registry {self._registry.endpoint.domain} accepts an upload but does not say "
                "where to (no Location)"
            )
        return location

    def _call(self, method: str, location: str, body: bytes | None = None) -> Call:
        if not location.startswith(("http://", "https://", "/")):
            location = f"{self._repository}/{location}"
        return Call(method, location, self._scope, {}, body)


class _File:
    """A body of known length that can be sent again: `requests` asks for len() and iterates."""

    def __init__(self, path: Path, size: int, sent: Sent) -> None:
        self._path = path
        self._size = size
        self._sent = sent

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        done = 0
        with self._path.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk
                done += len(chunk)
                if not self._sent(done):
                    raise Abandoned("cancelled")
