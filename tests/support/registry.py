"""Debian's docker-registry on a loopback port of its own, filled with the test images."""

import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

CONFIG = """
version: 0.1
log: {{level: info, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}/data}}, delete: {{enabled: true}}}}
http: {{addr: "{address}"{http}}}
{auth}
"""
USER, PASSWORD = "me", "s3cret"
HTPASSWD = "me:$2y$04$JYwuCHJinZnApu.P/DUdluuU33gy4bGhif2p6VSlVb9EruP/vl53W\n"


class Registry:
    """A registry at `address` (host:port), to which layouts are added under names."""

    def __init__(self, folder: Path, http: str = "", *, login: bool = False) -> None:
        self._folder = folder
        self._http = http
        self._login = login
        self._process: subprocess.Popen[bytes] | None = None
        self.address = "127.0.0.1:0"

    def name(self, repository: str, tag: str = "latest") -> str:
        """Return the full image name of `repository` here."""
        return f"{self.address}/{repository}:{tag}"

    def add(self, layout: Path, repository: str, tag: str = "latest") -> str:
        """Copy the only image of an OCI layout here by skopeo, and return its full name."""
        name = self.name(repository, tag)
        source, target = f"oci:{layout}:latest", f"docker://{name}"
        command = ["skopeo", "copy", "--quiet", "--dest-tls-verify=false", "--insecure-policy"]
        subprocess.run([*command, source, target], check=True, capture_output=True)
        return name

    def start(self) -> None:
        """Listen on the port that the kernel chooses, or after a kill on the one it had."""
        config = self._folder / "config.yml"
        users = self._folder / "htpasswd"
        users.write_text(HTPASSWD)
        auth = f"auth: {{htpasswd: {{realm: here, path: {users}}}}}" if self._login else ""
        filled = CONFIG.format(
            folder=self._folder, address=self.address, http=self._http, auth=auth
        )
        config.write_text(filled)
        self._process = subprocess.Popen(
            ["docker-registry", "serve", str(config)],
            env={"OTEL_TRACES_EXPORTER": "none"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert self._process.stderr is not None
        self.address = _address(self._process.stderr)

    def kill(self) -> None:
        """End it in the middle of whatever it does; its content stays."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def running_registry(http: str = "", *, login: bool = False) -> Iterator[Registry]:
    """Yield an empty registry whose port the kernel chose, and remove it with its content.

    `http` is more of that section of its configuration, such as `, tls: {…}`; with `login` it
    wants USER and PASSWORD.
    """
    folder = Path(tempfile.mkdtemp(prefix="ipyc-r"))
    registry = Registry(folder, http, login=login)
    try:
        registry.start()
        yield registry
    finally:
        registry.kill()
        shutil.rmtree(folder)


def _address(log: IO[bytes]) -> str:
    for line in log:
        if found := re.search(rb"listening on ([0-9.]+:\d+)", line):
            # Somebody must go on reading, or the registry stops when the pipe is full.
            threading.Thread(target=log.read, daemon=True).start()
            return found[1].decode()
    raise RuntimeError("docker-registry ended before it listened")
