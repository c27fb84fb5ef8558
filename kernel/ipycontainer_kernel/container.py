"""`KernelContainer`: one kernel's container over the Engine client, from create to removal.

It removes itself when it ends. One connection holds its standard input open and reads what it
writes; where the engine is ours the container dies with that connection (the annotation `lease`),
and so with the process that owns the kernel, however that ends. On another engine the next kernel
that starts sweeps what dead owners left.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ipycontainer.attached import attach
from ipycontainer.endings import Ending, start_failure, was_out_of_memory
from ipycontainer.exits import Exit
from ipycontainer.failures import KILLED, Failure
from ipycontainer.sandbox.sessions import own_session
from ipycontainer.streams import Connection, Relay
from ipycontainer_kernel.commands import command
from ipycontainer_kernel.fate import Fate, LastWords
from ipycontainer_kernel.folders import KernelFolder, is_owned, owner, remove_abandoned
from ipycontainer_kernel.listener import Listener
from ipycontainer_kernel.requests import container_config, fetch
from ipycontainer_kernel.settings import Settings

if TYPE_CHECKING:
    from docker import DockerClient

    from ipycontainer.session import Session
    from ipycontainer_kernel.tcp import Ports

LABEL: Final = "org.ipycontainer.kernel"
"""Its value is the kernel's name."""
FOLDER: Final = f"{LABEL}.folder"
"""The folder of its sockets, whose lock its owner holds."""
OWNER: Final = f"{LABEL}.owner"
"""Where that folder is to be looked for, and the container's own name: an image that is made of it
has its labels, and so has every container of that image."""
UNNAMED: Final = "unnamed"
_GONE: Final = {404, 409}  # 409: its own removal is under way
_UNKNOWN: Final = 255
_MOMENT: Final = 0.5
"""Seconds within which who watches has seen an end that the engine told of."""


