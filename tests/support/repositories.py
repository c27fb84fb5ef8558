"""Git repositories of tests, and git's own daemon that gives them."""

import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NAMES = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main")


def git(place: Path, *arguments: str, given: str = "") -> str:
    """Run git in a folder with `given` as its input, and return what it prints."""
    done = subprocess.run(
        ["git", *_NAMES, *arguments],
        cwd=place,
        check=True,
        capture_output=True,
        text=True,
        input=given,
    )
    return done.stdout.strip()


@contextmanager
def serving(place: Path) -> Iterator[str]:
    """Give the repositories in a folder, and yield the URL that stands for it."""
    daemon = ["git", "daemon", "--inetd", "--export-all", f"--base-path={place}", str(place)]

    class Giving(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            subprocess.run(daemon, stdin=self.request, stdout=self.request, check=False)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Giving) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"git://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
