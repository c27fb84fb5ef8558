"""Connections taken from a listening socket, also when the process may open nothing more."""

import errno
import os
import socket

_SHORT = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}
_spare = [os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)]


def accepted(listener: socket.socket) -> tuple[socket.socket, str] | None:
    """Return a connection that does not block, and its peer's address; None when there is none.

    Where no descriptor is free the connection is taken by a spare one and ended, since what stays
    in the backlog would wake the event loop for ever.
    """
    try:
        sock, peer = listener.accept()
    except OSError as error:
        if error.errno in _SHORT and _spare:
            os.close(_spare.pop())
            try:
                listener.accept()[0].close()
            except OSError:
                pass  # it has gone by itself
            finally:
                _spare.append(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))
        return None
    sock.setblocking(False)
    return sock, peer[0] if peer else ""
