"""`%container` in a kernel's container: it acts on that container, over the control socket."""

import json
import select
import shlex
import socket
import sys
from typing import Any

SOCKET = "/run/ipycontainer-kernel/control"
USAGE = """\
This notebook runs in a container; %container is about that one:

  %container info                          its image, limits, memory, and what changed
  %container checkpoint [NAME]             keep its files as they are now
  %container checkpoint --every-cell       ... after every cell that changes some; `off` ends it
  %container checkpoints                   what is kept
  %container restore NAME                  give the files back and restart the kernel
  %container commit NAME[:TAG]             make the image localhost/NAME of it
  %container lock                          write what it is into this notebook's metadata

Other containers are reached from a notebook outside, or by the command `ipycontainer`."""
_NOT_RUN = (
    "not run: the kernel restarts with the files of a checkpoint. Run this cell once that is done;"
    " in a notebook that is run as a whole `%container restore` can only be the last cell"
)
_MOMENT = 0.2
"""Seconds in which clients that send one cell after the other are told so: what comes when a kernel
ends is lost, and who sent it would wait for an answer."""
_PATIENCE = 3600.0
"""Seconds that a commit may take."""


class Refused(Exception):  # noqa: N818 - never shown by its name
    """What the other side said no to, or that there is nobody."""


class Connection:
    """One request to the control socket."""

    def __init__(self, request: "dict[str, Any]") -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_PATIENCE)
        try:
            self._socket.connect(SOCKET)
            self.send(request)
        except OSError as error:
            self._socket.close()
            raise Refused(
                f"nobody answers at {SOCKET} ({error.strerror}): restart the kernel"
            ) from error
        self._file = self._socket.makefile("rb")

    def send(self, message: "dict[str, Any]") -> None:
        """Send one line."""
        self._socket.sendall(json.dumps(message).encode() + b"\n")

    def answer(self) -> "dict[str, Any]":
        """Return the next line; raises Refused for an error, or where none comes."""
        line = self._file.readline()
        if not line:
            raise Refused("too much was asked at a time: try again")
        found: dict[str, Any] = json.loads(line)
        if "error" in found:
            raise Refused(found["error"])
        return found

    @property
    def ended(self) -> bool:
        """Whether the other side has done what it was told."""
        try:
            readable, _, _ = select.select([self._socket], [], [], 0)
            return bool(readable) and not self._socket.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    def close(self) -> None:
        """Let the connection go."""
        self._file.close()
        self._socket.close()


def ask(request: "dict[str, Any]") -> "dict[str, Any]":
    """Send a request and return its answer; raises Refused."""
    connection = Connection(request)
    try:
        return connection.answer()
    finally:
        connection.close()


