"""What the tests of the shell kernel drive: one kernel, what its cells say and ask."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty
from typing import Any, NamedTuple

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from ipycontainer_kernel import specs
from ipycontainer_kernel.container import LABEL
from ipycontainer_kernel.settings import Settings
from support.engines import Engine
from support.hosts import Host
from support.kernels import started_in

SECONDS = 60


class Ran(NamedTuple):
    """What a cell came to: its streams, what it displayed and asked, and its reply."""

    out: str
    err: str
    shown: list[dict[str, str]]
    asked: list[str]
    reply: dict[str, Any]

    @property
    def status(self) -> int:
        """Its exit code."""
        return int(self.reply.get("exit_code", 0))

    @property
    def error(self) -> str:
        """What failed it."""
        assert self.reply["status"] == "error", self
        return str(self.reply["evalue"])


class Console:
    """A kernel and its client."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager, self.client = manager, client

    def run(self, code: str, *answers: str, asks: bool | None = None, interrupt: str = "") -> Ran:
        """Run a cell to its end.

        `answers` are typed as it asks; `interrupt` is output at which it is interrupted.
        """
        allow = bool(answers) if asks is None else asks
        asked = self.client.execute(code, allow_stdin=allow)
        left, prompts = list(answers), []
        texts = {"stdout": "", "stderr": ""}
        shown = []
        for message in self._messages(asked):
            content = message["content"]
            if message["msg_type"] == "input_request":
                prompts.append(content["prompt"])
                self.client.input(left.pop(0))
            elif message["msg_type"] == "stream":
                texts[content["name"]] += content["text"]
                if interrupt and interrupt in texts["stdout"]:
                    interrupt = ""
                    self.manager.interrupt_kernel()
            elif message["msg_type"] == "display_data":
                shown.append(content["data"])
        return Ran(texts["stdout"], texts["stderr"], shown, prompts, self.reply(asked))

    def _messages(self, asked: str) -> Iterator[dict[str, Any]]:
        """Yield what belongs to a cell until it is idle, questions between the rest."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            for get in (self.client.get_stdin_msg, self.client.get_iopub_msg):
                try:
                    message = get(timeout=0.02)
                except Empty:
                    continue
                if message["parent_header"].get("msg_id") != asked:
                    continue
                if message["content"].get("execution_state") == "idle":
                    return
                yield message
        raise AssertionError("the cell did not end")

    def reply(self, asked: str) -> dict[str, Any]:
        """Return the reply to a request."""
        while True:
            found = self.client.get_shell_msg(timeout=SECONDS)
            if found["parent_header"].get("msg_id") == asked:
                return dict(found["content"])

    def ask(self, what: str, *arguments: Any) -> dict[str, Any]:
        """Ask for completions, an inspection or whether a cell is complete."""
        return self.reply(getattr(self.client, what)(*arguments))

    def texts(self, code: str) -> list[str]:
        """Return the completions at the end of `code`."""
        return list(self.ask("complete", code)["matches"])


def containers(host: Host) -> list[dict[str, Any]]:
    """Return the kernels' containers of an engine."""
    return list(host.client.api.containers(all=True, filters={"label": LABEL}))


def write_kernelspec(folder: Path, name: str, **fields: Any) -> None:
    """Write a shell kernel's kernelspec that JUPYTER_PATH=`folder` finds."""
    settings = Settings(name=name, display_name=name, kind="shell", **fields)
    place = folder / "kernels" / name
    place.mkdir(parents=True, exist_ok=True)
    (place / "kernel.json").write_text(json.dumps(specs.kernel_json(settings, place)))


@contextmanager
def running(
    folder: Path, image: str, variables: dict[str, str], **fields: Any
) -> Iterator[Console]:
    """Yield a kernel in `image` whose notebook is in `folder`; `variables` name its engine."""
    name = fields.pop("name", "shell")
    write_kernelspec(folder / "jupyter", name, image=image, **fields)
    with started_in(folder, name, variables) as (manager, client):
        yield Console(manager, client)


def engine_variables(engine: Engine) -> dict[str, str]:
    """Return what makes a kernel use this engine of ours."""
    where = engine.paths
    return {"IPYCONTAINER_ROOT": str(where.root), "IPYCONTAINER_RUN": str(where.run)}
