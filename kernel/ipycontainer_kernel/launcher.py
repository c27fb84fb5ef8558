"""`python -m ipycontainer_kernel.launcher -f FILE --spec FOLDER`: a kernel in a container by argv.

For clients that know no provisioners (VS Code, and all that run `argv` themselves). It gives the
container the connection file's key, stands for the kernel as a process, passes signals on, and
relays the five ports to the sockets in the container. When it ends, however it does, so does the
container.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipycontainer.failures import Failure
from ipycontainer_kernel import specs
from ipycontainer_kernel.owned import OwnedKernel
from ipycontainer_kernel.relay import Relays
from ipycontainer_kernel.settings import Settings

_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)


@dataclass(frozen=True)
class Signing:
    """A connection file's key, as a jupyter_client session has it."""

    key: bytes
    signature_scheme: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a kernel until it ends; return its exit code."""
    parser = argparse.ArgumentParser(prog="ipycontainer_kernel.launcher", description=__doc__)
    parser.add_argument("-f", dest="file", type=Path, required=True, metavar="FILE")
    parser.add_argument("--spec", type=Path, required=True, metavar="FOLDER")
    given, extra = parser.parse_known_args(arguments)
    try:
        settings = specs.read(given.spec)
        if settings is None:
            raise Failure(f"{given.spec} is no kernelspec of ours: `ipycontainer kernel list`")
        connection = _connection(given.file)
        return asyncio.run(_run(settings, connection, extra))
    except Failure as failure:
        print(f"ipycontainer: {failure}", file=sys.stderr)
        return failure.exit_code


def _connection(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Failure(f"{file} is no connection file: {error}") from error
    if not isinstance(found, dict):
        raise Failure(f"{file} is no connection file: it has no fields")
    return found


async def _run(settings: Settings, connection: dict[str, Any], extra: Sequence[str]) -> int:
    signing = Signing(
        str(connection.get("key", "")).encode(),
        str(connection.get("signature_scheme") or "hmac-sha256"),
    )
    owned = OwnedKernel(settings, signing, told=_say, warned=_say)
    relays = Relays()
    signals = Signals(owned)
    client = _end_of_client()
    try:
        await relays.open(connection)
        kernel = await owned.start(Path.cwd(), extra)
        signals.begin()
        relays.serve(kernel)
        assert owned.container is not None
        ended = asyncio.wrap_future(owned.container.ended)
        both: set[asyncio.Future[Any]] = {ended, *client}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            await owned.end()
        fate = await ended
    finally:
        await relays.close()
        await owned.close()
    if not (fate.well or signals.passed):
        print(f"ipycontainer: {fate.words}", file=sys.stderr)
    return fate.code


def _end_of_client() -> list[asyncio.Future[None]]:
    """Return what is done when the client that started this has ended; none where it gave no id.

    jupyter_client gives it to all but kernels that are to outlive their client.
    """
    told = os.environ.pop("JPY_PARENT_PID", "")
    try:
        descriptor = os.pidfd_open(int(told))
    except (ValueError, OSError):
        return []
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()

    def end() -> None:
        loop.remove_reader(descriptor)
        over.set_result(None)

    loop.add_reader(descriptor, end)
    return [over]


class Signals:
    """Passes on what this process gets: it stands for the kernel."""

    def __init__(self, owned: OwnedKernel) -> None:
        self.passed = False
        """Whether the kernel was asked to end."""
        self._owned = owned
        self._loop = asyncio.get_running_loop()
        self._early: list[int] = []
        self._begun = False
        self._tasks: set[asyncio.Task[None]] = set()
        for number in _PASSED_ON:
            self._loop.add_signal_handler(number, self._take, number)

    def begin(self) -> None:
        """Pass on what came while there was nobody to get it."""
        self._begun = True
        for number in self._early:
            self._take(number)

    def _take(self, number: int) -> None:
        self.passed = self.passed or number != signal.SIGINT
        if not self._begun:
            self._early.append(number)
            return
        task = asyncio.ensure_future(self._send(number))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, number: int) -> None:
        if self._owned.container is not None:
            await asyncio.to_thread(self._owned.container.signal, number)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    code = main()
    # A thread that waits for an engine which will not answer must not hold up who waits for us.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