class KernelContainer:
    """The container of one kernel.

    Made by the provisioner and the launcher: `create`, `start`, then `ended` tells the end from a
    thread; `signal` and `remove` at any time, and from any thread. `told` gets each line that the
    kernel writes.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        client: DockerClient | None = None,
        told: Callable[[str], object] = lambda _line: None,
    ) -> None:
        self.settings = settings
        self.session = own_session(client)
        self.id = ""
        self.pid = 0
        """Of its first process, once it was started."""
        self.notebook: Path | None = None
        """The notebook's folder, once that is known."""
        self.ended: Future[Fate] = Future()
        """Its fate, once there is one; it cannot be cancelled."""
        self.ended.set_running_or_notify_cancel()
        self._renewing = False
        self._watching: threading.Thread | None = None
        self._words = LastWords()
        self._told = told
        self._memory = 0
        self._connection: Connection | None = None
        self._exit: Exit | None = None

    @property
    def client(self) -> DockerClient:
        """The engine's client."""
        return self.session.client

    @property
    def fate(self) -> Fate | None:
        """How it ended; None while it has not."""
        return self.ended.result() if self.ended.done() else None

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Tell foreign errors in a person's words."""
        try:
            yield
        except Failure:
            raise
        except Exception as error:
            raise self.session.explained(error) from error

    def create(
        self,
        folder: KernelFolder,
        notebook: Path | None,
        extra: Sequence[str],
        ports: Ports | None = None,
    ) -> None:
        """Make the container; `notebook` is that of the notebook, if there is one.

        `folder` is that of its sockets, or `ports` are in their place; `extra` are arguments that a
        client adds to the command.
        The image is pulled where it is missing. Raises `Failure`.
        """
        from docker.errors import ImageNotFound

        self.notebook = notebook
        with self.explained():
            try:
                self._create(folder, notebook, extra, ports)
            except ImageNotFound:
                fetch(self.session, self.settings)
                self._create(folder, notebook, extra, ports)

    def _create(
        self,
        folder: KernelFolder,
        notebook: Path | None,
        extra: Sequence[str],
        ports: Ports | None,
    ) -> None:
        settings = self.settings
        wanted = command(self.session, settings, folder, extra)
        ordered = wanted if ports is None else ports.applied(wanted)
        shown = None if ports is not None and not ports.local else notebook
        config = container_config(self.session, settings, ordered, shown)
        name = f"kernel-{settings.name or UNNAMED}-{secrets.token_hex(4)}"
        labels = {
            LABEL: settings.name or UNNAMED,
            FOLDER: str(folder.path),
            OWNER: _owner(name),
        }
        config["Labels"] = {**(config["Labels"] or {}), **labels}
        made = self.session.api.create_container_from_config(config, name)
        for warning in made.get("Warnings") or ():
            self._told(warning)
        self.id = str(made["Id"])
        if ports is not None:
            ports.deliver(self.session, self.id, folder.connection, wanted.binds)

    def start(self) -> None:
        """Start it, and watch over it in a thread; raises `Failure` when it cannot be started."""
        from docker.errors import APIError

        with self.explained():
            # Before the start, so that nothing it says and no end can be missed.
            self._connection = attach(self.session, self.id, stdin=1, stdout=1, stderr=1)
            self._exit = Exit(self.session, self.id, "next-exit")
            try:
                self.session.api.start(self.id)
            except APIError as error:
                raise start_failure(error, self.session.program) from error
            details = self.session.api.inspect_container(self.id)
        self.pid = int(details["State"]["Pid"])
        self._memory = int(details["HostConfig"].get("Memory") or 0)
        name = f"kernel {self.id[:12]}"
        self._watching = threading.Thread(target=self._watch, name=name, daemon=True)
        self._watching.start()

    def renew(self, end: Callable[[], object]) -> None:
        """Have `end` end it, and start it again.

        That is not the end that `ended` tells of, unless something of it fails.
        """
        assert self._watching is not None, "what was started"
        self._renewing = True
        try:
            with self.explained():
                end()
            self._watching.join()
            self._renewing = False
            self.start()
        except BaseException:
            self._renewing = False
            self._fail()
            raise

    def _fail(self) -> None:
        """Go on as before if it runs still; else that was its end."""
        if self._watching is not None:
            self._watching.join(_MOMENT)
            if self._watching.is_alive():
                return
        with suppress(Failure):
            self.remove()
        if not self.ended.done():
            self.ended.set_result(Fate(_UNKNOWN, "gone"))

    def signal(self, number: int) -> None:
        """Send a signal to the kernel; one that has ended gets none."""
        from docker.errors import APIError

        with self.explained():
            try:
                self.session.api.kill(self.id, number)
            except APIError as error:
                if error.status_code not in _GONE:
                    raise

    def remove(self) -> None:
        """End and remove it; one that has gone already is no error."""
        from docker.errors import APIError

        if not self.id:
            return
        with self.explained():
            try:
                self.session.api.remove_container(self.id, force=True, v=True)
            except APIError as error:
                if error.status_code not in _GONE:
                    raise
                self._await_removal()
        watching = self._watching
        if watching is not None and not self._renewing and watching.is_alive():
            self.ended.result()

    def _await_removal(self) -> None:
        """Return once a removal that is under way is over: Docker's engine answers before."""
        from docker.errors import NotFound

        with suppress(NotFound):
            self.session.api.wait(self.id, condition="removed")

    def give_up(self) -> None:
        """Remove what could not be started; the error that is under way is the one to be told."""
        with suppress(Failure):
            self.remove()
        self._close()

    def _watch(self) -> None:
        """Read what the kernel writes until its end, then learn the end; in a thread."""
        assert self._connection is not None
        assert self._exit is not None
        relay = Relay(self._connection, Listener(self._hear), None, tty=False, beside=self._exit)
        try:
            relay.run()
            ending = self._exit.ending(relay)
        except Failure:  # it was removed while there was no engine to tell of it
            ending = Ending(_UNKNOWN, "gone")
        except BaseException as error:
            self.ended.set_exception(error)
            raise
        finally:
            relay.close()
            self._close()
        if not self._renewing:
            self.ended.set_result(self._told_fate(ending))

    def _hear(self, _stream: int, data: memoryview) -> None:
        lines = self._words.feed(bytes(data))
        for line in lines:
            self._told(line)

    def _told_fate(self, ending: Ending) -> Fate:
        fault = ending.fault
        if fault is None and ending.code == KILLED and was_out_of_memory(self.session, self.id):
            fault = "oom"
        return Fate(
            ending.code,
            fault,
            ending.signal,
            memory=self._memory,
            peak=ending.peak,
            said=self._words.lines,
        )

    def _close(self) -> None:
        if self._exit is not None:
            self._exit.close()
        if self._connection is not None:
            self._connection.close()


def _owner(name: str) -> str:
    return f"{owner()}:{name}"


def sweep(session: Session) -> None:
    """Remove the containers and folders of kernels whose owners here are dead."""
    from docker.errors import APIError

    for entry in session.api.containers(all=True, filters={"label": LABEL}):
        labels = entry["Labels"]
        owned = {_owner(name.lstrip("/")) for name in entry["Names"] or ()}
        if labels.get(OWNER) not in owned or is_owned(Path(labels.get(FOLDER, ""))):
            continue
        try:
            session.api.remove_container(entry["Id"], force=True, v=True)
        except APIError as error:
            if error.status_code not in _GONE:
                raise
    remove_abandoned()
