"""The control socket of a kernel's container: what its code may have done to that container.

`%container` in the container (`inside/magic.py`) sends one JSON object in a line and reads lines of
JSON, the last of which has `ok` or `error`. Whoever asks is not trusted: it is any program of the
container. So a request can act on this container alone and name no other, sizes, numbers and times
are bounded, and a name that an image has already is given to no other, unless it was given here.

    {"verb": "commit", "name": "REPOSITORY[:TAG]"}
    {"verb": "checkpoint", "name": ""}    {"verb": "checkpoints"}    {"verb": "info"}
    {"verb": "every-cell", "on": true}    {"verb": "cell", "count": 12}    {"verb": "hello"}
    {"verb": "restore", "name": "NAME"}   → {"ready": true}, ← {"go": true}

`restore` waits for the word to go, so that the kernel can answer its client first.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from ipycontainer.failures import Failure
from ipycontainer_kernel.acts import Acts, Keeping, Owned

IMAGES_BELOW: Final = "localhost/"
LONGEST_LINE: Final = 16384
CONNECTIONS: Final = 8
"""At a time; more are turned away."""
SECONDS: Final = 10.0
"""How long a request may take to come, and a restore to be told to go."""
_FOR_GO: Final = 60.0


class Control:
    """Serves the socket of one kernel's container in threads; `close` ends it.

    `restart` is called with the name of a checkpoint, from a thread: it ends the kernel, gives the
    container those files and starts it anew. Raises what `Failure` tells.
    """

    def __init__(
        self,
        container: Owned,
        restart: Callable[[str], object],
        keeping: Keeping | None = None,
    ) -> None:
        self._acts = Acts(container, keeping or Keeping(), below=IMAGES_BELOW)
        self._restart = restart
        self._listening: socket.socket | None = None
        self._room = threading.BoundedSemaphore(CONNECTIONS)
        self._one_at_a_time = threading.Lock()

    def start(self, path: Path) -> None:
        """Listen at `path`, which is mounted into the container."""
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        path.unlink(missing_ok=True)
        listening.bind(str(path))
        path.chmod(0o666)  # any user of the container
        listening.listen(CONNECTIONS)
        self._listening = listening
        threading.Thread(
            target=self._accept, args=(listening,), name="control", daemon=True
        ).start()

    def close(self) -> None:
        """Take no more connections; what is being done is finished."""
        listening, self._listening = self._listening, None
        if listening is not None:
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
            listening.close()

    def _accept(self, listening: socket.socket) -> None:
        while self._listening is listening:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            if not self._room.acquire(blocking=False):
                connection.close()
                continue
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                self._answer(connection)
        except OSError:
            pass  # whoever asked has gone
        finally:
            self._room.release()

    def _answer(self, connection: socket.socket) -> None:
        lines = _lines(connection)
        try:
            request = _decoded(next(lines))
            name = request.get("name", "")
            if request.get("verb") == "restore":
                self._restore(connection, lines, name)
                return
            with self._one_at_a_time:
                done = self._acts.do(request)
        except Failure as failure:
            _send(connection, {"error": str(failure)})
        except StopIteration:
            _send(connection, {"error": "a request is one line of JSON"})
        else:
            _send(connection, {"ok": True, **done})

    def _restore(self, connection: socket.socket, lines: Iterator[bytes], name: Any) -> None:
        """Give the container its files once the kernel has answered; tell it now if that fails."""
        with self._one_at_a_time:
            self._acts.check(name)
        _send(connection, {"ready": True})
        connection.settimeout(_FOR_GO)
        if _decoded(next(lines, b"{}")).get("go") is not True:
            return
        with self._one_at_a_time:
            self._restart(name)


def _lines(connection: socket.socket) -> Iterator[bytes]:
    """Yield the lines that come in time; none that is too long."""
    until = time.monotonic() + SECONDS
    connection.settimeout(SECONDS)
    data = b""
    while True:
        line, end, rest = data.partition(b"\n")
        if end:
            data = rest
            yield line
            until = time.monotonic() + _FOR_GO
            continue
        if len(data) > LONGEST_LINE:
            raise Failure(f"a request has {LONGEST_LINE} bytes at most")
        if time.monotonic() > until:
            raise Failure(f"a request comes within {SECONDS:.0f} seconds")
        try:
            piece = connection.recv(4096)
        except TimeoutError:
            raise Failure(f"a request comes within {SECONDS:.0f} seconds") from None
        if not piece:
            return
        data += piece


def _decoded(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise Failure("a request is one JSON object in a line") from None
    if not isinstance(found, dict):
        raise Failure("a request is one JSON object in a line")
    return found


def _send(connection: socket.socket, answer: dict[str, Any]) -> None:
    connection.settimeout(SECONDS)
    connection.sendall(json.dumps(answer).encode() + b"\n")