class ContainerMagic:
    """The magic of one kernel."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._hooked = False

    def container(self, line: str, cell: "str | None" = None) -> None:
        """Act on the container that this notebook runs in; without a verb the verbs are told."""
        from IPython.core.error import UsageError

        try:
            self._run(shlex.split(line), cell)
        except (Refused, ValueError) as error:
            # IPython shows its message alone, and the cell fails.
            raise UsageError(str(error)) from None

    def _run(self, words: "list[str]", cell: "str | None") -> None:
        verb, *rest = words or ["help"]
        if verb in ("help", "--help"):
            print(USAGE)
        elif cell is not None:
            raise Refused("%%container is for notebooks outside: use %container, of one line")
        elif verb == "checkpoint" and rest[:1] == ["--every-cell"]:
            self._every_cell(rest[1:])
        elif verb == "restore":
            self._restore(_one(rest, "restore NAME"))
        elif verb == "commit":
            print(ask({"verb": "commit", "name": _one(rest, "commit NAME[:TAG]")})["text"])
        elif verb == "lock" and not rest:
            self._lock()
        elif verb == "checkpoint" and len(rest) < 2:
            print(ask({"verb": "checkpoint", "name": "".join(rest)})["text"])
        elif verb in ("checkpoints", "info") and not rest:
            print(ask({"verb": verb})["text"])
        else:
            raise Refused(
                f"this notebook runs in a container, where %container has no {' '.join(words)!r}:"
                " `%container` lists what it has"
            )

    def _lock(self) -> None:
        # Imported as what boot.py calls the package, which has another name outside.
        from . import page

        found = ask({"verb": "lock"})
        kernel = getattr(self._shell, "kernel", None)
        if kernel is not None and page.write(kernel, found["lock"]):
            print("this notebook's metadata has its sandbox; save it")
            for note in found["notes"]:
                print(f"WARNING: {note}")
            return
        raise Refused(
            "no page of ipycontainer's answers, and a container has no way to the notebook's file:"
            " `ipycontainer lock NOTEBOOK` outside writes the same"
        )

    def _every_cell(self, rest: "list[str]") -> None:
        if rest not in ([], ["on"], ["off"]):
            raise Refused("checkpoint --every-cell is followed by on or off")
        answer = ask({"verb": "every-cell", "on": rest != ["off"]})
        self.hook(answer["every_cell"])
        print(answer["text"])

    def hook(self, wanted: bool) -> None:
        """Have something kept after each cell from now on, or not."""
        events = self._shell.events
        if wanted and not self._hooked:
            events.register("post_run_cell", self._after_cell)
        elif self._hooked and not wanted:
            events.unregister("post_run_cell", self._after_cell)
        self._hooked = wanted

    def _after_cell(self, result: Any) -> None:
        info = getattr(result, "info", None)
        if info is not None and (info.silent or not info.store_history):
            return  # what a front end asks for itself
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        try:
            text = ask({"verb": "cell", "count": result.execution_count or 0})["text"]
        except Refused as error:
            text = f"no checkpoint: {error}"
        if text:
            print(f"\x1b[2m{text}\x1b[0m")

    def _restore(self, name: str) -> None:
        kernel = getattr(self._shell, "kernel", None)
        if kernel is None:
            raise Refused("restore restarts a kernel, and this is none")
        connection = Connection({"verb": "restore", "name": name})
        try:
            connection.answer()
        except BaseException:
            connection.close()
            raise
        print(f"{name}: its files come back, and the kernel restarts")
        refuse_cells(kernel, connection)
        after_reply(kernel, lambda: go(kernel, connection))


def after_reply(kernel: Any, action: Any) -> None:
    """Call something a moment after the request that is being handled was answered."""
    before = kernel.post_handler_hook

    def hook() -> None:
        del kernel.post_handler_hook
        before()
        kernel.io_loop.call_later(_MOMENT, action)

    kernel.post_handler_hook = hook


def refuse_cells(kernel: Any, connection: Connection) -> None:
    """Run no more cells: clients that send them one after the other do not wait for a restart.

    They would be run with the files and variables of before. Once a restore has ended and this
    process lives, it has failed, and cells are run again.
    """
    execute = kernel.do_execute

    async def refused(*given: Any, **named: Any) -> Any:
        if connection.ended:
            kernel.do_execute = execute
            return await execute(*given, **named)
        told = {"ename": "KernelRestarts", "evalue": _NOT_RUN, "traceback": [_NOT_RUN]}
        kernel.send_response(kernel.iopub_socket, "error", told)
        return {"status": "error", "execution_count": kernel.execution_count, **told}

    kernel.do_execute = refused


def go(kernel: Any, connection: Connection) -> None:
    """Tell clients that the kernel restarts, and have it done."""
    # Imported as what boot.py calls the package, which has another name outside.
    from . import page

    page.announce_restart()
    content = {"execution_state": "restarting"}
    ident = kernel._topic("status")
    kernel.session.send(kernel.iopub_socket, "status", content, parent={}, ident=ident)
    # In the thread that sends it, and so after that.
    kernel.iopub_thread.schedule(lambda: connection.send({"go": True}))


def load_ipython_extension(shell: Any) -> None:
    """Register `%container`; called by boot.py."""
    magic = ContainerMagic(shell)
    shell.register_magic_function(magic.container, "line_cell", "container")
    try:
        magic.hook(ask({"verb": "hello"})["every_cell"])
    except Refused:
        return  # a kernel without a control socket has the magic to say so


def _one(words: "list[str]", usage: str) -> str:
    if len(words) != 1:
        raise Refused(f"one name is wanted: %container {usage}")
    return words[0]
