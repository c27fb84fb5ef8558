"""What every handler of the Engine API has: parameters, replies, streams, errors, versions.

Handlers hold no logic: they read a request, call one use case of the engine and reply.
"""

import asyncio
import re
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from tornado.http1connection import HTTP1Connection
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, RequestHandler

from ipycontainer_runtime import __version__
from ipycontainer_runtime.api import hijack
from ipycontainer_runtime.engine.strings import refuse_zeros
from ipycontainer_runtime.errors import ContainerError, Forbidden, InvalidParameter, shortage

if TYPE_CHECKING:
    from ipycontainer_runtime.engine.engine import Engine

T = TypeVar("T")

API_VERSION = (1, 50)
MIN_API_VERSION = (1, 24)
VERSION_PREFIX = re.compile(r"/v([0-9]{1,9})\.([0-9]{1,9})(?=/)")

_JSON = "application/json"
_FALSE = frozenset(("", "0", "no", "false", "none"))


def version_text(version: tuple[int, int]) -> str:
    """Return `1.50` for (1, 50)."""
    return f"{version[0]}.{version[1]}"


_HEADERS = {
    "Api-Version": version_text(API_VERSION),
    "Docker-Experimental": "false",
    "Ostype": "linux",
    "Server": f"ipycontainer/{__version__} (linux)",
}


class EngineHandler(RequestHandler):
    """One endpoint; subclasses define `get`, `post`, … and are listed in their module's ROUTES.

    A ContainerError that leaves a handler becomes `{"message": …}` with the error's status.
    """

    # Set by a handler whose connection may be hijacked: it survives the client's half-close.
    hijacks = False

    engine: "Engine"
    api_version: tuple[int, int] = API_VERSION

    def initialize(self) -> None:
        """Take the engine, and a second hold on a connection that may be hijacked."""
        self.engine = self.application.settings["engine"]
        self._gone = False
        self._streaming: asyncio.Task[Any] | None = None
        self._duplicate = hijack.duplicate(self._connection().stream) if self.hijacks else None

    def _connection(self) -> HTTP1Connection:
        connection = self.request.connection
        assert isinstance(connection, HTTP1Connection)
        return connection

    def set_default_headers(self) -> None:
        """Send what clients negotiate by."""
        # Past set_header(), which would check these constants in every reply.
        self._headers.update(_HEADERS)

    def compute_etag(self) -> None:
        """Send no Etag: replies describe what changes all the time."""

    def prepare(self) -> None:
        """Refuse browsers, and versions that this engine does not speak."""
        if "Origin" in self.request.headers or "Sec-Fetch-Site" in self.request.headers:
            raise Forbidden("requests from web pages are refused; use a client of the Engine API")
        if match := VERSION_PREFIX.match(self.request.path):
            self.api_version = _checked_version(int(match[1]), int(match[2]))

    # -- what was asked

    def text(self, name: str, default: str = "") -> str:
        """Return one query parameter."""
        return self.get_query_argument(name, default, strip=False)

    def flag(self, name: str, default: bool = False) -> bool:
        """Return a query parameter as Docker reads booleans: all but 0, no, false, none is true."""
        value = self.get_query_argument(name, None)
        return default if value is None else value.lower() not in _FALSE

    def integer(self, name: str, default: int | None = None) -> int | None:
        """Return a whole number from the query; InvalidParameter when it is not one."""
        value = self.text(name)
        if not value:
            return default
        try:
            return int(value)
        except ValueError:
            raise InvalidParameter(f'invalid {name} "{value}": a whole number is wanted') from None

    def filters(self) -> dict[str, list[str]]:
        """Return `filters`: {name: [value]}, or as older clients send it {name: {value: true}}."""
        value = self.text("filters")
        if not value:
            return {}
        try:
            given = msgspec.json.decode(value, type=dict[str, list[str] | dict[str, bool]])
        except msgspec.MsgspecError as error:
            raise InvalidParameter(f"invalid filters {value}: {error}") from error
        return {
            name: [value for value in values if not isinstance(values, dict) or values[value]]
            for name, values in given.items()
        }

    def body_json(self, kind: type[T]) -> T:
        """Decode the body; InvalidParameter says where it does not fit `kind`."""
        if not self.request.body:
            raise InvalidParameter(
                "invalid JSON: the request has no body, one JSON value is wanted"
            )
        refuse_zeros(self.request.body)
        try:
            return msgspec.json.decode(self.request.body, type=kind)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise InvalidParameter(f"invalid JSON: {error}") from error

    # -- what is answered

    def reply(self, value: object, status: int = 200) -> None:
        """Answer with one JSON value."""
        self.set_status(status)
        self.set_header("Content-Type", _JSON)
        self.finish(msgspec.json.encode(value) + b"\n")

    def empty(self, status: int = 204) -> None:
        """Answer with no body."""
        self.set_status(status)
        self.clear_header("Content-Type")
        self.finish()

    def stream(self, content_type: str = _JSON) -> "Stream":
        """Answer in chunks: `async with self.stream() as out: await out.json(value)`.

        When the client goes away the body is cancelled at what it waits for, and the handler
        goes on after the block. A ContainerError before the first chunk has its own status;
        a later one is sent as Docker's `{"errorDetail": …, "error": …}`.
        """
        return Stream(self, content_type)

    def cut(self) -> None:
        """Close the connection, so that nobody takes what was sent for the whole."""
        self._connection().stream.close()

    async def hijack(self, content_type: str = hijack.RAW) -> hijack.Hijacked:
        """Send the head of the raw stream and take the connection out of HTTP.

        Raises StreamClosedError, which is no news for the log, when the client has gone.
        """
        assert self._duplicate is not None, "a handler that hijacks says so: hijacks = True"
        sock, self._duplicate = self._duplicate, None
        buffered = hijack.release(self.detach())
        upgraded = "upgrade" in self.request.headers.get("Connection", "").lower()
        head = hijack.upgrade_head(upgraded=upgraded, content_type=content_type)
        try:
            await asyncio.get_running_loop().sock_sendall(sock, head)
        except OSError as error:
            sock.close()
            raise StreamClosedError(error) from error
        return hijack.Hijacked(sock, buffered)

    def stream_type(self, *, tty: bool) -> str:
        """Return the media type of an attached stream, which 1.42 began to tell apart."""
        if tty or self.api_version < (1, 42):
            return hijack.RAW
        return hijack.MULTIPLEXED

    # -- what goes wrong

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Send Docker's error body; the one place where errors become HTTP."""
        error = _told(kwargs.get("exc_info", (None, None, None))[1])
        if isinstance(error, ContainerError):
            fault = {"Fault": error.fault} if error.fault else {}
            self.reply({"message": str(error), **fault}, error.status)
        elif isinstance(error, HTTPError) and status_code in (404, 405):
            self.reply({"message": "page not found"}, 404)
        elif isinstance(error, HTTPError):
            self.reply({"message": error.log_message or error.reason or "bad request"}, status_code)
        else:
            self.reply({"message": _unexpected(error)}, 500)

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Keep the engine's log for what nobody expected."""
        if not isinstance(_told(value), ContainerError | HTTPError | StreamClosedError):
            super().log_exception(typ, value, tb)

    def on_connection_close(self) -> None:
        """Cancel a stream that nobody reads any more, and end one that is read."""
        super().on_connection_close()
        self._gone = True
        if self._streaming is not None:
            self._streaming.cancel()

    async def _execute(self, transforms: list[Any], *args: bytes, **kwargs: bytes) -> None:
        """Run the handler, then let go of a duplicate that was not used."""
        try:
            await super()._execute(transforms, *args, **kwargs)
        finally:
            if self._duplicate is not None:
                self._duplicate.close()


