"""Connect to this user's engine, starting it if nobody is there.

Told in docs/architecture.md, "Activation". Linux only; `client` imports it when it is needed.
"""

import fcntl
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ipycontainer_runtime.errors import Forbidden, Unavailable
from ipycontainer_runtime.paths import ROOT_VARIABLE, RUN_VARIABLE, Paths

# What the kernel leaves for a path in sockaddr_un, its final zero included.
SUN_PATH = 108
BACKLOG = 4096
_LOG_LIMIT = 1 << 20

# Run by `python -I`, which keeps the notebook's folder and PYTHON* variables out of the engine;
# what the starting process could import by other means comes after everything that is installed.
# It forks before it imports, so that nobody has to collect the engine, and drops what it inherits
# but standard streams and socket. Most of its start is imports, and none of them makes garbage.
_BOOT = """import gc, os, sys
if os.fork():
    os._exit(0)
gc.disable()
os.closerange(3, {fd})
os.closerange({fd} + 1, 4096)
os.set_inheritable({fd}, False)
package, *others = {path!r}
if package not in sys.path:
    sys.path.insert(0, package)
sys.path += [folder for folder in others if folder not in sys.path]
from ipycontainer_runtime.__main__ import serve
serve({fd})"""


def dial(paths: Paths) -> socket.socket:
    """Connect to an engine that runs.

    Raises FileNotFoundError or ConnectionRefusedError when there is none, and waits while its
    backlog is full.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _address(paths.socket) as address:
            sock.connect(address)
    except PermissionError as error:
        sock.close()
        raise Forbidden(
            f"{paths.socket} belongs to another user; set IPYCONTAINER_RUN to a folder of your own"
        ) from error
    except BaseException:
        sock.close()
        raise
    return sock


def activate(paths: Paths) -> socket.socket:
    """Connect to the engine; the first of many callers starts it, all connect.

    Returns before the engine has read anything: the connection waits in the backlog meanwhile.
    Raises Unavailable when the engine cannot be started.
    """
    try:
        return dial(paths)
    except (FileNotFoundError, ConnectionRefusedError):
        prepare_run_folder(paths.run)
    with activation_lock(paths):
        try:
            return dial(paths)
        except (FileNotFoundError, ConnectionRefusedError):
            with listen(paths) as listener:
                start(paths, listener)
        return dial(paths)


def prepare_run_folder(run: Path) -> None:
    """Make the run folder 0700; Forbidden when somebody else has made it before us."""
    try:
        run.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = run.stat()
    except OSError as error:
        raise Unavailable(
            f"cannot make {run}: {error.strerror}; set IPYCONTAINER_RUN to a folder you can write"
        ) from error
    # Anybody may make a folder in /tmp; whoever owns it could serve us an engine of their own.
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise Forbidden(
            f"{run} can be written by others (uid {found.st_uid}, mode {found.st_mode & 0o777:o}); "
            "remove it, or set IPYCONTAINER_RUN to a folder of your own"
        )


@contextmanager
def activation_lock(paths: Paths, *, wait: bool = True) -> Iterator[None]:
    """Hold `activation.lock`; without `wait` raises BlockingIOError when somebody has it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(paths.activation_lock, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        try:
            yield
        finally:
            # Not left to close(): a process forked meanwhile may hold a copy of the descriptor.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def listen(paths: Paths) -> socket.socket:
    """Bind the engine's socket, in place of a stale one. Called under the activation lock."""
    paths.socket.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _address(paths.socket) as address:
            listener.bind(address)
            # Before listen(), so that nobody connects under a wider mode.
            os.chmod(address, 0o600)
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def start(paths: Paths, listener: socket.socket) -> None:
    """Start an engine that owns `listener`, in a session of its own."""
    if not sys.executable:
        raise Unavailable("this Python does not know its own executable, so no engine is started")
    descriptor = listener.fileno()
    code = _BOOT.format(path=_import_path(), fd=descriptor)
    command = [sys.executable, "-I", "-c", code]
    with _open_log(paths.log) as log:
        engine = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=_environment(paths),
            pass_fds=(descriptor,),
            start_new_session=True,
        )
    # It forks and ends within milliseconds; somebody has to collect it.
    threading.Thread(target=engine.wait, name="engine-start", daemon=True).start()


def last_words(paths: Paths) -> str:
    """Return the last line of the engine's log, which says why it left."""
    try:
        with open(paths.log, "rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 4096))
            lines = log.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return f"it left no log in {paths.log}"
    return next((line for line in reversed(lines) if line.strip()), f"{paths.log} is empty")


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """Give an address for `path`, through its folder's descriptor where it is too long."""
    if len(os.fsencode(path)) < SUN_PATH:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _open_log(path: Path) -> BinaryIO:
    """Open the engine's log to append, begun anew when it has grown past its bound."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    if os.fstat(descriptor).st_size > _LOG_LIMIT:
        os.ftruncate(descriptor, 0)
    return open(descriptor, "ab", buffering=0)


def _import_path() -> list[str]:
    """Return the folder of this package, then every other folder that can be imported from."""
    package = str(Path(__file__).resolve().parent.parent)
    return [package, *(folder for folder in sys.path if os.path.isabs(folder))]


def _environment(paths: Paths) -> dict[str, str]:
    """Return our environment, made to mean the same folders from `/`."""
    # Jupyter's variable makes a process watch the kernel and die with it.
    kept = {name: value for name, value in os.environ.items() if name != "JPY_PARENT_PID"}
    return {**kept, ROOT_VARIABLE: str(paths.root), RUN_VARIABLE: str(paths.run)}
