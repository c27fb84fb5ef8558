"""Rootless: a user and mount namespace entered once, pinned, and rejoined by later engines.

A second engine in a user namespace of its own would be refused by its own containers, though all
ids are the same: the kernel asks which namespace a container was made in. So the first engine
leaves a tiny process behind in the namespace, the pin, and later engines join that.
"""

import errno
import os
import signal
from pathlib import Path
from typing import NamedTuple, NoReturn

from ..errors import Unavailable
from . import calls, idmaps, pins, subids
from .subids import IdRange

__all__ = ["IdMap", "IdRange", "enter", "must_enter", "release"]

RECORD = "userns.json"
# What Ubuntu and Debian set to keep ordinary users from user namespaces: setting, refuses, allows.
RESTRICTIONS = (
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
    ("kernel.unprivileged_userns_clone", "0", "1"),
)
WHOLE = (IdRange(0, 0, 4294967295),)


class IdMap(NamedTuple):
    """How ids in our user namespace become ids of the machine."""

    uids: tuple[IdRange, ...]
    gids: tuple[IdRange, ...]
    rootless: bool
    """True when root here is not the machine's root."""

    @property
    def size(self) -> int:
        """How many ids there are, for users as for groups."""
        return min(sum(part.size for part in ids) for ids in (self.uids, self.gids))

    @property
    def one(self) -> bool:
        """Whether there is a single id."""
        return self.size == 1


def must_enter() -> bool:
    """Tell whether only a user namespace lets this process mount and have networks.

    So it is with root of a container too, whose capabilities are some of root's.
    """
    return os.geteuid() != 0 or not idmaps.holds("CAP_SYS_ADMIN", "CAP_NET_ADMIN")


def enter(run: Path) -> IdMap:
    """Make sure that this process is 0:0 with a range of ids, and return how they map.

    Called by the engine before it starts a thread, imports much or opens the store, and after it
    has asked for its `paths()`, which go by the user id. Root that may mount stays where it is. Any
    other process enters the user and mount namespace pinned under `run`, or makes and pins one,
    with as many ids as `idmaps` can get; its working directory is then /, and it has no groups but
    0, if it may give up the others. Raises Unavailable, with the cure, where that is not allowed.
    """
    if must_enter():
        run.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (pidfd := pins.opened(run / RECORD)) is None:
            pidfd = _make(run)
        try:
            _join(pidfd)
        finally:
            os.close(pidfd)
    return present()


def present() -> IdMap:
    """Return how ids map in the namespace that this process is in."""
    uids, gids = (subids.read_map(idmaps.own(kind)) for kind in ("uid", "gid"))
    return IdMap(uids, gids, rootless=uids != WHOLE)


def release(run: Path) -> None:
    """End the process that pins the namespace; without one nothing happens.

    Called by an engine that leaves no container behind, while it still holds the activation lock:
    the next engine then makes a namespace of its own.
    """
    pins.release(run / RECORD)


def _make(run: Path) -> int:
    """Fork the pin into new namespaces, map its ids, record it and return its pidfd."""
    ours, its = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        _become_pin(its[0], ours[1])
    os.close(ours[1])
    os.close(its[0])
    try:
        with os.fdopen(ours[0], "rb", buffering=0) as said, os.fdopen(its[1], "wb") as go:
            _expect(said.read(64), b"unshared")
            idmaps.write(pid)
            go.write(b"go")
            go.close()
            _expect(said.read(64), b"")  # the end of file: it has executed, and closed its end
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    pins.record(run / RECORD, pid)
    return os.pidfd_open(pid)


def _become_pin(go: int, say: int) -> NoReturn:
    """Enter the namespaces, wait for the id maps, and become `sleep`; never returns."""
    try:
        calls.unshare(calls.CLONE_NEWUSER | calls.CLONE_NEWNS)
        os.write(say, b"unshared")
        if os.read(go, 2) != b"go":
            os._exit(1)
        _become_root()
        # Ubuntu lets anyone make the namespace and then refuses to mount in it: find out now.
        calls.mount_propagation("/", calls.MS_SLAVE | calls.MS_REC)
        os.setsid()
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        # It outlives the engine: with a copy of its socket, clients would wait there for ever.
        os.closerange(3, say)
        os.closerange(say + 1, os.sysconf("SC_OPEN_MAX"))
        os.execve(pins.COMMAND[0], pins.COMMAND, {})  # noqa: S606 - that is what becoming it means
    except OSError as error:
        os.write(say, f"{error.filename} {error.errno}".encode()[:64])
    finally:
        os._exit(1)


def _expect(said: bytes, wanted: bytes) -> None:
    if said == wanted:
        return
    what, _, number = said.decode().rpartition(" ")
    raise Unavailable(refusal(int(number or 0), what or "the pin"))


def _join(pidfd: int) -> None:
    try:
        calls.setns(pidfd, calls.CLONE_NEWUSER | calls.CLONE_NEWNS)
        _become_root()
    except OSError as error:
        raise Unavailable(
            f"cannot join the engine's user namespace: {error.strerror}; stop the engine's"
            " containers and start it again, from a process without threads"
        ) from error


def _become_root() -> None:
    os.setresgid(0, 0, 0)
    if may_set_groups():
        os.setgroups([0])
    os.setresuid(0, 0, 0)


def may_set_groups() -> bool:
    """Tell whether this user namespace lets a process change its groups; not with one id."""
    return Path("/proc/self/setgroups").read_text().strip() != "deny"


def refusal(number: int, what: str) -> str:
    """Say why the kernel gave no user namespace, and what would make it."""
    return f"cannot create a user namespace ({what}: {os.strerror(number)}). {cure(number)}"


def cure(number: int) -> str:
    """Return what would make this kernel give a user namespace, having said errno `number`."""
    if _sysctl("user/max_user_namespaces") == "0" or number == errno.ENOSPC:
        return "This machine allows no more: as root run `sysctl user.max_user_namespaces=15000`"
    for setting, refuses, allows in RESTRICTIONS:
        if _sysctl(setting.replace(".", "/")) == refuses:
            command = f"sysctl {setting}={allows}"
            return f"This machine restricts them: as root run `{command}`, or use a remote engine"
    if "Seccomp:\t2" in Path("/proc/self/status").read_text():
        return (
            "The filter of a container around this process forbids them: start that container with"
            " `--security-opt seccomp=unconfined`, or use a remote engine with `%container context`"
        )
    return (
        "A container or a security policy around this process forbids them: start the engine as"
        " root or outside of it, or use a remote engine with `%container context`"
    )


def _sysctl(name: str) -> str:
    try:
        return Path("/proc/sys", name).read_text().strip()
    except OSError:
        return ""
