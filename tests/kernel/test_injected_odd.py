"""Images whose Python is where, or as, few have it: a kernel of them works, or says why not."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Callable, Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest
from uv import find_uv_bin

from ipycontainer.sandbox.sessions import own_session
from ipycontainer_kernel.inject import UnfitPython, prepare
from ipycontainer_kernel.inject.probe import probe
from ipycontainer_kernel.inject.throwaway import Trial
from ipycontainer_kernel.resolving import Resolved, resolve
from ipycontainer_kernel.settings import Settings
from support.engines import Engine
from support.kernels import (
    Kernel,
    add_kernelspec,
    derived,
    fetched,
    jupyter_of,
    running_kernel,
)
from support.wheels import write_wheel

NAME = "odd"
SITE = "/usr/local/lib/python3.11/dist-packages"
WHEELS, EXTRA = "/wheels", "/extra"
PYTHON = "/opt/venv/bin/python3"
STRIPPED = """
import glob, os, shutil, subprocess, sys
python = os.path.realpath(sys.executable)
subprocess.check_call([python, "-m", "venv", "--without-pip", "/opt/venv"])
(packages,) = glob.glob("/opt/venv/lib/python3*/site-packages")
shutil.rmtree(packages)
os.chmod(os.path.dirname(packages), 0o777)
os.chmod("/work", 0o777)
for folder in ("/tmp", "/var/tmp"):
    shutil.rmtree(folder)
for name in ("sh", "dash", "bash", "rbash", "python3"):
    if os.path.lexists("/usr/bin/" + name):
        os.remove("/usr/bin/" + name)
