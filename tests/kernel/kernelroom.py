"""Kernels in containers as their clients have them: kernelspecs in a folder, started and ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jupyter_client import KernelManager
from jupyter_client.blocking import BlockingKernelClient

from ipycontainer_kernel import specs
from ipycontainer_kernel.container import LABEL
from ipycontainer_kernel.fate import Fate
from ipycontainer_kernel.provisioner import ContainerProvisioner
from ipycontainer_kernel.resolving import icons
from ipycontainer_kernel.settings import Settings
from support.hosts import Host

SECONDS = 60


class Room:
    """An engine, and a folder of kernelspecs; `close` fails when a kernel left something."""

    def __init__(self, host: Host, image: str, folder: Path, runtime: Path) -> None:
        self.host = host
        self.image = image
        self.folder = folder
        self.specs = folder / "kernels"
        self.folders = runtime / "ipycontainer-kernels"

    def install(self, name: str = "contained", **fields: Any) -> str:
        """Write a kernelspec, without what `kernel install` finds out; return its name."""
        given = {"image": self.image, "network": "none", "display_name": name, **fields}
        settings = Settings(name=name, **given)
        specs.write(settings, specs.Place(self.specs), icons=icons("container"))
        return name

    def containers(self) -> list[dict[str, Any]]:
        """Return the kernels' containers."""
        return list(self.host.client.api.containers(all=True, filters={"label": LABEL}))

    def left(self) -> list[str]:
        """Return what is left of kernels in words."""
        words = [f"container {entry['Names']}" for entry in self.containers()]
        if self.folders.is_dir():
            words += [f"folder {path}" for path in self.folders.iterdir()]
        return words


class Running:
    """A kernel and its client."""

    def __init__(self, manager: KernelManager) -> None:
        self.manager = manager
        self.client: BlockingKernelClient = manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=SECONDS)

    def run(self, code: str) -> tuple[str, str]:
        """Run a cell; return its status, and what it printed and returned or raised."""
        told: list[str] = []

        def hear(message: dict[str, Any]) -> None:
            content = message["content"]
            told.append(
                content.get("text")
                or content.get("data", {}).get("text/plain")
                or content.get("ename")
                or ""
            )

        reply = self.client.execute_interactive(code, timeout=SECONDS, output_hook=hear)
        return reply["content"]["status"], "".join(told)

    def begin(self, code: str) -> str:
        """Begin a cell and return when it runs; return its message's id."""
        # Else what is asked after an interrupt is refused for a moment, as after any error.
        ident: str = self.client.execute(code, stop_on_error=False)
        self.until(ident, "stream")
        return ident

    def until(self, ident: str, kind: str) -> dict[str, Any]:
        """Return the next message of that kind which belongs to `ident`."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            message: dict[str, Any] = self.client.get_iopub_msg(timeout=SECONDS)
            if message["parent_header"].get("msg_id") == ident and message["msg_type"] == kind:
                return message
        raise AssertionError(f"no {kind} came")

    def close(self) -> None:
        """Shut the kernel down as a server does."""
        self.client.stop_channels()
        self.manager.shutdown_kernel()


@contextmanager
def running(name: str, *, argv: bool = False, **options: Any) -> Iterator[Running]:
    """Start a kernel by its kernelspec; with `argv` as one who knows no provisioners would."""
    manager = KernelManager(kernel_name=name)
    assert manager.kernel_spec is not None
    if argv:
        del manager.kernel_spec.metadata["kernel_provisioner"]
    manager.start_kernel(**options)
    try:
        kernel = Running(manager)
        try:
            yield kernel
        finally:
            kernel.client.stop_channels()
    finally:
        manager.shutdown_kernel()


def fate(manager: KernelManager) -> Fate:
    """Return how a kernel ended, once it has."""
    provisioner = manager.provisioner
    assert isinstance(provisioner, ContainerProvisioner)
    owned = provisioner._owned
    assert owned is not None
    assert owned.container is not None
    return owned.container.ended.result(timeout=SECONDS)
