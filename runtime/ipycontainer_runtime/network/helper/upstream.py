"""Questions that are not ours, passed on to resolvers outside: from the machine's own network.

Each question has a socket, connected to one resolver, with a port that the kernel draws, and an id
that is drawn here; an answer must come from there, to that port, with that id and question. Who
would forge one must guess both (RFC 5452).
"""

import contextlib
import errno
import os
import select
import socket
import struct
import time
from collections.abc import Callable

from ipycontainer_runtime.linux.loop import IN, OUT, Loop
from ipycontainer_runtime.network.helper import messages
from ipycontainer_runtime.network.helper.messages import Query

ROUNDS = 2  # through the resolvers, as the C library's attempts
SECONDS = 2.0  # for one resolver's answer
MOST = 1024  # questions under way at a time
MOST_EACH = 256  # of one container, so that none takes all
_LENGTH = struct.Struct(">H")
_PORT = 53
_LARGEST = 65535 + _LENGTH.size

_KINDS = {False: socket.SOCK_DGRAM, True: socket.SOCK_STREAM}

Done = Callable[[bytes | None], None]
Opened = Callable[[str, int], socket.socket]
"""Make a socket of this kind for asking a resolver, where that is reached."""


class Forwarder:
    """Passes questions on, and gives up what nobody answers."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._waiting: dict[_Attempt, float] = {}  # until when; the first is due first
        self._asked: dict[str, dict[_Question, None]] = {}  # by who asks
        self._total = 0

    def forward(
        self,
        asker: str,
        query: Query,
        resolvers: tuple[str, ...],
        *,
        tcp: bool,
        opened: Opened,
        done: Done,
    ) -> None:
        """Ask the resolvers in their order; `done` has the answer with the asker's id, or None."""
        mine = self._asked.get(asker, {})
        if self._total >= MOST or len(mine) >= MOST_EACH:
            done(None)
            return

        def ended(answer: bytes | None) -> None:
            self._total -= 1
            del mine[question]
            if not mine:
                del self._asked[asker]
            done(answer and messages.renumbered(answer, query.header.id))

        question = _Question(self, query, list(resolvers) * ROUNDS, tcp, opened, ended)
        self._total += 1
        mine[question] = None
        self._asked[asker] = mine
        question.next()

    def abandon(self, asker: str) -> None:
        """Ask nobody any longer for one that has gone: what `opened` needs may go with it."""
        for question in tuple(self._asked.get(asker, ())):
            question.abandon()

    def wait(self, attempt: "_Attempt") -> None:
        """Watch an attempt, and have it end in time."""
        if not self._waiting:
            self._loop.call_after(SECONDS, self._expire)
        self._waiting[attempt] = time.monotonic() + SECONDS
        self._loop.watch(attempt.sock.fileno(), attempt.events, attempt.on_events)

    def forget(self, attempt: "_Attempt") -> None:
        """Close what has ended."""
        del self._waiting[attempt]
        self._loop.forget(attempt.sock.fileno())
        attempt.sock.close()

    def watch(self, attempt: "_Attempt") -> None:
        """Watch an attempt for what it waits for now."""
        self._loop.watch(attempt.sock.fileno(), attempt.events, attempt.on_events)

    def _expire(self) -> None:
        now = time.monotonic()
        for attempt, due in tuple(self._waiting.items()):
            if due > now:
                self._loop.call_after(due - now, self._expire)
                return
            attempt.end(None)
        if self._waiting:
            self._loop.call_after(SECONDS, self._expire)


