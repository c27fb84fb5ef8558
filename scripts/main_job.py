"""Run the first notebook headless, on an image that was really pulled if that can be had."""

import argparse
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import requests
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from ipycontainer_runtime import client
from ipycontainer_runtime.errors import ContainerError

NOTEBOOK = Path(__file__).parents[1] / "notebooks/01-first-container.ipynb"
HUB = "https://registry-1.docker.io/v2/"
HUB_IMAGE = "python:3.12-slim"
REGISTRY = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


def say(text: str) -> None:
    """Print a line about the demo itself."""
    print(f"== {text}", flush=True)


def hub_in_reach() -> bool:
    """Tell whether Docker Hub answers; asked once, for three seconds at most."""
    try:
        requests.get(HUB, timeout=3)
    except requests.RequestException:
        return False
    return True


@contextlib.contextmanager
def loopback_registry(folder: Path) -> Iterator[str | None]:
    """Serve a registry of our own for as long as the context lasts; yield its address."""
    program = shutil.which("docker-registry")
    if program is None:
        yield None
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = folder / "registry.yml"
    config.write_text(REGISTRY.format(folder=folder / "registry", port=port))
    server = subprocess.Popen([program, "serve", str(config)], stderr=subprocess.DEVNULL)
    try:
        yield f"127.0.0.1:{port}" if answers(port, server) else None
    finally:
        server.terminate()
        server.wait()


def answers(port: int, server: "subprocess.Popen[bytes]") -> bool:
    """Wait until the registry listens; it tells nobody when it does, so it is asked."""
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        if server.poll() is not None:
            return False
        time.sleep(0.05)
    return False


def publish(address: str) -> str:
    """Capture this environment, push it to the registry, and forget it here; return its name."""
    name = f"{address}/first"
    with contextlib.closing(client.connect()) as engine:
        engine.images.pull("host")
        engine.images.get("host").tag(name)
        for message in engine.api.push(name, tag="latest", stream=True, decode=True):
            if "error" in message:
                raise RuntimeError(message["error"])
        for tag in (f"{name}:latest", "host:latest"):
            engine.images.remove(tag)
    return name


def choose_image(address: str | None) -> str:
    """Return the image to pull, and say where it comes from."""
    if hub_in_reach():
        say(f"Docker Hub answers, so the notebook pulls {HUB_IMAGE} from it")
        return HUB_IMAGE
    if address:
        say(f"no image registry in reach: one of our own serves at {address}")
        say("capturing this Python environment as an image, and pushing it there")
        return publish(address)
    say("no image registry in reach and no docker-registry to serve one: nothing can be pulled")
    say("so the notebook runs on `host`, an image captured from this Python environment")
    return "host"


def show(notebook: nbformat.NotebookNode) -> None:
    """Print the notebook's cells and what they gave, as text."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            print(f"\n{cell.source}\n")
            continue
        print("\n".join(f"    {line}" for line in cell.source.splitlines()))
        for output in cell.outputs:
            text = output.get("text") or output.get("data", {}).get("text/plain", "")
            if output.output_type == "error":
                text = f"{output.ename}: {output.evalue}"
            print(text.rstrip())


def main() -> int:
    """Run the demo; return 0 when every cell did what it should."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--save", type=Path, help="write the notebook with its outputs here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ipycontainer-demo-") as temporary:
        folder = Path(temporary)
        os.environ["IPYCONTAINER_ROOT"] = str(folder / "data")
        os.environ["IPYCONTAINER_RUN"] = str(folder / "run")
        try:
            return run(folder, arguments.save)
        except ContainerError as error:
            print(f"scripts/demo: {error}", file=sys.stderr)
            return 1
        finally:
            client.stop()


def run(folder: Path, save: Path | None) -> int:
    """Choose an image, run the notebook on it, show it."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with loopback_registry(folder) as address:
        os.environ["IPYCONTAINER_FIRST_IMAGE"] = choose_image(address)
        say(f"running {NOTEBOOK.name}")
        runner = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": folder}})
        try:
            runner.execute()
        except CellExecutionError as error:
            show(notebook)
            print(f"scripts/demo: a cell failed: {error.ename}: {error.evalue}", file=sys.stderr)
            return 1
    show(notebook)
    if save:
        nbformat.write(notebook, save)
    say("all of it ran. To do it yourself, in JupyterLab:")
    say("    .venv/bin/python -m pip install jupyterlab")
    say(f"    .venv/bin/jupyter lab {NOTEBOOK.relative_to(NOTEBOOK.parents[1])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
