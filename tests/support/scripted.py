"""A registry on loopback that answers as a test tells it to: cut, lying, redirecting, silent."""

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from support.made import Image
from support.tls import Authority


@dataclass(frozen=True)
class Seen:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    certified: bool = False
    """True where the client showed a certificate."""
    body: bytes = b""


@dataclass
class Answer:
    """What to send: `cut_after` that many bytes of the body the connection is reset."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    hold: threading.Event | None = None
    """Waited for after the first byte of the body."""


Script = Callable[[Seen], Answer]


class Scripted:
    """The server: `scripts` are tried by the beginning of a path, the latest first."""

    def __init__(self, port: int, scheme: str = "http") -> None:
        self.address = f"127.0.0.1:{port}"
        self.scheme = scheme
        self.requests: list[Seen] = []
        self._scripts: list[tuple[str, Script]] = []

    @property
    def url(self) -> str:
        """Its base, without a slash at the end."""
        return f"{self.scheme}://{self.address}"

    def on(self, path: str, script: Script | Answer) -> None:
        """Answer requests whose path begins so."""
        answer = script
        self._scripts.insert(
            0, (path, (lambda _: answer) if isinstance(answer, Answer) else answer)
        )

    def serve(self, image: Image, repository: str, tag: str = "latest") -> str:
        """Serve an image as a well-behaved registry does; return its name."""
        for digest, content in image.blobs.items():
            self.on(f"/v2/{repository}/blobs/{digest}", lambda seen, c=content: ranged(seen, c))
        for digest, (content, media_type) in image.manifests.items():
            answer = Answer(content, headers={"Content-Type": media_type})
            self.on(f"/v2/{repository}/manifests/{digest}", answer)
            if digest == image.digest:
                self.on(f"/v2/{repository}/manifests/{tag}", answer)
        return f"{self.address}/{repository}:{tag}"

    def asked(self, part: str) -> list[Seen]:
        """Return the requests whose path contains `part`."""
        return [seen for seen in self.requests if part in seen.path]

    def answer(self, seen: Seen) -> Answer:
        """Called by the server for each request."""
        self.requests.append(seen)
        for path, script in self._scripts:
            if seen.path.startswith(path):
                return script(seen)
        return Answer(b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}', 404)


def in_turn(*scripts: Script) -> Script:
    """Use each script once, and the last one from then on."""
    left = list(scripts)
    return lambda seen: (left.pop(0) if len(left) > 1 else left[0])(seen)


def ranged(seen: Seen, content: bytes) -> Answer:
    """Answer with a blob, or with the end of it that a Range asks for."""
    found = re.fullmatch(r"bytes=(\d+)-", seen.headers.get("Range", ""))
    if not found:
        return Answer(content)
    start = int(found[1])
    span = f"bytes {start}-{len(content) - 1}/{len(content)}"
    return Answer(content[start:], 206, {"Content-Range": span})


@contextmanager
def scripted_registry(authority: Authority | None = None) -> Iterator[Scripted]:
    """Yield a server on a port that the kernel chose; it answers 404 until told otherwise.

    With an `authority` it speaks TLS, and looks at a client's certificate where it is shown one.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            shown = isinstance(self.connection, ssl.SSLSocket) and self.connection.getpeercert()
            seen = Seen(self.command, self.path, dict(self.headers), bool(shown), body)
            _send(self, scripted.answer(seen))

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _any  # noqa: N815 - the names http.server looks up

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass  # a client that goes away is what some tests are about

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if authority is not None:
        server.socket = authority.server().wrap_socket(server.socket, server_side=True)
    scripted = Scripted(server.server_address[1], "https" if authority else "http")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield scripted
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _send(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
    handler.send_response(answer.status)
    for name, value in answer.headers.items():
        handler.send_header(name, value)
    if "Content-Length" not in answer.headers:
        handler.send_header("Content-Length", str(len(answer.body)))
    handler.end_headers()
    if handler.command == "HEAD":
        return
    body = answer.body if answer.cut_after is None else answer.body[: answer.cut_after]
    try:
        if answer.hold is not None:
            handler.wfile.write(body[:1])
            handler.wfile.flush()
            answer.hold.wait(30)
            body = body[1:]
        handler.wfile.write(body)
        handler.wfile.flush()
        if answer.cut_after is not None:
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True
    except OSError:
        handler.close_connection = True  # the client went away, which some tests are about
