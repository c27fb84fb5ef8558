"""Environments to capture, wheels made on the spot to install there, and what captures say."""

import gzip
import hashlib
import json
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.engines import Engine


def wheel(folder: Path, name: str, version: str = "1.0", **files: str) -> Path:
    """Write a wheel with these modules, a script and a data file, and return its path.

    Its keyword `requires` becomes a requirement.
    """
    requires = files.pop("requires", "")
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Python: >=3.8\n"
    contents = {
        f"{name}.py": f"VERSION = {version!r}\n\ndef main():\n    print('script of {name}')\n",
        **{f"{module}.py": text for module, text in files.items()},
        f"{name}-{version}.data/data/share/{name}/data.txt": f"data of {name}\n",
        f"{info}/METADATA": metadata + (f"Requires-Dist: {requires}\n" if requires else ""),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name}-command = {name}:main\n",
    }
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in contents.items():
            archive.writestr(member, text)
        lines = "".join(f"{member},,\n" for member in (*contents, f"{info}/RECORD"))
        archive.writestr(f"{info}/RECORD", lines)
    return path


def sha256(path: Path) -> str:
    """Return the hexadecimal sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Environment:
    """A virtual environment of this Python with nothing in it."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, symlinks=True)
        self.folder = folder
        self.python = folder / "bin/python"
        (self.site,) = folder.glob("lib/python*/site-packages")

    def pip(self, *arguments: str | Path) -> None:
        """Run this Python's pip on the environment."""
        command = [sys.executable, "-m", "pip", "--python", self.python, *arguments, "--quiet"]
        subprocess.run(
            [*map(str, command), "--disable-pip-version-check"], check=True, capture_output=True
        )

    def install(self, *what: str | Path) -> None:
        """Install wheels, from no index."""
        self.pip("install", "--no-index", "--no-deps", *what)


def capture(
    engine: Engine, name: str, python: Path | str = sys.executable, **asked: Any
) -> dict[str, Any]:
    """Capture through the API and return what is told of it; fails where an error is told."""
    said = messages(engine, name, python, **asked)
    errors = [message["error"] for message in said if "error" in message]
    assert not errors, errors
    return next(message["aux"] for message in said if "aux" in message)


def messages(
    engine: Engine, name: str, python: Path | str = sys.executable, **asked: Any
) -> list[dict[str, Any]]:
    """Capture through the API and return every message."""
    api = engine.client.api
    params = {"name": name, "python": str(python), **asked}
    reply = api.post(api.base_url + "/ipycontainer/capture", params=params, stream=True)
    return [json.loads(line) for line in reply.iter_lines()]


def run(engine: Engine, image: str, *command: str) -> str:
    """Run a command in the image and return what it prints."""
    output = engine.client.containers.run(image, command, network_mode="none", remove=True)
    return str(output.decode().strip())


def layers(engine: Engine, image: str) -> list[str]:
    """Return the diff ids of an image."""
    found: list[str] = engine.client.images.get(image).attrs["RootFS"]["Layers"]
    return found


def archives(engine: Engine, told: dict[str, Any]) -> Iterator[tarfile.TarFile]:
    """Yield the archive of each layer that a capture told of."""
    for layer in told["Layers"]:
        digest = layer["Digest"].removeprefix("sha256:")
        blob = engine.paths.root / "images/blobs/sha256" / digest
        with gzip.open(blob) as plain, tarfile.open(fileobj=plain) as archive:
            yield archive


def paths(engine: Engine, told: dict[str, Any]) -> set[str]:
    """Return every path of an image."""
    return {f"/{name}" for archive in archives(engine, told) for name in archive.getnames()}
