"""Kernels that an image brings: found in its kernelspecs, and started as those say."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernelroom import SECONDS, Room, running

from ipycontainer.sandbox.sessions import own_session
from ipycontainer_kernel import specs
from ipycontainer_kernel.brought import brought
from ipycontainer_kernel.resolving import Resolved, resolve
from support import images

pytestmark = pytest.mark.ordinary_user

PNG = b"\x89PNG\r\n\x1a\n"
KERNELS = "usr/local/share/jupyter/kernels"


def image_with(room: Room, name: str, files: dict[str, bytes], run: str = "") -> str:
    """Build an image of the room's with these files."""
    out = io.BytesIO()
    text = f"FROM {room.image}\nCOPY root /\n{run}\n"
    with tarfile.open(fileobj=out, mode="w") as archive:
        named = {f"root/{path}": data for path, data in files.items()}
        for path, data in {"Dockerfile": text.encode(), **named}.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    out.seek(0)
    room.host.client.images.build(fileobj=out, custom_context=True, tag=name, rm=True)
    return name


def spec(**fields: Any) -> bytes:
    given = {"argv": ["thing", "-f", "{connection_file}"], "display_name": "Thing", **fields}
    return json.dumps(given).encode()


@pytest.fixture(scope="module")
def image(room: Room) -> Iterator[str]:
    files = {
        f"{KERNELS}/thing/kernel.json": spec(
            argv=["thing", "{resource_dir}", "{prefix}", "{connection_file}"],
            language="things",
            interrupt_mode="message",
            env={"THING": "1"},
        ),
        f"{KERNELS}/thing/logo-64x64.png": PNG + b"icon",
        f"{KERNELS}/thing/logo-32x32.png": b"<svg onload=alert(1)>",
        f"{KERNELS}/thing/logo-svg.svg": b"<svg onload=alert(1)>",
        f"{KERNELS}/python3/kernel.json": spec(argv=["python", "-m", "ipykernel_launcher"]),
        f"{KERNELS}/broken/kernel.json": b"{",
        f"{KERNELS}/odd/kernel.json": b'["argv"]',
    }
    yield image_with(room, "brings", files)
    room.host.client.images.remove("brings", force=True)


def resolved(room: Room, image: str, **asked: Any) -> Resolved:
    return resolve(own_session(room.host.client), {"image": image, **asked})


def test_the_only_kernel_of_another_language_is_taken(room: Room, image: str) -> None:
    found = resolved(room, image)
    settings = found.settings
    assert (settings.kind, settings.spec, found.language) == ("image", "thing", "things")
    folder = f"/{KERNELS}/thing"
    assert settings.argv == ("thing", folder, "/usr/local", "/run/ipycontainer-kernel.json")
    assert settings.env == {"THING": "1"}
    document = specs.kernel_json(settings, room.specs / "thing", found.language)
    assert (document["language"], document["interrupt_mode"]) == ("things", "message")


def test_only_pictures_are_taken_of_a_strangers_icons(room: Room, image: str) -> None:
    assert resolved(room, image).icons == {"logo-64x64.png": PNG + b"icon"}


def test_a_kernelspec_that_nobody_could_start_is_left_out(room: Room, image: str) -> None:
    found = brought(own_session(room.host.client), image)
    assert sorted(one.name for one in found) == ["python3", "thing"]
    assert not room.containers()


def test_python_can_be_asked_for_all_the_same(room: Room, image: str) -> None:
    assert resolved(room, image, kind="python").settings.kind == "python"


@pytest.fixture(scope="module")
def xeus(room: Room, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image with xeus-python, which is no ipykernel: a kernel in C++."""
    target = tmp_path_factory.mktemp("xeus")
    command = ["uv", "pip", "install", "-q", "--target", target, "--python-version", "3.11"]
    environment = {**os.environ, "UV_CACHE_DIR": str(images.cache() / "uv")}
    wheels = ["--only-binary", ":all:", "xeus-python"]
    subprocess.run([*command, *wheels], env=environment, check=True, timeout=SECONDS)
    files = {
        f"opt/xeus/{path.relative_to(target)}": path.read_bytes()
        for path in target.rglob("*")
        if path.is_file()
    }
    # The small Debian has neither, and images with kernels in C++ do.
    for name in ("libstdc++.so.6", "libgcc_s.so.1"):
        folder = Path(f"/usr/lib/{os.uname().machine}-linux-gnu")
        files[f"{folder}/{name}".lstrip("/")] = (folder / name).read_bytes()
    run = "ENV PYTHONPATH=/opt/xeus PATH=/opt/xeus/bin:/usr/bin:/bin"
    yield image_with(room, "xeus", files, run)
    room.host.client.images.remove("xeus", force=True)


@pytest.mark.long
def test_a_kernel_in_another_language_runs_and_is_restarted(room: Room, xeus: str) -> None:
    found = resolved(room, xeus, spec="xpython", name="xpython")
    specs.write(found.settings, specs.Place(room.specs), language="python", icons=found.icons)
    with running("xpython") as kernel:
        assert kernel.run("1 + 1") == ("ok", "2")
        assert kernel.run("import sys; 'ipykernel' in sys.modules") == ("ok", "False")
        before = kernel.manager.get_connection_info()
        kernel.manager.restart_kernel()
        assert kernel.manager.get_connection_info() == before
        kernel.client.wait_for_ready(timeout=SECONDS)
        assert kernel.run("2 + 2") == ("ok", "4")