class Stream:
    """A chunked reply; made by `EngineHandler.stream`."""

    def __init__(self, handler: EngineHandler, content_type: str) -> None:
        self._handler = handler
        self._content_type = content_type
        self.begun = False

    async def __aenter__(self) -> "Stream":
        self._handler._streaming = asyncio.current_task()
        return self

    async def begin(self) -> None:
        """Send the headers now; the first chunk does it otherwise."""
        self.begun = True
        self._handler.set_header("Content-Type", self._content_type)
        await self._handler.flush()

    async def json(self, value: object) -> None:
        """Send one JSON value and a newline."""
        await self.raw(msgspec.json.encode(value) + b"\r\n")

    async def raw(self, data: bytes) -> None:
        """Send one chunk; waits while the client is slow to read."""
        if not self.begun:
            self.begun = True
            self._handler.set_header("Content-Type", self._content_type)
        self._handler.write(data)
        await self._handler.flush()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self._handler._streaming = None
        error = _told(error)
        if isinstance(error, asyncio.CancelledError) and self._handler._gone:
            _uncancel()
            return True
        if isinstance(error, StreamClosedError):
            return True
        if isinstance(error, ContainerError) and self.begun:
            await self._fail(str(error))
            return True
        if isinstance(error, Exception) and self.begun and self._content_type == _JSON:
            # The reply ends as any other: without this a client would take it for a success.
            await self._fail(_unexpected(error))
        return False

    async def _fail(self, message: str) -> None:
        await self.json({"errorDetail": {"message": message}, "error": message})


def _told(error: BaseException | None) -> BaseException | None:
    """Return an error as clients are told of it; that something runs out is foreseen."""
    known = shortage(error, "the engine cannot do this now") if isinstance(error, OSError) else None
    return known or error


def _unexpected(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {error}; see `engine logs`"


def _uncancel() -> None:
    """Make the task whole again: 3.11 began to count how often one was cancelled."""
    task = asyncio.current_task()
    if task is not None and sys.version_info >= (3, 11):
        task.uncancel()


def _checked_version(major: int, minor: int) -> tuple[int, int]:
    version = (major, minor)
    if version > API_VERSION:
        raise InvalidParameter(
            f"client version {version_text(version)} is too new. "
            f"Maximum supported API version is {version_text(API_VERSION)}"
        )
    if version < MIN_API_VERSION:
        raise InvalidParameter(
            f"client version {version_text(version)} is too old. Minimum supported API version "
            f"is {version_text(MIN_API_VERSION)}, please upgrade your client to a newer version"
        )
    return version
