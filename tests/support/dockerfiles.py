"""What the tests of the Dockerfile kernel drive: one kernel, and what its cells say."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from support.kernels import started_in

SECONDS = 60
NAME = "dockerfile"


class Ran(NamedTuple):
    """What a cell came to: its streams, its displays as they ended, its reply."""

    out: str
    err: str
    shown: str
    reply: dict[str, Any]

    @property
    def error(self) -> str:
        """What failed it."""
        assert self.reply["status"] == "error", self
        return str(self.reply["evalue"])


class Notebook:
    """A kernel and its client; `cell` is the id by which a front end names a cell."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager, self.client = manager, client

    def run(
        self,
        code: str,
        cell: str | None = None,
        on: Callable[[dict[str, Any]], None] | None = None,
        *,
        answer: str | None = None,
        **metadata: Any,
    ) -> Ran:
        """Run a cell to its end; `on` is called with each message.

        With `answer` somebody is there, who types this when he is asked.
        """
        content = {
            "code": code, "silent": False, "store_history": True, "user_expressions": {},
            "allow_stdin": answer is not None, "stop_on_error": False,
        }  # fmt: skip
        metadata |= {"cellId": cell} if cell else {}
        message = self.client.session.msg("execute_request", content, metadata=metadata)
        self.client.shell_channel.send(message)
        if answer is not None:
            self.client.get_stdin_msg(timeout=SECONDS)
            self.client.input(answer)
        texts: dict[str, str] = {"stdout": "", "stderr": ""}
        shown: dict[str, str] = {}
        for told in self._until_idle(message["header"]["msg_id"]):
            if on is not None:
                on(told)
            content = told["content"]
            if told["msg_type"] == "stream":
                texts[content["name"]] += content["text"]
            elif "transient" in content:
                shown[content["transient"]["display_id"]] = content["data"]["text/plain"]
        reply = self._reply(message["header"]["msg_id"])
        return Ran(texts["stdout"], texts["stderr"], "\n".join(shown.values()), reply)

    def _until_idle(self, asked: str) -> Iterator[dict[str, Any]]:
        while True:
            told = self.client.get_iopub_msg(timeout=SECONDS)
            if told["parent_header"].get("msg_id") != asked:
                continue
            if told["content"].get("execution_state") == "idle":
                return
            yield told

    def _reply(self, asked: str) -> dict[str, Any]:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            reply = self.client.get_shell_msg(timeout=SECONDS)
            if reply["parent_header"].get("msg_id") == asked:
                return dict(reply["content"])
        raise AssertionError("no reply")

    def ask(self, what: str, *arguments: Any) -> dict[str, Any]:
        """Ask for completions, an inspection or whether a cell is complete."""
        asked = getattr(self.client, what)(*arguments)
        list(self._until_idle(asked))
        return self._reply(asked)


def write_kernelspec(folder: Path) -> None:
    """Write a kernelspec that JUPYTER_PATH may name."""
    place = folder / "kernels" / NAME
    place.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipycontainer_kernel.dockerfile", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Dockerfile", "language": "dockerfile"}
    (place / "kernel.json").write_text(json.dumps(spec))


@contextmanager
def running(folder: Path, variables: dict[str, str]) -> Iterator[Notebook]:
    """Yield a kernel whose notebook is in `folder`; `variables` name its engine."""
    write_kernelspec(folder / "jupyter")
    with started_in(folder, NAME, variables) as (manager, client):
        yield Notebook(manager, client)
