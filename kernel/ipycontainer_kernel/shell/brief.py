"""A short command in the container, beside the shell: bounded, since the image may be anyone's."""

from __future__ import annotations

import selectors
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final

from ipycontainer.attached import start_exec
from ipycontainer.streams import Demux
from ipycontainer.surface import STDOUT
from ipycontainer_kernel.shell.control import Late

if TYPE_CHECKING:
    from ipycontainer.session import Session

_LONGEST: Final = 4096


def briefly(session: Session, container: str, command: list[str], seconds: float) -> bytes:
    """Return what a command prints, once it has ended.

    Raises Late for one that goes on after `seconds`, or prints more than a few words.
    """
    made = session.api.exec_create(container, command)["Id"]
    said = bytearray()
    deadline = time.monotonic() + seconds
    connection, demux = start_exec(session, made, tty=False), Demux()
    with closing(connection), selectors.PollSelector() as selector:
        selector.register(connection.socket, selectors.EVENT_READ)
        while len(said) <= _LONGEST:
            left = deadline - time.monotonic()
            if left <= 0 or not (connection.pending or selector.select(left)):
                break
            data = connection.receive()
            if data is not None and not data:
                return bytes(said)
            for stream, part in demux.feed(data or memoryview(b"")):
                if stream == STDOUT:
                    said += part
    raise Late("the container's /bin/sh does not answer as a shell")
