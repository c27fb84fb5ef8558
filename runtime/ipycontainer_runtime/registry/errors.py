"""What a registry answers when it refuses, and the words for what `requests` raises."""

import ssl
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime

import msgspec
import requests

from ipycontainer_runtime.errors import ContainerError, NotFound, Unavailable
from ipycontainer_runtime.registry.hosts import Endpoint

ERROR_LIMIT = 64 << 10


class RegistryError(Unavailable):
    """A registry answered with an error status.

    `code` is the distribution API's (`MANIFEST_UNKNOWN`, `DENIED`, …), or empty; `http` is the
    status of the answer. The message has the form that Docker's engine gives it. `retry_after` are
    the seconds that the registry asks to wait, None where it asks for nothing.
    """

    def __init__(
        self, message: str, *, code: str, http: int, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.http = http
        self.retry_after = retry_after
        self.status = 500

    @property
    def transient(self) -> bool:
        """Tell whether the same request may well succeed a moment later."""
        # 499 is what a registry, or a proxy before it, says of a request that did not come whole.
        return self.http in (408, 429, 499, 500, 502, 503, 504)


class Lost(Unavailable):
    """The connection to a registry failed, or broke in the middle of an answer."""

    status = 500

    def __init__(self, message: str, *, transient: bool = True) -> None:
        super().__init__(message)
        self.transient = transient
        """False where another attempt meets the same: a certificate, or an answer that was awaited
        for as long as anybody waits."""


class _Entry(msgspec.Struct):
    code: str = ""
    message: str = ""


# What a server in Go says to plain http, which a registry on this machine is spoken to in.
_TLS_WANTED = b"Client sent an HTTP request to an HTTPS server"
_BY_STATUS = {
    401: _Entry("UNAUTHORIZED", "authentication required"),
    403: _Entry("DENIED", "requested access to the resource is denied"),
}


class _Body(msgspec.Struct):
    errors: list[_Entry] = []


def answered(
    endpoint: Endpoint, http: int, body: bytes, headers: Mapping[str, str]
) -> RegistryError:
    """Turn an error answer into words, from its first entry where it is the API's JSON."""
    wished = _retry_after(headers)
    later = f"; it asks to be tried again in {wished:.0f} seconds" if wished else ""
    if http == 400 and body.startswith(_TLS_WANTED):
        message = f"the registry {endpoint.domain} speaks TLS"
        cure = f"put its authority's certificate into {endpoint.certificates}/ca.crt"
        return RegistryError(f"{message}: {cure}", code="", http=http)
    # An answer to HEAD has no body; these two statuses mean what their codes say.
    entry = _first(body) or _BY_STATUS.get(http)
    if entry is None:
        return RegistryError(
            f"the registry {endpoint.domain} answered with HTTP status {http}{later}",
            code="",
            http=http,
            retry_after=wished,
        )
    words = entry.code[:100].replace("_", " ").lower()
    text = "".join(c if c.isprintable() else " " for c in entry.message[:500])
    return RegistryError(
        f"{words}: {text or words}{later}", code=entry.code, http=http, retry_after=wished
    )


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds from now that Retry-After names, as a number or as a date."""
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text[:9])
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except ValueError:
        return None


def _first(body: bytes) -> _Entry | None:
    try:
        entries = msgspec.json.decode(body, type=_Body).errors
    except (msgspec.MsgspecError, RecursionError):
        return None
    return entries[0] if entries and entries[0].code else None


def unreachable(endpoint: Endpoint, error: Exception) -> Lost:
    """Name the registry, what went wrong in plain words, and what to do about it."""
    folder, causes = endpoint.certificates, list(_causes(error))
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        cure = f"if you trust it, put its authority's certificate into {folder}/ca.crt"
    elif any(isinstance(cause, ssl.SSLError) for cause in causes):
        cure = f"if it asks for a certificate, put client.cert and client.key into {folder}"
    elif endpoint.loopback:
        cure = "start it, or check the port in the image's name"
    else:
        cure = "check the image's name and this machine's network"
    lasting = (requests.exceptions.Timeout, requests.exceptions.SSLError)
    return Lost(
        f"cannot reach the registry {endpoint.domain}: {_reason(error)}; {cure}",
        transient=not isinstance(error, lasting),
    )


def _reason(error: BaseException) -> str:
    """Find the operating system's own words: `requests` wraps them three deep."""
    if isinstance(error, requests.exceptions.Timeout):
        return "it did not answer in time"
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its TLS certificate is not accepted, {cause.verify_message}"
        if isinstance(cause, ssl.SSLError) and cause.reason:
            return f"TLS failed, {cause.reason.replace('_', ' ').lower()}"
        if (
            isinstance(cause, OSError)
            and cause.strerror
            and not isinstance(cause, requests.RequestException)
        ):
            return cause.strerror[:1].lower() + cause.strerror[1:]
    if isinstance(error, requests.exceptions.SSLError):
        return "its TLS certificate or protocol is not accepted"
    return "the connection failed"


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: object = error
    for _ in range(12):
        if not isinstance(seen, BaseException):
            return
        yield seen
        reason = getattr(seen, "reason", None)  # of urllib3 an exception, of ssl a word
        seen = reason if isinstance(reason, BaseException) else _inner(seen)


def _inner(error: object) -> BaseException | None:
    context = getattr(error, "__cause__", None) or getattr(error, "__context__", None)
    if isinstance(context, BaseException):
        return context
    first = next(iter(getattr(error, "args", ())), None)
    return first if isinstance(first, BaseException) else None


def for_pull(error: RegistryError, familiar_name: str, familiar: str) -> ContainerError:
    """Give a refused pull the words and the status that Docker's engine gives it."""
    if error.code in ("DENIED", "UNAUTHORIZED") or error.http in (401, 403):
        return NotFound(
            f"pull access denied for {familiar_name}, repository does not exist or may require "
            f"'docker login': {error}"
        )
    if error.code == "NAME_UNKNOWN":
        return NotFound(f"repository {familiar_name} not found: {error}")
    if error.code == "MANIFEST_UNKNOWN" or error.http == 404:
        return NotFound(f"manifest for {familiar} not found: {error}")
    return error