"""
CHANGES = (
    "USER 1234",
    "WORKDIR /work",
    f"ENV PYTHONPATH={EXTRA} PYTHONSAFEPATH=1 PYTHONSTARTUP={EXTRA}/startup.py PYTHONOPTIMIZE=1",
    "ENV TMPDIR=/nowhere HOME=/nowhere",
    'ENTRYPOINT ["/nothing"]',
)


@pytest.fixture(scope="module", autouse=True)
def jupyter(
    kernel_engine: Engine, injected: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    with jupyter_of(kernel_engine, tmp_path_factory.mktemp("jupyter"), injected) as folder:
        yield folder


@pytest.fixture(scope="module")
def resolved(kernel_engine: Engine, debian_python: str, jupyter: Path) -> Resolved:
    """An image without sh, /tmp, home, a folder of packages, and a Python on its PATH."""
    files = {
        f"{EXTRA}/{file}": Path(str(file.locate())).read_bytes()
        for file in distribution("wcwidth").files or ()
        if file.parts[0] == "wcwidth" and file.suffix == ".py"
    }
    files[f"{EXTRA}/wcwidth-0.2.13.dist-info/METADATA"] = b"Name: wcwidth\nVersion: 0.2.13\n"
    files[f"{EXTRA}/startup.py"] = b"begun = 'by PYTHONSTARTUP'\n"
    files["/work/json.py"] = b"raise SystemExit('a module of the folder that it begins in')\n"
    image = derived(kernel_engine, debian_python, files, STRIPPED, CHANGES)
    return resolve(own_session(kernel_engine.client), {"image": image})


@pytest.fixture(scope="module")
def kernel(
    resolved: Resolved, jupyter: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kernel]:
    wheels = tmp_path_factory.mktemp("wheels")
    write_wheel(wheels, "fromafolder", "VALUE = 42\n")
    wheels.chmod(0o755)
    volumes = [f"{wheels}:{WHEELS}:ro"]
    settings = {**resolved.settings.to_json(), "name": NAME, "notebook": "none"}
    add_kernelspec(jupyter, **settings, network="none", volumes=volumes)
    with running_kernel(NAME) as running:
        yield running


def test_a_python_that_is_off_the_path_alone_is_taken_and_told(
    resolved: Resolved, kernel: Kernel
) -> None:
    (note,) = resolved.notes
    assert f"no python3 on its PATH, so the kernel is {PYTHON}: `-e PATH=" in note
    assert kernel.value("__import__('sys').executable") == PYTHON


def test_packages_on_pythonpath_are_the_images_own_and_win(
    resolved: Resolved, kernel: Kernel
) -> None:
    names = [wheel["name"] for wheel in resolved.settings.wheels]
    assert "prompt-toolkit" in names
    assert "wcwidth" not in names
    assert kernel.value("__import__('wcwidth').__file__").startswith(EXTRA)


def test_bytecode_is_found_whatever_pythonoptimize_says(kernel: Kernel) -> None:
    cached = kernel.value("__import__('ipykernel.kernelapp').kernelapp.__cached__")
    assert "opt-1" in cached
    assert kernel.value(f"__import__('os').path.exists({cached!r})")


def test_pythonstartup_is_run(kernel: Kernel) -> None:
    assert kernel.value("begun") == "by PYTHONSTARTUP"


def test_temporary_files_are_not_made_in_the_folder_of_the_notebook(kernel: Kernel) -> None:
    assert kernel.value("__import__('tempfile').gettempdir()") == "/dev/shm"


def test_questions_and_completion_need_no_shell(kernel: Kernel) -> None:
    client = kernel.client
    outputs = kernel.run(
        "print(input('name? '))", allow_stdin=True, stdin_hook=lambda _message: client.input("Ada")
    )
    assert outputs[-1]["text"] == "Ada\n"
    message = client.session.msg("complete_request", {"code": "zi", "cursor_pos": 2})
    assert "zip" in kernel.ask(client.shell_channel, message)["matches"]


def test_pip_needs_neither_a_shell_nor_a_folder_of_packages_before(kernel: Kernel) -> None:
    told = kernel.printed(f"%pip install --no-index --find-links {WHEELS} 'fromafolder>=1'")
    assert "Successfully installed fromafolder-1.0" in told
    assert kernel.value("__import__('fromafolder').VALUE") == 42
    assert kernel.value("__import__('fromafolder').__file__").startswith("/opt/venv/lib")
    assert "has no network" in kernel.printed("%pip install something")


def test_a_pythonhome_that_leads_nowhere_is_named_with_its_cure(
    kernel_engine: Engine, debian_python: str
) -> None:
    image = derived(kernel_engine, debian_python, {}, changes=["ENV PYTHONHOME=/nowhere"])
    with pytest.raises(
        UnfitPython, match=r"No module named 'encodings'.*PYTHONHOME names '/nowhere'.*-e PYTHONH"
    ):
        prepare(kernel_engine.client, image)
    cured = Trial(kernel_engine.client, image, {"PYTHONHOME": ""})
    assert probe(cured).executable == "/usr/bin/python3"
    asked = Settings(debian_python, env={"PYTHONHOME": "/elsewhere"})
    with pytest.raises(UnfitPython, match="'/elsewhere'"):
        prepare(kernel_engine.client, debian_python, asked)


def test_packages_in_the_home_of_the_user_that_is_asked_for_count(
    kernel_engine: Engine, debian_python: str
) -> None:
    site = "/home/ada/.local/lib/python3.11/site-packages"
    files = {f"{site}/wcwidth-0.2.13.dist-info/METADATA": b"Name: wcwidth\nVersion: 0.2.13\n"}
    image = derived(kernel_engine, debian_python, files)
    asked = Trial(kernel_engine.client, image, {"HOME": "/home/ada"}, "1000")
    assert probe(asked).distributions == {"wcwidth": "0.2.13"}
    assert not probe(Trial(kernel_engine.client, image)).distributions


def test_an_ipykernel_of_the_images_own_that_does_not_start_is_refused_with_the_cure(
    kernel_engine: Engine, debian_python: str
) -> None:
    files = {f"{SITE}/ipykernel-4.0.dist-info/METADATA": b"Name: ipykernel\nVersion: 4.0\n"}
    image = derived(kernel_engine, debian_python, {**files, f"{SITE}/ipykernel/__init__.py": b""})
    with pytest.raises(UnfitPython, match=r"of its own, 4\.0, .*kernelapp'\): update it there"):
        prepare(kernel_engine.client, image)


@pytest.fixture(scope="module")
def with_old_ipykernel(
    kernel_engine: Engine, debian_python: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., str]:
    """A function that returns an image with an old ipykernel and all that it needs."""

    def made(*wanted: str) -> str:
        folder = tmp_path_factory.mktemp("old")
        command = [find_uv_bin(), "pip", "install", "-q", "--target", str(folder), *wanted]
        command += ["--python-version", "3.11", "--only-binary", ":all:"]
        subprocess.run(command, check=True, env={**os.environ, "UV_CACHE_DIR": str(fetched())})
        found = [path for path in folder.rglob("*") if path.is_file()]
        files = {f"{SITE}/{path.relative_to(folder)}": path.read_bytes() for path in found}
        for library in ("libstdc++.so.6", "libgcc_s.so.1"):
            path = f"/usr/lib/{platform.machine()}-linux-gnu/{library}"
            files[path] = Path(path).read_bytes()
        return derived(kernel_engine, debian_python, files)

    return made


@pytest.mark.long
def test_an_old_ipykernel_that_starts_and_answers_no_cell_is_refused(
    kernel_engine: Engine, with_old_ipykernel: Callable[..., str]
) -> None:
    image = with_old_ipykernel("ipykernel==5.5.6", "ipython>=8.20,<10")
    with pytest.raises(UnfitPython, match=r"of its own, 5\.5\.6, which runs no cell .*should_run"):
        prepare(kernel_engine.client, image)


@pytest.mark.long
def test_an_ipykernel_of_2018_is_the_kernel_where_it_can_be(
    jupyter: Path, with_old_ipykernel: Callable[..., str]
) -> None:
    image = with_old_ipykernel("ipykernel==4.10.1", "ipython_genutils")
    add_kernelspec(jupyter, "old", image=image, network="none")
    with running_kernel("old") as kernel:
        assert kernel.value("__import__('ipykernel').__version__") == "4.10.1"
