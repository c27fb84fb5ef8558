"""Capture: an image of this Python environment is an image anywhere, and takes no secret along."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from captureroom import Environment, archives, capture, messages, run, wheel

from ipycontainer_runtime.errors import ContainerError
from support.engines import Engine
from support.hosts import Host

pytestmark = pytest.mark.needs("root")

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


@pytest.mark.long
@pytest.mark.needs("dockerd", "skopeo")
def test_docker_s_engine_imports_every_module_of_host_that_imports_here(
    engine: Engine, dockerd: Host
) -> None:
    engine.client.images.pull("host")
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


def test_it_runs_this_python_with_a_shell_and_no_accounts_but_its_own(
    engine: Engine, environment: Environment
) -> None:
    capture(engine, "plain", environment.python)
    script = "python -c 'import sys; print(sys.version)'; id -un; ls -d /var; ls /etc/shadow 2>&1"
    said = run(engine, "plain", "sh", "-c", f"{script} || true").splitlines()
    assert said[:-1] == [*sys.version.splitlines(), "root", "/var"]
    assert "No such file" in said[-1]


def test_what_is_installed_later_is_not_in_it(engine: Engine, environment: Environment) -> None:
    module = environment.site / "own_module.py"
    module.write_text("ANSWER = 42\n")
    capture(engine, "before", environment.python)
    module.write_text("ANSWER = 0\n")
    question = "import own_module; print(own_module.ANSWER)"
    assert run(engine, "before", "python", "-c", question) == "42"
    capture(engine, "after", environment.python)
    assert run(engine, "after", "python", "-c", question) == "0"


def test_scripts_and_data_of_what_is_installed_are_in_it(
    engine: Engine, environment: Environment, tmp_path: Path
) -> None:
    environment.install(wheel(tmp_path, "tidy"))
    capture(engine, "scripts", environment.python)
    script = f"tidy-command; cat {environment.folder}/share/tidy/data.txt"
    assert run(engine, "scripts", "sh", "-c", script) == "script of tidy\ndata of tidy"


def test_python_believes_the_bytecode_in_it(
    engine: Engine, environment: Environment, tmp_path: Path
) -> None:
    # Off where the time in the bytecode is not that of its source in the image.
    environment.install(wheel(tmp_path, "tidy"))
    capture(engine, "bytecode", environment.python)
    said = run(
        engine, "bytecode", "python", "-v", "-c", "import tidy, json; print(tidy.__cached__)"
    )
    assert said.endswith(f"{environment.site}/__pycache__/tidy.{sys.implementation.cache_tag}.pyc")
    verbose = engine.client.containers.run(
        "bytecode",
        ["python", "-vc", "import tidy, json"],
        network_mode="none",
        remove=True,
        stderr=True,
        stdout=False,
    ).decode()
    assert "# bytecode is stale" not in verbose
    assert f"matches {environment.site}/tidy.py" in verbose
    assert f"matches {json.__file__}" in verbose


def test_files_are_root_s_and_nobody_else_writes_them(
    engine: Engine, environment: Environment
) -> None:
    # The environment lies in /tmp, whose sticky bit it must not take away.
    capture(engine, "plain", environment.python)
    script = "find / -xdev ! -type l \\( ! -user 0 -o -perm /7022 \\) ! -path '/proc/*' | sort"
    assert run(engine, "plain", "sh", "-c", script).split() == ["/tmp", "/var/tmp"]


def test_all_files_have_one_time(engine: Engine, environment: Environment) -> None:
    told = capture(engine, "plain", environment.python)
    times = {member.mtime for archive in archives(engine, told) for member in archive}
    assert times == {315_532_800}


@pytest.mark.parametrize("python", ["/bin/false", "/nowhere/python", "python3", "/etc/passwd"])
def test_what_is_no_python_is_refused_in_one_line(engine: Engine, python: str) -> None:
    (message,) = [m for m in messages(engine, "nothing", python) if "error" in m]
    assert python in str(message["error"])
    assert "\n" not in str(message["error"])
    assert not engine.client.images.list("nothing")


def test_capturing_again_replaces_the_name(engine: Engine, environment: Environment) -> None:
    for _ in range(2):
        said = messages(engine, "twice", environment.python)
        assert str(said[-1]["status"]).startswith("Status: Captured")
    assert len(engine.client.images.list("twice")) == 1


def test_a_dry_run_tells_the_layers_and_makes_nothing(
    engine: Engine, environment: Environment, tmp_path: Path
) -> None:
    environment.install(wheel(tmp_path, "dry"))
    told = capture(engine, "dry", environment.python, dryrun=1)
    assert [layer["Name"] for layer in told["Layers"]][:2] == ["system", "interpreter"]
    assert "ID" not in told
    assert not engine.client.images.list("dry")
    made = capture(engine, "dry", environment.python)
    assert [layer["Size"] for layer in made["Layers"]] == [x["Size"] for x in told["Layers"]]


def test_errors_are_container_errors() -> None:
    from ipycontainer_runtime.capture import interpreter

    with pytest.raises(ContainerError, match="absolute path"):
        interpreter.ask("python3")


def test_a_capture_whose_client_goes_away_leaves_nothing(
    engine: Engine, environment: Environment
) -> None:
    # A module of its own size, so that there is something to write when the client leaves.
    (environment.site / "large.py").write_bytes(b"#" * (64 << 20))
    before = set((engine.paths.root / "images/blobs/sha256").iterdir())
    api = engine.client.api
    params = {"name": "left", "python": str(environment.python)}
    reply = api.post(api.base_url + "/ipycontainer/capture", params=params, stream=True)
    lines = reply.iter_lines()  # without which the connection would be closed
    assert any(b'"Capturing"' in line for line in lines)
    reply.close()
    # Only once the first has ended does the engine let go of what it wrote.
    capture(engine, "other", environment.python)
    engine.client.images.remove("other")
    assert not engine.client.images.list("left")
    assert set((engine.paths.root / "images/blobs/sha256").iterdir()) <= before
    assert not list((engine.paths.root / "ingest").iterdir())
    assert "never retrieved" not in engine.log


def test_code_is_looked_at_for_nobody_once_the_client_is_gone(
    engine: Engine, environment: Environment, tmp_path: Path
) -> None:
    folder = tmp_path / "code"
    folder.mkdir()
    for number in range(100):
        with (folder / f"{number}.bin").open("wb") as file:
            file.truncate(64 << 20)  # holes, which are read as any file is
    api = engine.client.api
    params = {"name": "left", "python": str(environment.python), "code": str(folder)}
    reply = api.post(api.base_url + "/ipycontainer/capture", params=params, stream=True)
    lines = reply.iter_lines()  # without which the connection would be closed
    assert b"Capturing" in next(lines)
    until(lambda: looks_at(engine, folder))
    reply.close()
    # In between two files none is open.
    until(lambda: not any(looks_at(engine, folder) for _ in range(20)))


def looks_at(engine: Engine, folder: Path) -> bool:
    """Tell whether the engine has a file of this folder open."""
    time.sleep(0.05)
    found = []
    for link in Path(f"/proc/{engine.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(link))
    return any(path.startswith(f"{folder}/") for path in found)


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not what():
        assert time.monotonic() < deadline
