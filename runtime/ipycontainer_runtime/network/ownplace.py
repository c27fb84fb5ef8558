"""The place of an engine that may make no bridges on the machine: a network namespace of its own.

It is made when the first bridge is wanted. A pin keeps it while engines come and go, and is the
first process of a PID namespace, in which the uplink runs as well: so the uplink ends with the pin,
however that ends. `end` is for an engine that leaves no container behind.
"""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from ipycontainer_runtime.errors import Unavailable
from ipycontainer_runtime.linux import calls, netlink, netns, pins
from ipycontainer_runtime.linux.inside import on_a_thread, within
from ipycontainer_runtime.linux.netlink import Netlink
from ipycontainer_runtime.linux.netns import netlink_in, opened_of
from ipycontainer_runtime.network import uplink
from ipycontainer_runtime.network.place import MachinePlace, Place, run

RECORD = "place.json"
_BOUND = "place"


class OwnPlace:
    """A network namespace that belongs to the engine's user namespace."""

    alone = True
    mtu = uplink.MTU

    def __init__(self, run: Path) -> None:
        """Keep the record in `run`, a folder that only this engine's user may write."""
        self._run = run
        self._lock = Lock()
        self._netns: int | None = None
        self._lack = ""

    @property
    def netns(self) -> int | None:
        """The namespace's descriptor; the first who asks makes the place, or finds it."""
        with self._lock:
            if self._netns is None:
                self._netns = self._found() or self._made()
            return self._netns

    def netlink(self) -> Netlink:
        """Return a rtnetlink socket in it."""
        return netlink_in(self._entered())

    def run(self, args: Sequence[str], input: str = "") -> str:  # noqa: A002 - subprocess's name
        """Run a program in it and return what it prints."""
        return within(self._entered(), lambda: run(args, input))

    @property
    def there(self) -> bool:
        """Whether it was made, by this engine or one before it, and has not ended."""
        with self._lock:
            if self._netns is None and (pidfd := pins.opened(self._run / RECORD)) is not None:
                os.close(pidfd)
                return True
            return self._netns is not None

    def lacks(self) -> str:
        """Say what containers here cannot have, and the cure; empty when nothing is missing."""
        return self._lack if self._netns is not None else uplink.lack()

    def close(self) -> None:
        """Let go of the namespace, which the pin keeps."""
        with self._lock:
            if self._netns is not None:
                os.close(self._netns)
                self._netns = None

    def end(self) -> None:
        """End the place with all that is in it: the pin, the uplink, bridges and rules."""
        self.close()
        pins.release(self._run / RECORD)
        self._unbind()

    def _entered(self) -> int:
        made = self.netns
        assert made is not None, "made above"
        return made

    def _found(self) -> int | None:
        """Return the namespace that an earlier engine left, with its uplink or a new one."""
        if (pidfd := pins.opened(self._run / RECORD)) is None:
            return None
        with contextlib.ExitStack() as stack:
            stack.callback(os.close, pidfd)
            try:
                found = opened_of(pins.pid_of(pidfd))
                inside = stack.enter_context(netlink_in(found))
            except OSError:
                # Left by a user namespace that has gone: nobody can use its place.
                pins.release(self._run / RECORD)
                return None
            there = uplink.DEVICE in {link.name for link in inside.links()}
            self._lack = "" if there else self._begin_uplink(pidfd)
            return found

    def _made(self) -> int:
        """Make the namespace, pin it, and begin its uplink."""
        try:
            pin = on_a_thread(_pinned)
        except OSError as error:
            raise Unavailable(
                f"cannot make a network namespace: {error.strerror}; use --network host or none, or"
                " see `ipycontainer doctor`"
            ) from error
        pins.record(self._run / RECORD, pin.pid)
        with contextlib.ExitStack() as stack, contextlib.ExitStack() as failed:
            failed.callback(pins.release, self._run / RECORD)
            pidfd = os.pidfd_open(pin.pid)
            stack.callback(os.close, pidfd)
            found = opened_of(pin.pid)
            failed.callback(os.close, found)
            stack.enter_context(netlink_in(found)).do(netlink.set_up("lo"))
            self._bind(pin.pid)
            self._lack = self._begin_uplink(pidfd)
            failed.pop_all()
        return found

    def _begin_uplink(self, pidfd: int) -> str:
        def spawn(args: Sequence[str], inherited: tuple[int, ...]) -> uplink.Started:
            return on_a_thread(lambda: _started_with(pidfd, args, inherited))

        return uplink.begin(self._run / _BOUND, spawn)

    def _bind(self, pid: int) -> None:
        """Give the namespace a file, in the engine's mount namespace alone."""
        self._unbind()
        bound = self._run / _BOUND
        bound.touch(mode=0o600)
        try:
            calls.mount_bind(f"/proc/{pid}/ns/net", str(bound))
        except OSError as error:
            raise Unavailable(f"cannot show the network namespace: {error}") from error

    def _unbind(self) -> None:
        bound = self._run / _BOUND
        with contextlib.suppress(OSError):  # nothing is mounted there any more
            calls.unmount(str(bound))
        bound.unlink(missing_ok=True)


def choose(run: Path) -> Place:
    """Return the place where this engine may make bridges: the machine's, or one of its own."""
    return MachinePlace() if netns.may_configure() else OwnPlace(run)


def _pinned() -> subprocess.Popen[bytes]:
    """Start the pin in new namespaces, which the calling thread is in as well from then on."""
    calls.unshare(calls.CLONE_NEWNET | calls.CLONE_NEWPID)
    return _popen(pins.COMMAND, subprocess.DEVNULL, ())


def _started_with(pidfd: int, args: Sequence[str], inherited: tuple[int, ...]) -> uplink.Started:
    """Start a program that ends with a pin; children of the calling thread do so from then on."""
    calls.setns(pidfd, calls.CLONE_NEWPID)
    errors = tempfile.TemporaryFile()  # noqa: SIM115 - the program has it for as long as it runs
    return uplink.Started(args[0], _popen(args, errors.fileno(), inherited), errors)


def _popen(args: Sequence[str], errors: int, inherited: tuple[int, ...]) -> subprocess.Popen[bytes]:
    path = os.environ.get("PATH", os.defpath)
    return subprocess.Popen(
        args,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        cwd="/",
        env={"PATH": path},
        pass_fds=inherited,
        start_new_session=True,
    )
