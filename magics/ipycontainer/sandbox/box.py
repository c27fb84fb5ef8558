"""`Sandbox`: a container that code is sent to, from start to close."""

from __future__ import annotations

import textwrap
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from ..failures import Failure
from . import commands
from .channel import Broken
from .commands import Completed, Order
from .errors import CommandFailed, SandboxClosed, TimedOut
from .fate import lost
from .files import Files
from .interpreter import Code, Interpreter, Outcome
from .keeping import Kept, Limits, config_changes
from .sessions import fresh_surface, own_session

if TYPE_CHECKING:
    import os

    from docker import DockerClient
    from docker.models.containers import Container
    from docker.models.images import Image

    from ..session import Session
    from ..surface import Surface


class Sandbox:
    """A container for code that should not run here: `run` commands, `python` code, `files`.

    `image` is pulled when it is missing. What nobody asked for is not given: there is no network,
    memory is 1 GB and processes are 256 (or what `%config IPyContainer` says), and no program
    gains privileges. `volumes` are `"FOLDER:TARGET[:ro]"`. `timeout` is in seconds, for
    each call that names none. With `trusted` the container may do to this process what it likes:
    its pickles are opened and its HTML is shown.

    A context manager; without `with`, `start` and `close` it. It is also removed when nothing
    refers to it any more, at the end of the process, and when the process is killed.
    """

    def __init__(
        self,
        image: str,
        *,
        memory: str | None = None,
        cpus: float | None = None,
        pids: int | None = None,
        network: str = "none",
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        user: str | None = None,
        volumes: Sequence[str] = (),
        name: str | None = None,
        timeout: float | None = None,
        trusted: bool = False,
        client: DockerClient | None = None,
        session: Session | None = None,
    ) -> None:
        self.image = image
        self.trusted = trusted
        self.timeout = timeout
        self._name = name
        self._session = session or own_session(client)
        self._asked = (memory, cpus, pids)
        self._limits = Limits(
            network=network, env=dict(env or {}), cwd=cwd, user=user, volumes=tuple(volumes)
        )
        self._lock = threading.Lock()
        self._kept: Kept | None = None
        self._closed = False
        self._interpreter: Interpreter | None = None

    def start(self) -> Sandbox:
        """Make and start the container; return the sandbox."""
        if self._closed:
            raise SandboxClosed(f"sandbox of {self.image} was closed: make another")
        if self._kept is None:
            with self._told():
                self._kept = Kept(self._session, self.image, self._preferred(), self._name)
                self._finalizer = weakref.finalize(self, self._kept.let_go)
                self._details = self._session.api.inspect_container(self._kept.id)
        return self

    def close(self) -> None:
        """End what runs in it, and remove the container."""
        self._closed = True
        if self._interpreter is not None:
            self._interpreter.close()
        if self._kept is not None:
            kept, self._kept = self._kept, None
            self._finalizer.detach()
            with self._told():
                kept.remove()

    def run(
        self,
        args: Sequence[object],
        *,
        check: bool = False,
        input: str | bytes = b"",  # noqa: A002 - subprocess's own word
        timeout: float | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        user: str = "",
        text: bool = True,
    ) -> Completed:
        """Run a command, a list of words, and return its exit code and output.

        Output is text, or bytes without `text`. With `check` a code that is not 0 raises
        CommandFailed. Raises TimedOut after `timeout` seconds.
        """
        kept = self._open()
        given = input.encode() if isinstance(input, str) else bytes(input)
        limit = self.timeout if timeout is None else timeout
        with self._told():
            order = Order(tuple(commands.words(args)), given, env, cwd, user, limit)
            try:
                done = commands.run(self._session, kept.id, order, shell=kept.shell)
            except TimedOut as late:
                late.stdout, late.stderr = (
                    _text(s) if text else s for s in (late.stdout, late.stderr)
                )
                raise
        if text:
            done = done._replace(stdout=_text(done.stdout), stderr=_text(done.stderr))
        if check and done.code:
            raise CommandFailed(self.name, done)
        return done

    def python(self, code: str, /, *, timeout: float | None = None, **inputs: Any) -> Any:
        """Run Python code in the sandbox's interpreter and return its last expression's value.

        `inputs` become its variables; they, and what the code leaves, stay for the next code. What
        it prints and displays is shown here. A value that is no plain data comes as an `Opaque`
        that can be looked at. Raises PythonError when the code does, TimedOut and InterpreterLost.
        """
        return self.execute(code, inputs=inputs, timeout=timeout).value

    def execute(
        self,
        code: str,
        *,
        inputs: Mapping[str, Any],
        outputs: Sequence[str] = (),
        timeout: float | None = None,
        called: str = "code",
        surface: Surface | None = None,
    ) -> Outcome:
        """Do what `python` does, and bring out the variables `outputs` as well.

        `called` names the code where its lines are told of.
        """
        kept = self._open()
        limit = self.timeout if timeout is None else timeout
        sent = Code(_dedented(code), called, dict(inputs), tuple(outputs), limit)
        with self._lock, self._told():
            interpreter = self._warm(kept)
            try:
                return interpreter.run(sent, surface or fresh_surface())
            except Broken as broken:
                self._interpreter = None
                raise lost(
                    self._session, kept.id, self.name, self._memory, interpreter, broken
                ) from None
            except (KeyboardInterrupt, TimedOut):
                if interpreter.ended:
                    # Its stream is closed; code that never looks up would go on all the same.
                    commands.kill(self._session, kept.id, interpreter.pid)
                raise

    def interrupt(self) -> None:
        """Stop the code that `python` runs in another thread: it raises KeyboardInterrupt there."""
        if self._interpreter is not None:
            self._interpreter.interrupt()

    def reset(self) -> None:
        """End the interpreter: its variables are forgotten, files are kept."""
        with self._lock:
            if self._interpreter is not None:
                self._interpreter.close()
                self._interpreter = None

    def put(self, source: bytes | bytearray | str | PurePath, path: str | PurePath) -> None:
        """Copy bytes, or a file or folder of this computer by its path, into the sandbox."""
        self.files.put(source, path)

    def get(
        self, path: str | PurePath, local: str | os.PathLike[str] | None = None
    ) -> bytes | Path:
        """Return a file's bytes or, with `local`, copy a file or folder to this computer."""
        return self.files.get(path, local)

    @property
    def files(self) -> Files:
        """The sandbox's files: `list`, `read`, `write`, `exists`, `remove` and their kin."""
        kept = self._open()
        base = self._details["Config"].get("WorkingDir") or "/"
        return Files(
            self._session, kept.id, base, lambda words: self.run(words, text=False), self._told
        )

    def commit(self, name: str, message: str | None = None) -> Image:
        """Make an image of the sandbox's files, with the command of the image it began with.

        It waits for code that runs, and nothing is paused: not every machine can.
        """
        from docker.utils import parse_repository_tag

        kept = self._open()
        with self._lock, self._told():
            repository, tag = parse_repository_tag(name)
            api = self._session.api
            changes = config_changes(api.inspect_image(self._details["Image"]))
            with self._session.naming(name):
                made = api.commit(
                    kept.id, repository, tag, message=message, changes=changes, pause=False
                )
            return self._session.client.images.get(made["Id"])

    @property
    def container(self) -> Container:
        """The container, as docker-py has it."""
        kept = self._open()
        with self._told():
            return self._session.client.containers.get(kept.id)

    @property
    def name(self) -> str:
        """The container's name, once it is started."""
        return str(self._details["Name"]).lstrip("/") if self._kept or self._closed else self.image

    @property
    def running(self) -> bool:
        """Whether it was started and not closed."""
        return self._kept is not None

    def __enter__(self) -> Sandbox:
        return self.start()

    def __exit__(self, *_error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "not started"
        return f"<Sandbox of {self.image}, {self.name if self.running else state}>"

    def _open(self) -> Kept:
        if self._kept is not None:
            return self._kept
        if self._closed:
            raise SandboxClosed(f"sandbox of {self.image} was closed: make another")
        raise SandboxClosed(f"sandbox of {self.image} was not started: use `with`, or start() it")

    def _preferred(self) -> Limits:
        """Return the limits: those that were given, else the person's, else the defaults."""
        memory, cpus, pids = self._asked
        prefer, limits = self._session.preferences, self._limits
        return replace(
            limits,
            memory=memory or prefer.memory or limits.memory,
            cpus=cpus or prefer.cpus,
            pids=pids or prefer.pids_limit or limits.pids,
        )

    def _warm(self, kept: Kept) -> Interpreter:
        if self._interpreter is None or self._interpreter.ended:
            made = Interpreter(self._session, kept.id, name=self.name, trusted=self.trusted)
            made.start()
            self._interpreter = made
        return self._interpreter

    @property
    def _memory(self) -> int:
        return int(self._details["HostConfig"].get("Memory") or 0)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Tell foreign errors in a person's words."""
        try:
            yield
        except Failure:
            raise
        except Exception as error:
            if self._kept is not None and getattr(error, "status_code", None) in (404, 409):
                raise self._gone(error) from error
            raise self._session.explained(error) from error

    def _gone(self, error: Exception) -> Failure:
        from .fate import ended

        assert self._kept is not None
        found = ended(self._session, self._kept.id, self.name, self._memory)
        return found or self._session.explained(error)


def _text(data: str | bytes) -> str:
    return data if isinstance(data, str) else data.decode(errors="replace")


def _dedented(code: str) -> str:
    """Return code that was indented as a whole, as in a call, without that."""
    return textwrap.dedent(code) if code.lstrip("\n")[:1] in (" ", "\t") else code
