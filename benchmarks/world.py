"""What is measured: our engine beside the peers that are installed, with images of known sizes."""

import contextlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support import images
from support.dockerd import running_dockerd
from support.engines import Engine, running_engine
from support.hosts import Host
from support.registry import Registry, running_registry

PULL_FILES, PULL_BYTES = 10_000, 77 * 1000**2
COMMIT_FILES, COMMIT_BYTES = 9_000, 150 * 1000**2
LINE = b"0123456789" * 7 + b"012345678\n"
LINES_BYTES = 50_000_000


class World:
    """Both engines, the registry between them, and the bundles of the runtimes without one."""

    def __init__(self, folder: Path, registry: Registry, ours: Engine, docker: Host | None) -> None:
        self.folder = folder
        self.registry = registry
        self.ours = ours
        self.docker = docker
        self.busybox = registry.add(images.busybox_layout(), "busybox")
        for host in self.hosts.values():
            host.succeed("pull", "-q", self.busybox)

    @property
    def hosts(self) -> dict[str, Host]:
        """The engines by the name of their column."""
        return {"ours": self.ours, **({"docker": self.docker} if self.docker else {})}

    def pulled(self, layout: Path, repository: str) -> str:
        """Serve a layout, pull it everywhere, and return its name."""
        name = self.registry.add(layout, repository)
        for host in self.hosts.values():
            host.succeed("pull", "-q", name)
        return name

    def podman(self, *arguments: str) -> list[str]:
        """Return a podman command on folders of this world."""
        places = ["--root", str(self.folder / "p"), "--runroot", str(self.folder / "pr")]
        return ["podman", *places, "--cgroup-manager", "cgroupfs", *arguments]

    def bundle(self) -> Path:
        """Return a bundle for crun: what Docker asks its runtime for, on an unpacked busybox.

        The specification is the one that Docker wrote for a container of its own, so the
        capabilities, the seccomp profile, masks and limits are the same; the mounts of its files
        and its network's hook are taken out.
        """
        bundle = self.folder / "bundle"
        if not bundle.exists():
            (bundle / "rootfs").mkdir(parents=True)
            archive = io.BytesIO()
            images.write_busybox(archive)
            untar = ["tar", "-x", "-C", str(bundle / "rootfs")]
            subprocess.run(untar, input=archive.getvalue(), check=True)
            (bundle / "config.json").write_text(json.dumps(self._specification(bundle)))
        return bundle

    def _specification(self, bundle: Path) -> dict[str, Any]:
        assert self.docker is not None
        run = ("run", "-d", "--network", "none", self.busybox, "sleep", "60")
        container = self.docker.succeed(*run)
        written = next(self.docker.home.glob(f"exec/**/moby/{container}/config.json"))
        specification: dict[str, Any] = json.loads(written.read_text())
        self.docker.succeed("rm", "-f", container)
        specification.pop("hooks", None)
        specification["root"] = {"path": str(bundle / "rootfs")}
        specification["process"]["args"] = ["true"]
        specification["mounts"] = [m for m in specification["mounts"] if m["type"] != "bind"]
        specification["linux"]["cgroupsPath"] = f"/crun-{os.getpid()}"
        return specification


@contextmanager
def world() -> Iterator[World]:
    """Yield the world of one run and remove all of it."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="ipyc-b", dir="/tmp"))
        stack.callback(shutil.rmtree, folder)
        registry = stack.enter_context(running_registry())
        ours = stack.enter_context(running_engine())
        docker = stack.enter_context(running_dockerd()) if shutil.which("dockerd") else None
        made = World(folder, registry, ours, docker)
        stack.callback(_remove_containers, made)
        yield made


def _remove_containers(world: World) -> None:
    for host in world.hosts.values():
        with contextlib.suppress(Exception):
            for container in host.client.containers.list(all=True):
                container.remove(force=True)
    if (world.folder / "p").exists():
        subprocess.run(world.podman("system", "reset", "-f"), check=False, capture_output=True)


def many_files() -> Path:
    """Return the layout of an image of 77 MB in 10,000 files, as compressible as source code."""
    return images.layout(
        "bench-files", {"Cmd": ["sh"]}, lambda out: write_contents(out, PULL_FILES, PULL_BYTES)
    )


def lines_image() -> Path:
    """Return the layout of a busybox with /lines, 50 MB of lines of 80 bytes."""

    def write(out: BinaryIO) -> None:
        images.write_busybox(out, {"lines": LINE * (LINES_BYTES // len(LINE))})

    return images.layout("bench-lines", {"Cmd": ["sh"], "Env": [f"PATH={images.PATH}"]}, write)


def contents(files: int, size: int) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents of `files` files, `size` bytes together; the same each time."""
    chance = random.Random(20240102)
    sources = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    corpus = b"".join(path.read_bytes() for path in sources)
    sizes = [chance.lognormvariate(0, 1.3) for _ in range(files)]
    for number, share in enumerate(sizes):
        length = max(1, round(share * size / sum(sizes)))
        start = chance.randrange(len(corpus) - 1)
        content = (corpus[start:] + corpus * (length // len(corpus) + 1))[:length]
        yield f"data/{number % 100:02}/{number}.py", content


def write_contents(out: BinaryIO, files: int, size: int) -> None:
    """Write those files as a tar."""
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in contents(files, size):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(content), 0o644, 1_704_164_645
            tar.addfile(entry, io.BytesIO(content))
