"""Contexts and ADD from web servers."""

import gzip
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from support.builds import build, elsewhere, image_of, packed, shown
from support.engines import Engine

pytestmark = [pytest.mark.needs("busybox"), pytest.mark.ordinary_user]

CHANGED = "Tue, 14 Nov 2023 22:13:20 GMT"
SECONDS = "1700000000"
SAID = b"from the web\n"


@pytest.fixture(scope="module")
def web(busybox: str) -> Iterator[str]:
    """Yield the address of a server with a file, a Dockerfile and a packed context."""
    lines = f'FROM {busybox}\nCOPY said /said\nCMD ["cat", "/said"]\n'
    pages = {
        "/said": SAID,
        "/Dockerfile": f'FROM {busybox}\nCMD ["echo", "no context"]\n'.encode(),
        "/context.tar.gz": gzip.compress(packed({"Dockerfile": lines, "said": "packed"})),
    }

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = pages.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Last-Modified", CHANGED)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("path", "said"), [("context.tar.gz", "packed"), ("Dockerfile", "no context")]
)
def test_an_archive_or_a_dockerfile_can_be_elsewhere(
    shared_engine: Engine, web: str, path: str, said: str
) -> None:
    assert shown(shared_engine, image_of(elsewhere(shared_engine, f"{web}/{path}"))) == said


def test_add_fetches_a_file_with_the_servers_time_and_nobody_elses_rights(
    shared_engine: Engine, web: str, busybox: str
) -> None:
    lines = f"FROM {busybox}\nADD {web}/said /a/\nADD --chmod=644 {web}/said /b\n"
    image = image_of(build(shared_engine, {"Dockerfile": lines}))
    told = shown(shared_engine, image, "stat", "-c", "%a %u %Y", "/a/said", "/b")
    assert told.splitlines() == [f"600 0 {SECONDS}", f"644 0 {SECONDS}"]
    assert shown(shared_engine, image, "cat", "/a/said") == SAID.decode().strip()


def test_add_checks_what_it_fetched(shared_engine: Engine, web: str, busybox: str) -> None:
    lines = f"FROM {busybox}\nADD --checksum=sha256:{{}} {web}/said /x\n"
    image_of(build(shared_engine, {"Dockerfile": lines.format(hashlib.sha256(SAID).hexdigest())}))
    told = build(shared_engine, {"Dockerfile": lines.format("0" * 64)})
    assert "digest mismatch" in told[-1]["error"]


def test_a_page_that_is_missing_is_named(shared_engine: Engine, web: str, busybox: str) -> None:
    told = build(shared_engine, {"Dockerfile": f"FROM {busybox}\nADD {web}/none /x\n"})
    assert f"failed to GET {web}/none with status 404" in told[-1]["error"]
