"""What the tests of the magics drive: a shell, a kernel and the command line, and an engine."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import docker
import pytest
import zmq
from docker.errors import APIError, NotFound
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel
from traitlets.config import Config

IMAGE = "busybox"
SECONDS = 60
COMMAND = [sys.executable, "-c", "import sys; from ipycontainer.cli import main; sys.exit(main())"]


class Box(NamedTuple):
    """An engine that has `IMAGE`; `variables` make our clients use it."""

    name: str
    client: docker.DockerClient
    variables: dict[str, str]

    def state(self, container: str) -> dict[str, Any]:
        """What the engine says of a container's state."""
        return dict(self.client.api.inspect_container(container)["State"])

    def exists(self, container: str) -> bool:
        """Whether the engine knows the container."""
        try:
            self.client.api.inspect_container(container)
        except NotFound:
            return False
        return True


def remove(client: docker.DockerClient, container: str) -> None:
    """Remove a container, which may be about to remove itself."""
    try:
        client.api.remove_container(container, force=True)
    except APIError as error:
        if error.status_code not in {404, 409}:
            raise


class Ran(NamedTuple):
    """What a cell did."""

    out: str
    err: str
    value: Any
    error: BaseException | None
    displayed: list[str]


class Shell:
    """A real IPython shell in this process."""

    def __init__(self, folder: Path) -> None:
        config = Config({"HistoryManager": {"enabled": False}})
        # `display` and `get_ipython` look for the one instance.
        self.ip = InteractiveShell.instance(config=config, ipython_dir=str(folder))
        self.ip.run_line_magic("load_ext", "ipycontainer")

    @property
    def names(self) -> dict[str, Any]:
        """The notebook's variables."""
        return self.ip.user_ns

    def run(self, code: str) -> Ran:
        """Run a cell."""
        with capture_output() as captured:
            result = self.ip.run_cell(code)
        error = result.error_before_exec or result.error_in_exec
        shown = [output.data.get("text/plain", "") for output in captured.outputs]
        # A plain shell prints its last value.
        _, out, last = captured.stdout.partition("Out[")
        shown += [last.partition(": ")[2].strip("\n")] if out else []
        return Ran(captured.stdout, captured.stderr, result.result, error, shown)

    def magic(self, line: str, body: str | None = None) -> Any:
        """Call the magic; its failure is raised."""
        if body is None:
            return self.ip.run_line_magic("container", line)
        return self.ip.run_cell_magic("container", line, body)

    def close(self) -> None:
        """Leave the process as it was."""
        self.ip.run_line_magic("unload_ext", "ipycontainer")
        self.ip.restore_sys_module_state()
        self.ip.atexit_operations()
        atexit.unregister(self.ip.atexit_operations)
        InteractiveShell.clear_instance()


class Message(NamedTuple):
    """One message of a kernel's output."""

    kind: str
    content: dict[str, Any]


class Kernel:
    """A real kernel in a process of its own, driven through its client."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self._manager = manager
        self._client = client

    def run(
        self, code: str, on: Callable[[Message], None] | None = None, *, asked: bool = False
    ) -> list[Message]:
        """Run a cell; `on` is called with each message when it comes.

        With `asked` somebody sits at the notebook: questions are among the messages.
        """
        asked_for = self._client.execute(code, allow_stdin=asked)
        found: list[Message] = []
        while True:
            raw = self._next()
            if raw["parent_header"].get("msg_id") != asked_for:
                continue
            message = Message(raw["msg_type"], raw["content"])
            if message.kind == "status" and message.content["execution_state"] == "idle":
                return found
            found.append(message)
            if on is not None:
                on(message)

    def _next(self) -> dict[str, Any]:
        poller = zmq.Poller()
        channels = (self._client.iopub_channel, self._client.stdin_channel)
        for channel in channels:
            poller.register(channel.socket, zmq.POLLIN)
        ready = dict(poller.poll(SECONDS * 1000))
        # What was said before the question is here before it.
        for channel in channels:
            if channel.socket in ready:
                return dict(channel.get_msg(timeout=0))
        raise AssertionError("the kernel says nothing")

    def answer(self, text: str) -> None:
        """Type this into the box."""
        self._client.input(text)

    def complete(self, code: str, rest: str = "") -> dict[str, Any]:
        """Ask what could stand at the end of `code`, where `rest` follows."""
        reply = self._client.complete(code + rest, len(code), reply=True, timeout=SECONDS)
        return dict(reply["content"])

    def kill(self) -> None:
        """End the kernel as a machine out of memory does."""
        self._manager.shutdown_kernel(now=True)

    def interrupt(self) -> None:
        """Do what a notebook's stop button does."""
        self._manager.interrupt_kernel()


@contextmanager
def running_kernel(folder: Path) -> Iterator[Kernel]:
    """Yield a kernel with the extension loaded; its files are in `folder`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(folder))
        patch.setenv("JUPYTER_RUNTIME_DIR", str(folder / "runtime"))
        manager, client = start_new_kernel(kernel_name="python3", env=dict(os.environ))
        try:
            made = Kernel(manager, client)
            made.run("%load_ext ipycontainer")
            yield made
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)


def streamed(messages: list[Message], name: str) -> str:
    """The text of one stream."""
    return "".join(
        m.content["text"] for m in messages if m.kind == "stream" and m.content["name"] == name
    )


def errors(messages: list[Message]) -> list[dict[str, Any]]:
    """The errors that a cell ended with."""
    return [m.content for m in messages if m.kind == "error"]
