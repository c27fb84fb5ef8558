"""Reach a container engine: this user's own, started when needed, or the one DOCKER_HOST names.

Imports anywhere; the engine itself needs Linux.
"""

import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from ipycontainer_runtime.errors import InvalidParameter, Unavailable
from ipycontainer_runtime.paths import Paths, paths

if TYPE_CHECKING:
    from docker import DockerClient

    from ipycontainer_runtime.credentials.logins import Logins

HOST_VARIABLE = "DOCKER_HOST"
# What the engine speaks, being of one release with this client: asking it would be a round trip.
API_VERSION = "1.50"
_ELSEWHERE = "DOCKER_HOST=unix:///path, tcp://host:port or ssh://user@host points at another engine"

# docker-py takes None for "no limit", which `wait` and `attach` need; its type stubs do not say so.
_NEVER: Any = None


class Status(NamedTuple):
    """An engine that runs. `kept` is true when it was asked to stay for foreign clients."""

    pid: int
    version: str
    socket: str
    root: str
    log: str
    started_at: float
    rootless: bool
    kept: bool


def connect(*, where: Paths | None = None) -> "DockerClient":
    """Return a client of the engine, without a time limit on replies.

    With DOCKER_HOST set it is that engine (DOCKER_TLS_VERIFY and DOCKER_CERT_PATH hold too),
    asked once for its version; else this user's own, started if need be. The client stays good
    when the engine leaves or is killed: its next request starts another.
    Raises Unavailable where there is no engine to be had.
    """
    if where is None and (host := os.environ.get(HOST_VARIABLE)):
        return _connect_elsewhere(host)
    return _connect_here(where or own_paths())


def own_paths() -> Paths:
    """Return the folders of this user's own engine; Unavailable where none can run."""
    if sys.platform != "linux":
        system = {"darwin": "macOS", "win32": "Windows"}.get(sys.platform, sys.platform)
        raise Unavailable(f"containers need Linux and this is {system}; {_ELSEWHERE}")
    return paths()


def url(where: Paths | None = None) -> str:
    """Start the engine if need be, keep it up for clients that cannot, and return its address."""
    where = where or own_paths()
    if len(os.fsencode(where.socket)) >= 108:
        raise InvalidParameter(
            f"{where.socket} is too long for a socket's address; set IPYCONTAINER_RUN to a "
            "shorter folder"
        )
    from ipycontainer_runtime import activation

    _ask(activation.activate(where), where, "POST", "/ipycontainer/keep")
    return f"unix://{where.socket}"


def status(where: Paths | None = None) -> Status | None:
    """Return how the engine is, or None when it does not run; does not start it."""
    where = where or own_paths()
    if (sock := _dial(where)) is None:
        return None
    told = _ask(sock, where, "GET", "/ipycontainer")
    return Status(
        pid=told["Pid"],
        version=told["Version"],
        socket=told["Socket"],
        root=told["Root"],
        log=told["Log"],
        started_at=told["StartedAt"],
        rootless=told["Rootless"],
        kept=told["Keep"],
    )


def pid(where: Paths | None = None) -> int | None:
    """Return the engine's process id, or None when it does not run."""
    found = status(where)
    return found.pid if found else None


def stop(where: Paths | None = None, *, timeout: float = 15) -> bool:
    """Ask the engine to leave and wait until it has; containers go on. False: none was running."""
    where = where or own_paths()
    found = status(where)
    if found is None or (sock := _dial(where)) is None:
        return False
    process = os.pidfd_open(found.pid)
    try:
        _ask(sock, where, "POST", "/ipycontainer/stop")
        if not _ends(process, timeout):
            raise Unavailable(
                f"the engine (pid {found.pid}) is still there after {timeout:g} s; "
                f"`kill {found.pid}` ends it, and its containers go on"
            )
    finally:
        os.close(process)
    return True


def logs(where: Paths | None = None) -> str:
    """Return what this and earlier engines wrote to their log."""
    where = where or own_paths()
    try:
        return where.log.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def logins() -> "Logins":
    """Return this person's logins to registries, from Docker's config.json and its helpers."""
    from ipycontainer_runtime.credentials.logins import Logins

    return Logins()


def doctor(where: Paths | None = None) -> list[dict[str, str]]:
    """Return what GET /ipycontainer/doctor would answer, without an engine.

    Raises Unavailable when the trials end in an error.
    """
    import json
    import subprocess
    import sys

    from ipycontainer_runtime.paths import ROOT_VARIABLE, RUN_VARIABLE

    where = where or own_paths()
    code = f"import sys; sys.path[:] = {sys.path!r}\n"
    code += "from ipycontainer_runtime.__main__ import main; main(['doctor'])"
    own = {ROOT_VARIABLE: str(where.root), RUN_VARIABLE: str(where.run)}
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Unavailable(done.stderr.strip().rpartition("\n")[2])
    found: list[dict[str, str]] = json.loads(done.stdout)
    return found


def _connect_elsewhere(host: str) -> "DockerClient":
    import docker
    from docker.errors import DockerException

    try:
        return docker.from_env(version="auto", timeout=_NEVER)
    except (DockerException, OSError) as error:
        raise Unavailable(
            f"no engine answers at DOCKER_HOST={host}: {error}; unset DOCKER_HOST to use this "
            "user's own engine"
        ) from error


def _connect_here(where: Paths) -> "DockerClient":
    from ipycontainer_runtime import activation

    # The engine starts while docker-py, which takes as long, is imported.
    first = activation.activate(where)
    import docker

    from ipycontainer_runtime.transport import EngineAdapter

    client = docker.DockerClient(
        base_url=f"unix://{where.socket}", version=API_VERSION, timeout=_NEVER
    )
    client.api.mount("http+docker://", EngineAdapter(where, first))
    # Proxies and .netrc mean nothing to a unix socket; looking for them is 0.3 ms a request.
    client.api.trust_env = False
    return client


def _dial(where: Paths) -> Any:
    from ipycontainer_runtime import activation

    try:
        return activation.dial(where)
    except (FileNotFoundError, ConnectionRefusedError):
        return None


def _ask(sock: Any, where: Paths, method: str, path: str) -> Any:
    """Send one request over `sock`, close it, and return the reply's JSON."""
    import http.client
    import json

    connection = http.client.HTTPConnection("localhost")
    connection.sock = sock
    try:
        connection.request(method, path)
        body = connection.getresponse().read()
    except (http.client.HTTPException, OSError) as error:
        from ipycontainer_runtime.activation import last_words

        raise Unavailable(f"the engine ended without an answer: {last_words(where)}") from error
    finally:
        connection.close()
    return json.loads(body) if body else None


def _ends(process: int, timeout: float) -> bool:
    """Wait until the process behind a pidfd has ended."""
    import select

    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(timeout * 1000))
