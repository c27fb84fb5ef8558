"""Credential helpers: programs that keep secrets for Docker's clients.

`docker-credential-NAME get|store|erase|list`, with what it needs on standard input and JSON on
standard output. Protocol: https://github.com/docker/docker-credential-helpers. The name comes from
a file, so it is checked; a helper that hangs or talks without end is given up.
"""

import contextlib
import os
import re
import select
import shutil
import signal
import subprocess
import time
from typing import TypeVar

import msgspec

from ipycontainer_runtime.credentials.login import TOKEN_USER, Login, key
from ipycontainer_runtime.errors import InvalidParameter, Unavailable, printable

SECONDS = 60.0
"""For one answer: a person may have to unlock a keyring first."""
LIMIT = 1 << 20
"""Bytes of one answer."""
_LARGEST = 32 << 10  # of what is sent: a pipe takes that much without a reader
T = TypeVar("T")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+.-]{0,63}")
_UNKNOWN = ("credentials not found in native keychain", "credentials not found")


class _Secret(msgspec.Struct, rename="pascal"):
    username: str = ""
    secret: str = ""


class Helper:
    """One helper, by the name that config.json has for it."""

    def __init__(self, name: str, *, seconds: float = SECONDS) -> None:
        if not _NAME.fullmatch(name):
            raise InvalidParameter(
                f"{name[:100]!r} is no name of a credential helper: write what follows"
                " docker-credential- in the program's name"
            )
        self.program = f"docker-credential-{name}"
        self._seconds = seconds

    def get(self, server: str) -> Login | None:
        """Return the login that it keeps for a server, if any."""
        raw = self._ask("get", key(server).encode())
        if raw is None:
            return None
        kept = self._decoded(raw, _Secret)
        if not (kept.username or kept.secret):
            return None
        if kept.username == TOKEN_USER:
            return Login(identity_token=kept.secret, source=self.program)
        return Login(kept.username, kept.secret, source=self.program)

    def store(self, server: str, login: Login) -> None:
        """Keep a login for a server."""
        token = login.identity_token
        content = {
            "ServerURL": key(server),
            "Username": TOKEN_USER if token else login.username,
            "Secret": token or login.password,
        }
        self._ask("store", msgspec.json.encode(content), secret=content["Secret"])

    def erase(self, server: str) -> None:
        """Forget a server; that nothing is kept for it is success."""
        self._ask("erase", key(server).encode())

    def servers(self) -> list[str]:
        """Return the servers that it keeps a login for."""
        raw = self._ask("list", b"")
        return list(self._decoded(raw, dict[str, str])) if raw else []

    def _decoded(self, raw: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(raw, type=kind)
        except (msgspec.MsgspecError, RecursionError):
            # Not chained: the cause may quote the secret.
            raise Unavailable(
                f"the credential helper {self.program} does not answer in JSON as it should"
            ) from None

    def _ask(self, verb: str, content: bytes, secret: str = "") -> bytes | None:
        """Run it once and return its answer; None where it knows of no such login."""
        if len(content) > _LARGEST:
            raise InvalidParameter(f"{self.program} is given at most {_LARGEST} bytes")
        code, answer = self._run(verb, content)
        if code == 0:
            return answer
        said = answer.decode(errors="replace").strip()
        if said.startswith(_UNKNOWN):
            return None
        if secret:
            said = said.replace(secret, "…")
        first = printable(said.partition("\n")[0])[:200]
        raise Unavailable(
            f"the credential helper {self.program} ({verb}) ended with code {code}"
            + (f": {first}" if first else "")
        )

    def _run(self, verb: str, content: bytes) -> tuple[int, bytes]:
        path = shutil.which(self.program)
        if path is None:
            raise Unavailable(
                f"the credential helper {self.program} is not on PATH: install it, or take it out"
                " of Docker's config.json (credsStore, credHelpers)"
            )
        # A session of its own, so that all that it starts can be ended with it.
        with subprocess.Popen(
            [path, verb],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            try:
                assert process.stdin is not None
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(content)
                process.stdin.close()
                answer = self._answer(process, verb)
                return process.wait(self._seconds), answer
            except subprocess.TimeoutExpired:
                raise self._silent(verb) from None
            finally:
                if process.returncode is None:  # not collected, so the number is still its own
                    os.killpg(process.pid, signal.SIGKILL)

    def _answer(self, process: "subprocess.Popen[bytes]", verb: str) -> bytes:
        assert process.stdout is not None
        descriptor, answer = process.stdout.fileno(), b""
        deadline = time.monotonic() + self._seconds
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                raise self._silent(verb)
            chunk = os.read(descriptor, 65536)
            if not chunk:
                return answer
            answer += chunk
            if len(answer) > LIMIT:
                raise Unavailable(
                    f"the credential helper {self.program} ({verb}) says more than {LIMIT} bytes"
                )

    def _silent(self, verb: str) -> Unavailable:
        return Unavailable(
            f"the credential helper {self.program} ({verb}) did not end within"
            f" {self._seconds:g} s; unlock what it keeps secrets in, or log in without it"
        )
