"""Capture: an image of this Python environment is an image anywhere, and takes no secret along."""

import json
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipycontainer_runtime.errors import ContainerError
from ipycontainer_runtime.layers.compression import inflate
from support.engines import Engine, running_engine
from support.hosts import Host

pytestmark = pytest.mark.needs("root")

SECRET = "planted-8f1c2d"
# Imports every module of the standard library and of what is installed, and prints those that can
# be. Those left out open a browser, print, or need a screen.
IMPORT_ALL = """
import contextlib, importlib, io, json, sys
from importlib.metadata import packages_distributions
left_out = {"antigravity", "this", "idlelib", "turtledemo", "turtle", "test", "__main__"}
names = set(sys.stdlib_module_names) | set(packages_distributions())
imported = []
for name in sorted(names - left_out):
    if name.isidentifier() and not name.startswith("_"):
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(BaseException):
            importlib.import_module(name)
            imported.append(name)
print(json.dumps(imported))
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """An engine of this module's own, with the image `host` in it."""
    with running_engine() as running:
        running.client.images.pull("host")
        yield running


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A virtual environment with one module of its own, and secrets beside it."""
    folder = tmp_path / "env"
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "own_module.py").write_text("ANSWER = 42\n")
    (folder / "pip.conf").write_text(f"index-url = https://user:{SECRET}@example.com\n")
    (folder / ".env").write_text(SECRET)
    (site / "linked").symlink_to(tmp_path / "home")
    (tmp_path / "home").mkdir()
    (tmp_path / "home/id_rsa").write_text(SECRET)
    return folder


def capture(engine: Engine, name: str, python: Path | str) -> list[dict[str, object]]:
    """Capture through the API and return its messages."""
    api = engine.client.api
    params = {"name": name, "python": str(python)}
    reply = api.post(api.base_url + "/ipycontainer/capture", params=params, stream=True)
    return [json.loads(line) for line in reply.iter_lines()]


def run(engine: Engine, image: str, *command: str) -> str:
    output = engine.client.containers.run(image, command, network_mode="none", remove=True)
    return output.decode().strip()


def test_the_image_host_is_pulled_with_no_registry_and_runs_this_python(engine: Engine) -> None:
    said = run(engine, "host", "python3", "-c", "import sys; print(sys.version)")
    assert said == sys.version


def test_it_has_a_shell_the_core_utilities_and_no_accounts_but_its_own(engine: Engine) -> None:
    script = "ls -d /var; id -un; ls /etc/shadow 2>&1 || true"
    said = run(engine, "host", "sh", "-c", script)
    assert said.splitlines()[:2] == ["/var", "root"]
    assert "No such file" in said


@pytest.mark.needs("dockerd", "skopeo")
def test_docker_s_engine_runs_it_and_imports_every_module_that_imports_here(
    engine: Engine, dockerd: Host
) -> None:
    source = f"oci:{engine.paths.root}/images:host:latest"
    target = ["--dest-daemon-host", dockerd.url, source, "docker-daemon:captured:latest"]
    subprocess.run(["skopeo", "copy", "--quiet", *target], check=True)
    try:
        here = subprocess.run(
            [sys.executable, "-I", "-c", IMPORT_ALL], capture_output=True, text=True, check=True
        )
        there = dockerd.succeed(
            *("run", "--rm", "--network", "none", "captured", "python3", "-I", "-c", IMPORT_ALL)
        )
        missing = set(json.loads(here.stdout)) - set(json.loads(there))
        # Editable: this project's own code lies outside the environment, so it is not taken.
        assert missing <= {"ipycontainer", "ipycontainer_runtime"}
        assert len(json.loads(there)) > 200
    finally:
        dockerd.succeed("rmi", "captured")


def test_what_is_installed_later_is_not_in_it(engine: Engine, environment: Path) -> None:
    python = environment / "bin/python"
    capture(engine, "before", python)
    (module,) = environment.glob("lib/python*/site-packages/own_module.py")
    module.write_text("ANSWER = 0\n")
    question = "import own_module; print(own_module.ANSWER)"
    assert run(engine, "before", "python", "-c", question) == "42"
    capture(engine, "after", python)
    assert run(engine, "after", "python", "-c", question) == "0"


def test_no_secret_beside_the_environment_is_taken(
    engine: Engine, environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Off when Tree.add_folder follows symlinks, or when all of the prefix is taken.
    monkeypatch.setenv("PLANTED", SECRET)
    capture(engine, "clean", environment / "bin/python")
    layers = engine.paths.root / "images/blobs/sha256"
    manifest = engine.client.images.get("clean").attrs
    assert SECRET not in json.dumps(manifest)
    for blob in layers.iterdir():
        with blob.open("rb") as file:
            head = file.read(2)
            file.seek(0)
            if head != b"\x1f\x8b":
                assert SECRET.encode() not in file.read()
                continue
            tail = b""
            for chunk in inflate(iter(lambda: file.read(1 << 20), b"")):
                assert SECRET.encode() not in tail + chunk
                tail = chunk[-len(SECRET) :]


def test_files_are_root_s_and_nobody_else_writes_them(engine: Engine) -> None:
    script = "find / -xdev ! -type l \\( ! -user 0 -o -perm /7022 \\) ! -path '/proc/*' | sort"
    assert run(engine, "host", "sh", "-c", script).split() == ["/tmp", "/var/tmp"]


@pytest.mark.parametrize("python", ["/bin/false", "/nowhere/python", "python3", "/etc/passwd"])
def test_what_is_no_python_is_refused_in_one_line(engine: Engine, python: str) -> None:
    (message,) = [m for m in capture(engine, "nothing", python) if "error" in m]
    assert python in str(message["error"])
    assert "\n" not in str(message["error"])
    assert not engine.client.images.list("nothing")


def test_capturing_again_replaces_the_name(engine: Engine, environment: Path) -> None:
    for _ in range(2):
        messages = capture(engine, "twice", environment / "bin/python")
        assert str(messages[-1]["status"]).startswith("Status: Captured")
    assert len(engine.client.images.list("twice")) == 1


def test_errors_are_container_errors() -> None:
    from ipycontainer_runtime.capture import interpreter

    with pytest.raises(ContainerError, match="absolute path"):
        interpreter.ask("python3")