class _Question:
    """One question on its way through the resolvers."""

    def __init__(
        self,
        forwarder: Forwarder,
        query: Query,
        resolvers: list[str],
        tcp: bool,
        opened: Opened,
        ended: Done,
    ) -> None:
        self._forwarder = forwarder
        self._query = query
        self._resolvers = resolvers
        self._tcp = tcp
        self._opened = opened
        self._ended = ended
        self._last: bytes | None = None
        self._attempt: _Attempt | None = None

    def next(self) -> None:
        """Ask the next resolver, or end with what the last one said."""
        while self._resolvers:
            if self._try(self._resolvers[0], self._tcp):
                return
            self._resolvers.pop(0)
        self._ended(self._last)

    def _try(self, resolver: str, tcp: bool) -> bool:
        try:
            sock = self._opened(resolver, _KINDS[tcp] | socket.SOCK_NONBLOCK)
            attempt = _Attempt(self._forwarder, self._query, resolver, tcp, sock, self._answered)
        except OSError:  # it cannot be reached from here, as over IPv6 where there is none
            return False
        self._attempt = attempt
        self._forwarder.wait(attempt)
        return True

    def abandon(self) -> None:
        """End without an answer."""
        if self._attempt is not None:
            self._attempt.abandon()
        self._ended(None)

    def _answered(self, attempt: "_Attempt", answer: bytes | None) -> None:
        if answer is None and attempt.tcp and not self._tcp:
            self._ended(self._last)  # cut, but better than none
            return
        if answer is not None:
            self._last = answer
            if messages.truncated(answer) and not attempt.tcp:
                if not self._try(self._resolvers[0], True):
                    self._ended(answer)
                return
            if not messages.helpless(answer):
                self._ended(answer)
                return
        self._resolvers.pop(0)
        self.next()


class _Attempt:
    """One question to one resolver, by UDP or TCP."""

    def __init__(
        self,
        forwarder: Forwarder,
        query: Query,
        resolver: str,
        tcp: bool,
        sock: socket.socket,
        answered: "Callable[[_Attempt, bytes | None], None]",
    ) -> None:
        self._forwarder = forwarder
        self._query = query
        self._number = int.from_bytes(os.urandom(2), "big")
        self._answered = answered
        self._message = messages.renumbered(query.message, self._number)
        self._received = bytearray()
        self.tcp = tcp
        self.over = False
        self.events = OUT if tcp else IN
        self.sock = sock
        try:
            failed = self.sock.connect_ex(_address(resolver))
            if failed not in {0, errno.EINPROGRESS}:
                raise OSError(failed, os.strerror(failed), resolver)
            if tcp:
                self._message = _LENGTH.pack(len(self._message)) + self._message
            else:
                self.sock.send(self._message)
        except BaseException:
            self.sock.close()
            raise

    def on_events(self, events: int) -> None:
        """Send what is left of the question, or read the answer."""
        try:
            if events & OUT and self._message and self.tcp:
                self._message = self._message[self.sock.send(self._message) :]
                if not self._message:
                    self.events = IN
                    self._forwarder.watch(self)
            elif events & (IN | select.EPOLLERR | select.EPOLLHUP):
                self._read()
        except BlockingIOError:
            return
        except OSError:  # refused, or reset
            self.end(None)

    def _read(self) -> None:
        received = self.sock.recv(_LARGEST)
        if not self.tcp:
            if messages.answers(received, self._query, self._number):
                self.end(received)
            return  # anything else is forged, or of another time
        self._received += received
        whole = None
        if len(self._received) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._received)
            if len(self._received) >= _LENGTH.size + length:
                whole = bytes(self._received[_LENGTH.size : _LENGTH.size + length])
        if whole is not None and messages.answers(whole, self._query, self._number):
            self.end(whole)
        elif whole is not None or not received:
            self.end(None)

    def end(self, answer: bytes | None) -> None:
        """Give the answer once, None where there is none."""
        if not self.over:
            self.abandon()
            self._answered(self, answer)

    def abandon(self) -> None:
        """Wait for no answer any longer."""
        self.over = True
        self._forwarder.forget(self)


def opened_here(resolver: str, kind: int) -> socket.socket:
    """Make a socket of the machine's own network."""
    return socket.socket(family(resolver), kind)


def family(resolver: str) -> socket.AddressFamily:
    """Return the kind of a resolver's address."""
    return socket.AF_INET6 if ":" in resolver else socket.AF_INET


def _address(resolver: str) -> tuple[str, int] | tuple[str, int, int, int]:
    host, _, scope = resolver.partition("%")
    if not scope:
        return resolver, _PORT
    index = 0
    with contextlib.suppress(OSError):
        index = int(scope) if scope.isdecimal() else socket.if_nametoindex(scope)
    return host, _PORT, 0, index
