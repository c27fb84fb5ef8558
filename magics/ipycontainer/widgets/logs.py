"""`Logs`: what a container says, as it comes."""

from __future__ import annotations

import codecs
from contextlib import closing
from threading import Lock, Thread
from typing import Any

from .desk import engine_client, failed
from .panel import Panel
from .parts import Output, good

_BETWEEN = 0.05
_TAIL = 1000


class Logs(Panel):
    """The last thousand lines of a container's log, and what comes.

    The stream is opened when the first view is there and ends with the last.
    """

    def __init__(self, container: str, *, tail: int = _TAIL) -> None:
        self._container, self._tail = container, tail
        self._output = Output(label=f"Log of {container}")
        self._pending: list[str] = []
        self._lock = Lock()
        super().__init__(self._output)
        self._output.presence.feed(self._feed, f"logs of {container}")

    def _feed(self) -> None:
        self._output.clear()
        self._output.summary = good(f"Log of {self._container}, as it comes.")
        try:
            self._follow()
        except Exception as error:
            self._output.summary = failed(error)
        self.keep()
        self._output.presence.wait_gone()

    def _follow(self) -> None:
        with closing(engine_client()) as client:
            stream = client.api.logs(self._container, stream=True, follow=True, tail=self._tail)
            name = f"log stream of {self._container}"
            reader = Thread(target=self._read, args=(stream,), daemon=True, name=name)
            watcher = Thread(target=self._close_when_gone, args=(stream,), daemon=True)
            reader.start()
            watcher.start()
            while reader.is_alive():
                reader.join(_BETWEEN)
                self._show()
            self._show()

    def _close_when_gone(self, stream: Any) -> None:
        self._output.presence.wait_gone()
        stream.close()

    def _read(self, stream: Any) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        try:
            for chunk in stream:
                with self._lock:
                    self._pending.append(decoder.decode(chunk))
        except Exception as error:
            # Closed by us, or by an engine that went: what was said so far stays.
            self._output.summary = failed(error)
        else:
            self._output.summary = good(f"The log of {self._container} has ended.")

    def _show(self) -> None:
        with self._lock:
            text, self._pending = "".join(self._pending), []
        if text:
            self._output.add(text)

    def text(self) -> str:
        """Return what was said so far."""
        return self._output.text or f"Log of {self._container}"
