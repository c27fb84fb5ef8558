"""Kernels in containers as Jupyter starts them: kernelspecs in folders of a test's own."""

import io
import json
import os
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel

from support import images
from support.engines import Engine

SECONDS = 60


@contextmanager
def jupyter_of(engine: Engine, folder: Path, cache: Path) -> Iterator[Path]:
    """Have this process's kernels use `engine` and the kernelspecs in `folder`, which is yielded.

    What is injected is kept in `cache`; what uv fetched, between runs of the tests, in this user's
    own folder.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DOCKER_HOST", raising=False)
        patch.setenv("IPYCONTAINER_ROOT", str(engine.paths.root))
        patch.setenv("IPYCONTAINER_RUN", str(engine.paths.run))
        patch.setenv("JUPYTER_PATH", str(folder))
        patch.setenv("UV_CACHE_DIR", str(fetched()))
        patch.setenv("XDG_CACHE_HOME", str(cache))
        yield folder


def fetched() -> Path:
    """Return where uv keeps what it fetched."""
    kept = images.cache()
    own = kept if os.access(kept, os.W_OK) else Path.home() / ".cache" / "ipycontainer-tests"
    return own / "uv"


def add_kernelspec(folder: Path, name: str, **settings: Any) -> None:
    """Write a kernelspec of kind `python`; `settings` are those of `Settings`."""
    place = folder / "kernels" / name
    place.mkdir(parents=True)
    launcher = [sys.executable, "-m", "ipycontainer_kernel.launcher", "-f", "{connection_file}"]
    spec = {
        "argv": launcher,
        "display_name": name,
        "language": "python",
        "interrupt_mode": "signal",
        "metadata": {
            "debugger": True,
            "kernel_provisioner": {"provisioner_name": "ipycontainer"},
            "ipycontainer": {"name": name, "notebook": "none", **settings},
        },
    }
    (place / "kernel.json").write_text(json.dumps(spec))


def derived(
    engine: Engine,
    image: str,
    files: Mapping[str, bytes],
    script: str = "",
    changes: Sequence[str] = (),
) -> str:
    """Return the id of `image` with more files, all of them executable.

    Then its python3 runs `script` in it; `changes` are lines of a Dockerfile.
    """
    command = ["python3", "-c", script] if script else ["true"]
    container = engine.client.containers.create(image, command, network_mode="none")
    try:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name, content in files.items():
                entry = tarfile.TarInfo(name.lstrip("/"))
                entry.size, entry.mode = len(content), 0o755
                tar.addfile(entry, io.BytesIO(content))
        container.put_archive("/", archive.getvalue())
        if script:
            container.start()
            assert container.wait()["StatusCode"] == 0, container.logs().decode()
        return str(container.commit(changes=list(changes)).id)
    finally:
        container.remove(force=True)


class Kernel(NamedTuple):
    """A kernel that runs, and one client of it."""

    manager: KernelManager
    client: BlockingKernelClient

    def run(self, code: str, **options: Any) -> list[dict[str, Any]]:
        """Execute a cell and return its outputs, as a notebook has them."""
        outputs = []

        def keep(message: dict[str, Any]) -> None:
            kind = message["header"]["msg_type"]
            if kind not in ("status", "execute_input"):
                outputs.append({"output_type": kind, **message["content"]})

        self.client.execute_interactive(code, output_hook=keep, timeout=SECONDS, **options)
        return outputs

    def value(self, code: str) -> Any:
        """Execute an expression, whose value JSON can write, and return it."""
        outputs = self.run(f"import json as _json; print(_json.dumps({code}))")
        # One write may come in two parts.
        assert {part["output_type"] for part in outputs} == {"stream"}, outputs
        return json.loads("".join(part["text"] for part in outputs))

    def printed(self, code: str) -> str:
        """Execute a cell and return all that it printed."""
        return "".join(part.get("text", "") for part in self.run(code))

    def ask(self, channel: Any, message: dict[str, Any]) -> dict[str, Any]:
        """Send a message on a channel and return the content of its reply."""
        channel.send(message)
        while True:
            reply = channel.get_msg(timeout=SECONDS)
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                content: dict[str, Any] = reply["content"]
                return content


@contextmanager
def running_kernel(name: str) -> Iterator[Kernel]:
    """Start a kernel by its kernelspec's name, and end it."""
    manager, client = start_new_kernel(kernel_name=name, startup_timeout=SECONDS)
    try:
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel()


@contextmanager
def started_in(
    folder: Path, name: str, variables: dict[str, str]
) -> Iterator[tuple[KernelManager, BlockingKernelClient]]:
    """Yield a kernel of `folder`/jupyter that runs there; `variables` name its engine."""
    # Only while it starts: what a test starts beside it is not this engine's.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_RUNTIME_DIR", str(folder / "runtime"))
        patch.setenv("JUPYTER_PATH", str(folder / "jupyter"))
        manager, client = start_new_kernel(
            kernel_name=name,
            env={**os.environ, **variables},
            cwd=str(folder),
            startup_timeout=SECONDS,
        )
    try:
        yield manager, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=False)
