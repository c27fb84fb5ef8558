"""`lock` writes what a sandbox is: by digest, without secrets, and relative to the notebook."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel

from ipycontainer.cli import main
from ipycontainer_kernel import specs
from ipycontainer_kernel.notebooks.lock import lock
from ipycontainer_kernel.notebooks.secrets import looks_secret
from ipycontainer_kernel.settings import Settings
from support.engines import Engine

IMAGE = "small"
DIGEST = "example.org/x@sha256:" + "a" * 64
Write = Callable[..., Path]


def said(path: Path) -> dict[str, Any]:
    return dict(nbformat.read(path, as_version=4).metadata["ipycontainer"])


@pytest.mark.needs("root")
def test_the_command_line_locks_what_a_notebook_says_and_runs_it_so(
    sandboxes: Engine, write: Write, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write("print('inside')", memory="300m")
    data, outside = path.parent / "data", path.parent.parent
    data.mkdir()
    flags = ["--cpus", "1", "-v", f"{data}:/data:ro", "-v", f"{outside}:/o", "-e", "DB_PASSWORD=x"]
    assert main(["lock", str(path), *flags]) == 0
    told = capfd.readouterr().err
    assert f"the mount '{outside}:/o' is not portable" in told
    assert "DB_PASSWORD: looks like a secret" in told
    assert f"{IMAGE} has no digest of a registry" in told
    found = said(path)
    assert found["digest"] == sandboxes.client.images.get(IMAGE).id
    assert (found["memory"], found["cpus"], found["network"]) == ("300m", 1.0, "none")
    assert found["volumes"] == ["./data:/data:ro", f"{outside}:/o"]
    assert found["secrets"] == ["DB_PASSWORD"]
    assert "x" not in found.get("env", {}).values()
    assert main(["run", str(path), "--trust"]) == 1
    assert "needs DB_PASSWORD: give it with -e DB_PASSWORD" in capfd.readouterr().err
    assert main(["run", str(path), "-q", "-v", f"{data}:/data", "-e", "DB_PASSWORD=x"]) == 0


@pytest.mark.needs("root")
@pytest.mark.usefixtures("sandboxes")
def test_a_cell_locks_the_notebook_that_it_is_in(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("1")
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    manager, client = start_new_kernel(kernel_name="python3")
    said_by: list[str] = []
    try:
        reply = client.execute_interactive(
            f"%load_ext ipycontainer\n%container lock --image {IMAGE} -m 200m",
            timeout=120,
            output_hook=lambda message: said_by.append(message["content"].get("text", "")),
        )
        assert reply["content"]["status"] == "ok", reply["content"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert f"{path} has its sandbox in its metadata" in "".join(said_by)
    assert "have it loaded again" in "".join(said_by)
    assert said(path)["memory"] == "200m"


@pytest.mark.needs("root")
@pytest.mark.usefixtures("sandboxes")
def test_an_image_by_an_id_that_is_not_here_is_told(
    write: Write, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write("1", digest="sha256:" + "b" * 64)
    assert main(["run", str(path)]) == 1
    assert "--image IMAGE takes another" in capfd.readouterr().err


def test_a_lock_reads_back_as_what_was_locked(tmp_path: Path) -> None:
    wheels = ({"name": "x", "version": "1", "sha256": "c" * 64},)
    settings = Settings("x", digest=DIGEST, memory="1g", wheels=wheels, name="kernel-of-mine")
    found = lock(settings, tmp_path)
    assert not found.notes
    assert Settings.from_json(found.metadata).wheels == wheels
    assert "name" not in found.metadata


SECRET = {
    "AWS_SECRET_ACCESS_KEY": "x",
    "GITHUB_TOKEN": "x",
    "password": "x",
    "apikey": "x",
    "URL": "https://me:word@example.org/",
    "X": "ghp_" + "a" * 36,
    "JWT": "eyJhbGciOiJI.eyJzdWIiOiIx.x",
}
HARMLESS = {"PATH": "/bin", "KEYBOARD": "de", "LANG": "C", "MONKEY": "1", "URL": "https://x.org/"}


@pytest.mark.parametrize("name", SECRET)
def test_what_looks_secret_is_known(name: str) -> None:
    assert looks_secret(name, SECRET[name])


@pytest.mark.parametrize("name", HARMLESS)
def test_what_does_not_is_let_be(name: str) -> None:
    assert not looks_secret(name, HARMLESS[name])


@pytest.mark.needs("root")
@pytest.mark.usefixtures("sandboxes")
def test_a_kernel_is_installed_from_a_notebook_without_what_a_file_may_not_have(
    write: Write, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write("1", memory="300m", volumes=["/:/host"], name="python3")
    assert main(["kernel", "install", "--from", str(path)]) == 0
    told = capfd.readouterr()
    assert "does not get the mount '/:/host'" in told.err
    name = told.out.strip()
    assert name.startswith("sandbox-")
    (installed,) = specs.installed()
    assert (installed.name, installed.settings.volumes) == (name, ())
    assert installed.settings.memory == "300m"
    assert main(["kernel", "install", "--from", str(path)]) == 0
    assert capfd.readouterr().out.strip() == name
