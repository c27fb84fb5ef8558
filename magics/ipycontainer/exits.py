"""The end of a container, told by the engine to who has asked before the start."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .endings import Ending
from .failures import ENGINE_FAILED, Failure
from .streams import socket_of

if TYPE_CHECKING:
    from .session import Session
    from .streams import Relay


class Exit:
    """The exit code of a container that may be removed the moment it ends.

    The engine answers `wait` with its headers at once and with the code at the end, so asking
    before `start` misses nothing. An engine that is killed meanwhile answers no more, while the
    streams go on: a relay looks after this beside them, and the next engine is asked at once.
    """

    def __init__(self, session: Session, container: str, condition: str) -> None:
        self._session = session
        self._container = container
        self._condition = condition
        self._ask()

    def _ask(self) -> None:
        api = self._session.api
        self._response = api._post(
            api._url("/containers/{0}/wait", self._container),
            params={"condition": self._condition},
            stream=True,
            timeout=None,
        )
        api._raise_for_status(self._response)
        self._socket, early = socket_of(self._response)
        self._waits = not early

    @property
    def descriptor(self) -> int | None:
        """Readable when there is an answer, or none will come; None when that is known."""
        # What TLS has decrypted cannot be looked at without taking it.
        looks = self._waits and not isinstance(self._socket, ssl.SSLSocket)
        return self._socket.fileno() if looks else None

    def look(self) -> None:
        """Ask the next engine where this one has ended without an answer."""
        from docker.errors import APIError
        from requests import RequestException

        self._waits = False
        with suppress(ConnectionResetError):
            if self._socket.recv(1, socket.MSG_PEEK):
                return
        # Where none can be asked the streams go on; `ending` says so after them.
        with suppress(APIError, RequestException, Failure):
            self._ask_again()

    def ending(self, relay: Relay) -> Ending:
        """Wait for the end, by the relay so that signals are still handed on, and return it."""
        while (answer := self._answer(relay)) is None:
            self._ask_again()
        if error := (answer.get("Error") or {}).get("Message"):
            raise Failure(f"waiting for the container failed: {error}", ENGINE_FAILED)
        fault = answer.get("Fault") or {}
        code, peak = int(answer["StatusCode"]), fault.get("Peak", 0)
        return Ending(code, fault.get("Kind"), fault.get("Signal", 0), peak)

    def _answer(self, relay: Relay) -> dict[str, Any] | None:
        """Return what the engine says at the end; None when it went without a word."""
        from requests import RequestException

        if self._waits:
            relay.wait(self._socket.fileno())
        try:
            self._socket.setblocking(True)
            answer: dict[str, Any] = self._response.json()
        except RequestException:  # its end came too early, or all there was
            return None
        return answer

    def _ask_again(self) -> None:
        """Ask the next engine, where the container may have ended already."""
        from docker.errors import NotFound

        self._response.close()
        if self._condition == "next-exit":
            self._condition = "not-running"
        try:
            self._ask()
        except NotFound as error:
            raise Failure(
                f"the engine was ended while container {self._container[:12]} ran; it has ended"
                " and was removed meanwhile, so its exit code is not known",
                ENGINE_FAILED,
            ) from error

    def close(self) -> None:
        """Stop waiting; for a container that did not start or was left running."""
        self._response.close()
