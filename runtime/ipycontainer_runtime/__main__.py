"""The engine's process, `python -m ipycontainer_runtime serve`, and the doctor without one."""

import asyncio
import gc
import logging
import os
import select
import signal
import socket
import sys
from typing import TYPE_CHECKING, NoReturn

from ipycontainer_runtime.errors import Conflict, ContainerError, InvalidParameter, Unavailable
from ipycontainer_runtime.paths import ROOT_VARIABLE, Paths, paths

if TYPE_CHECKING:
    from ipycontainer_runtime.api.server import Server
    from ipycontainer_runtime.engine.engine import Engine
    from ipycontainer_runtime.linux.grade import Grade
    from ipycontainer_runtime.store.lock import RootLock

IDLE_SECONDS = 60.0
IDLE_VARIABLE = "IPYCONTAINER_IDLE"
# How long an engine may take to leave, before the next one gives up on the data root.
_LEAVING_SECONDS = 1.0
_GRACE_SECONDS = 0.5
_CLOSING_SECONDS = 10.0


def main(arguments: list[str] | None = None) -> None:
    """Run an engine in the foreground, which ends the process, or the doctor."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m ipycontainer_runtime", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="serve|doctor", dest="verb")
    verb = verbs.add_parser("serve", help="serve the Engine API on this user's socket")
    verb.add_argument("--fd", type=int, help="serve this listening socket; else bind one")
    verb.add_argument(
        "--idle",
        type=float,
        metavar="SECONDS",
        help=f"leave after so long without work, 0: never (${IDLE_VARIABLE}, {IDLE_SECONDS:g})",
    )
    verbs.add_parser("doctor", help="print what this machine gives an engine, as JSON")
    given = parser.parse_args(arguments)
    if given.verb == "doctor":
        _doctor(paths())
    else:
        serve(given.fd, given.idle)


def _doctor(where: Paths) -> None:
    """Print what an engine would find; it is for when none starts."""
    import json

    from ipycontainer_runtime.engine import doctor

    try:
        print(json.dumps(doctor.examine(where.root)))
    except ContainerError as error:
        sys.exit(f"ipycontainer: {error}")


def serve(fd: int | None = None, idle: float | None = None) -> NoReturn:
    """Run the engine until it is idle, told to stop, or refused; ends the process.

    Called by `main`, and by what `activation` starts, which has no command line to parse.
    """
    try:
        _serve(paths(), fd, _idle_seconds() if idle is None else idle)
    except ContainerError as error:
        sys.exit(f"ipycontainer: {error}")
    # Not sys.exit(), which waits for threads: one may be in a download that nobody wants any
    # more, and being killed there is what the store is made for.
    os._exit(0)


def _idle_seconds() -> float:
    value = os.environ.get(IDLE_VARIABLE) or IDLE_SECONDS
    try:
        return float(value)
    except ValueError:
        raise InvalidParameter(f"{IDLE_VARIABLE}={value}: seconds are wanted") from None


def _serve(where: Paths, fd: int | None, idle: float) -> None:
    from ipycontainer_runtime.activation import prepare_run_folder
    from ipycontainer_runtime.linux import userns

    logging.basicConfig(format="%(asctime)s %(message)s")
    # Shims inherit it, and containers from them: Docker's have this one.
    os.umask(0o022)
    prepare_run_folder(where.run)
    _make_root(where)
    lock = _own(where)  # before the namespace, whose pin an engine that is refused would leave
    rejoined = (where.run / userns.RECORD).exists()
    grade = _take_grade(where)
    try:
        listener = _listener(where, fd)
        loop = asyncio.new_event_loop()
        loop.run_until_complete(_run(where, listener, idle, grade))
    except ContainerError:
        if grade.rootless and not rejoined:
            userns.release(where.run)  # nobody else would end the pin of an engine that is refused
        raise
    finally:
        lock.release()


def _make_root(where: Paths) -> None:
    try:
        where.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(
            f"cannot make the data root {where.root}: {error.strerror}; choose another with "
            f"{ROOT_VARIABLE}"
        ) from error


def _take_grade(where: Paths) -> "Grade":
    """Enter a user namespace, unless we are root that may mount."""
    from ipycontainer_runtime.linux import grade

    return grade.take(where.run)


def _own(where: Paths) -> "RootLock":
    """Take the data root's lock; an engine that is just leaving gets time to."""
    from ipycontainer_runtime.store.lock import RootLock

    lock = RootLock(where.root_lock)
    try:
        lock.acquire()
    except Conflict:
        if not _wait_for_holder(where):
            raise
        lock.acquire()
    return lock


def _wait_for_holder(where: Paths) -> bool:
    """Wait for the process that the lock names to end."""
    try:
        holder = os.pidfd_open(int(where.root_lock.read_text()))
    except ProcessLookupError:
        return True
    except ValueError:
        return False
    try:
        poll = select.poll()
        poll.register(holder, select.POLLIN)
        return bool(poll.poll(_LEAVING_SECONDS * 1000))
    finally:
        os.close(holder)


def _listener(where: Paths, fd: int | None) -> socket.socket:
    if fd is not None:
        return socket.socket(fileno=fd)
    from ipycontainer_runtime import activation

    with activation.activation_lock(where):
        try:
            activation.dial(where).close()
        except (FileNotFoundError, ConnectionRefusedError):
            return activation.listen(where)
    raise Conflict(f"an engine already serves {where.socket}; `ipycontainer engine stop` ends it")


async def _run(where: Paths, listener: socket.socket, idle: float, grade: "Grade") -> None:
    from ipycontainer_runtime.api.app import application
    from ipycontainer_runtime.api.server import Server
    from ipycontainer_runtime.engine import memory
    from ipycontainer_runtime.engine.engine import Engine

    memory.keep_little()
    engine = Engine(where, grade)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, engine.leave.set)
    server = Server(application(engine), listener, where, engine.activity)
    await engine.start()
    _allow_many_descriptors()
    where.pid.write_text(f"{os.getpid()}\n")
    # What was imported stays: the collector need not look at it again.
    gc.enable()
    gc.freeze()
    server.start()
    await _until_left(engine, server, idle)
    where.pid.unlink(missing_ok=True)
    await asyncio.wait_for(engine.close(), _CLOSING_SECONDS)
    if grade.rootless and not engine.runs_containers:
        from ipycontainer_runtime.linux import userns

        userns.release(where.run)


def _allow_many_descriptors() -> None:
    """Raise the soft limit for clients and shims, once containers cannot inherit it any more."""
    import resource

    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _until_left(engine: "Engine", server: "Server", idle: float) -> None:
    """Return when nobody needs the engine any more, or it was told to stop."""
    asked = asyncio.ensure_future(engine.leave.wait())
    while not asked.done():
        quiet = asyncio.ensure_future(engine.activity.quiet(idle or None))
        await asyncio.wait((asked, quiet), return_when=asyncio.FIRST_COMPLETED)
        if quiet.cancel():
            continue
        if server.withdraw():
            asked.cancel()
            return
    server.withdraw(asked=True)
    await engine.activity.settle(_GRACE_SECONDS)
    server.close()


if __name__ == "__main__":
    main()
