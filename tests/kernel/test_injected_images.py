"""Which images get an injected kernel, with what, and what the others are told."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

from ipycontainer.failures import Failure
from ipycontainer_kernel.inject import NoPython, UnfitPython, cache, ours, prepare, uv
from ipycontainer_kernel.inject.probe import Facts, fit, read
from ipycontainer_kernel.inject.throwaway import Trial
from ipycontainer_kernel.settings import Settings
from support import images
from support.engines import Engine
from support.kernels import add_kernelspec, derived, jupyter_of, running_kernel
from support.registry import Registry

ANSWER: dict[str, Any] = {
    "implementation": "CPython",
    "version": [3, 12, 4],
    "threaded": False,
    "tag": "cpython-312",
    "executable": "/usr/bin/python3",
    "libc": "glibc",
    "libc_version": "2.36",
    "machine": "x86_64",
    "lacks": [],
    "ipykernel": False,
    "pip": True,
    "distributions": [],
}
SITE = "/usr/local/lib/python3.11/dist-packages"
NOWHERE = "http://127.0.0.1:9/simple"


@pytest.fixture(scope="module", autouse=True)
def jupyter(
    kernel_engine: Engine, injected: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    with jupyter_of(kernel_engine, tmp_path_factory.mktemp("jupyter"), injected) as folder:
        yield folder


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing was injected yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def no_index(empty: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No package index answers, and uv has fetched nothing yet."""
    monkeypatch.setenv("UV_DEFAULT_INDEX", NOWHERE)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))


def facts(**changed: Any) -> Facts:
    """Return what an image says of its Python, understood."""
    return read(json.dumps({**ANSWER, **changed}).encode(), "made-up")


def with_python(engine: Engine, busybox: str, script: str) -> str:
    """Return an image whose python3 is a script of the shell."""
    engine.client.images.pull(busybox)
    return derived(engine, busybox, {"/bin/python3": f"#!/bin/sh\n{script}\n".encode()})


@pytest.mark.usefixtures("empty")
def test_an_image_without_python_is_told_of_the_shell_kernel(
    kernel_engine: Engine, busybox: str
) -> None:
    kernel_engine.client.images.pull(busybox)
    with pytest.raises(NoPython, match=r"has no python3.*--kind shell"):
        prepare(kernel_engine.client, busybox)
    assert not [path for path in cache.home().iterdir() if path.is_dir()]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"version": [3, 8, 18]}, "CPython 3.8.18, and kernels need 3.9 or later"),
        (
            {"implementation": "PyPy", "tag": "pypy312"},
            "PyPy 3.12.4, and ipykernel is injected into CPython alone",
        ),
        ({"threaded": True}, "without a global interpreter lock"),
        ({"libc": "", "libc_version": ""}, "an unknown libc"),
        ({"machine": "armv7l"}, "armv7l"),
    ],
)
def test_a_python_that_no_kernel_runs_in_is_refused_with_the_reason(
    changed: dict[str, Any], told: str
) -> None:
    with pytest.raises(UnfitPython, match=told):
        fit(facts(**changed), "made-up")


@pytest.mark.parametrize(
    "changed",
    [
        {"executable": "/bin/sh\n-c"},
        {"executable": "python3"},
        {"version": [3, 12]},
        {"version": [3, "12; x", 0]},
        {"version": [3, 10**9, 0]},
        {"tag": "../../x"},
        {"libc_version": "2.36 --index-url=http://x"},
        {"machine": "-r/etc/passwd"},
        {"distributions": [["x", "1"]] * 5001},
        {"distributions": 7},
        {"lacks": 7},
    ],
    ids=str,
)
def test_an_answer_that_no_python_gives_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(Failure, match="answers what no Python would"):
        facts(**changed)


def test_names_and_versions_that_could_be_flags_or_files_are_no_constraints() -> None:
    hostile = [["--index-url", "1"], ["x", "1 @ file:///etc"], ["x\n-r y", "1"], ["../x", "1"]]
    assert facts(distributions=[*hostile, ["Good_Name", "1.0"]]).distributions == {
        "good-name": "1.0"
    }


def test_libraries_that_an_image_says_it_lacks_are_those_that_wheels_need() -> None:
    assert facts(lacks=["/etc/shadow", "librt.so.1"]).lacks == ("librt.so.1",)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("exec yes", "says more than"),
        ("echo '{\"version\": 3}'", "answers what no Python would"),
        ("echo broken >&2; exit 3", r"fails \(exit code 3\) and says 'broken'"),
    ],
)
def test_a_python_that_is_none_is_found_out(
    kernel_engine: Engine, busybox: str, script: str, told: str
) -> None:
    image = with_python(kernel_engine, busybox, script)
    with pytest.raises(Failure, match=told):
        prepare(kernel_engine.client, image)
    assert not kernel_engine.client.api.containers(all=True)


def test_a_python_that_says_nothing_is_ended(kernel_engine: Engine, busybox: str) -> None:
    kernel_engine.client.images.pull(busybox)
    with pytest.raises(Failure, match=r"said nothing for 0\.3 s"):
        Trial(kernel_engine.client, busybox).run(["sleep", "60"], seconds=0.3, limit=9)
    assert not kernel_engine.client.api.containers(all=True)


PREPARING = """\
import sys
from ipycontainer import connect
from ipycontainer_kernel.inject import prepare
prepare(connect(), sys.argv[1])
"""


def test_an_image_is_asked_no_longer_than_who_asks_lives(
    kernel_engine: Engine, busybox: str
) -> None:
    image = with_python(kernel_engine, busybox, "exec sleep 1000")
    wanted = {"event": ["start", "destroy"]}
    events = kernel_engine.client.api.events(decode=True, filters=wanted)
    asking = subprocess.Popen([sys.executable, "-c", PREPARING, image])
    assert next(events)["Action"] == "start"
    asking.kill()
    asking.wait()
    assert next(events)["Action"] == "destroy"
    events.close()


def test_the_images_own_packages_win(
    kernel_engine: Engine, debian_python: str, jupyter: Path
) -> None:
    """Another release of one that ipykernel needs is taken as it is, and the rest fits it."""
    files = {
        f"{SITE}/{file}": Path(str(file.locate())).read_bytes()
        for file in distribution("wcwidth").files or ()
        if file.parts[0] == "wcwidth" and file.suffix == ".py"
    }
    files[f"{SITE}/wcwidth-0.2.13.dist-info/METADATA"] = b"Name: wcwidth\nVersion: 0.2.13\n"
    image = derived(kernel_engine, debian_python, files)
    add_kernelspec(jupyter, "own", image=image, network="none")
    names = [wheel["name"] for wheel in prepare(kernel_engine.client, image).wheels]
    assert "prompt-toolkit" in names
    assert "wcwidth" not in names
    with running_kernel("own") as kernel:
        assert kernel.value("__import__('wcwidth').__file__").startswith(SITE)


def test_what_every_python_of_an_image_prints_is_no_hindrance(
    kernel_engine: Engine, debian_python: str
) -> None:
    noisy = {f"{SITE}/noisy.pth": b"import sys; print('hello')\n"}
    made = prepare(kernel_engine.client, derived(kernel_engine, debian_python, noisy))
    folder = Path(made.binds[0].partition(":")[0])
    assert list(folder.glob("site/ipykernel/__pycache__/kernelapp.*.pyc"))


def test_an_image_whose_packages_fit_no_ipykernel_is_told_which(
    kernel_engine: Engine, debian_python: str
) -> None:
    files = {f"{SITE}/ipython-7.0.0.dist-info/METADATA": b"Name: ipython\nVersion: 7.0.0\n"}
    image = derived(kernel_engine, debian_python, files)
    with pytest.raises(UnfitPython, match=r"no ipykernel fits ipython 7\.0\.0 of"):
        prepare(kernel_engine.client, image)


def test_a_lock_gives_the_same_wheels_again(
    kernel_engine: Engine,
    debian_python: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = prepare(kernel_engine.client, debian_python)
    locked = Settings(debian_python, wheels=tuple(first.wheels))
    assert prepare(kernel_engine.client, debian_python, locked) == first
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    second = prepare(kernel_engine.client, debian_python, locked)
    assert all(len(wheel["sha256"]) == 64 for wheel in first.wheels)
    assert (second.wheels, second.python) == (first.wheels, first.python)


@pytest.mark.parametrize(
    ("wheel", "told"),
    [
        ({"name": "six", "version": "1.17.0", "sha256": "0" * 64}, "six"),
        ({"name": "--index-url http://x", "version": "1", "sha256": "0" * 64}, "name '--index"),
        ({"name": "six", "version": "1 @ file:///x", "sha256": "0" * 64}, "version '1 @ file"),
        ({"name": "six", "version": "1.17.0", "sha256": "0"}, "sha256 '0'"),
    ],
    ids=["another hash", "a flag", "a file", "no hash"],
)
def test_a_lock_that_lies_is_refused(
    kernel_engine: Engine, debian_python: str, wheel: dict[str, str], told: str
) -> None:
    with pytest.raises(Failure, match=told):
        prepare(kernel_engine.client, debian_python, Settings(debian_python, wheels=(wheel,)))


@pytest.mark.usefixtures("no_index")
def test_without_an_index_the_installation_here_serves_an_image_of_the_same_python(
    kernel_engine: Engine, debian_python: str, jupyter: Path
) -> None:
    if sys.version_info[:2] != (3, 11):
        pytest.skip("the tests run with another Python than the image has")
    add_kernelspec(jupyter, "offline", image=debian_python, network="none")
    with running_kernel("offline") as kernel:
        found = kernel.value("__import__('ipykernel').__version__")
    wheels = {one["name"]: one for one in prepare(kernel_engine.client, debian_python).wheels}
    assert found == distribution("ipykernel").version == wheels["ipykernel"]["version"]
    assert {one["sha256"] for one in wheels.values()} == {""}


def test_without_an_index_an_image_of_another_python_is_refused_with_the_cure(
    tmp_path: Path,
) -> None:
    other = facts(version=[3, 99, 0], tag="cpython-399")
    with pytest.raises(Failure, match=r"no index; and the image has CPython 3\.99.*connect"):
        ours.copy(other, tmp_path, uv.Unreachable("no index"))


@pytest.mark.usefixtures("no_index")
def test_an_index_that_does_not_answer_is_told_from_a_package_that_is_not_there(
    tmp_path: Path,
) -> None:
    with pytest.raises(uv.Unreachable, match="no package index answers"):
        uv.resolve(facts(), ["ipykernel"], tmp_path)


@pytest.mark.parametrize(
    ("changed", "platform"),
    [
        ({"libc": "musl", "libc_version": "1.2.5"}, "x86_64-linux-musl"),
        ({"machine": "aarch64", "version": [3, 13, 1]}, "aarch64-linux-gnu"),
        ({"version": [3, 9, 2], "libc_version": "2.31"}, "x86_64-linux-gnu"),
    ],
    ids=["musl", "aarch64", "3.9"],
)
def test_wheels_are_those_of_the_images_python_libc_and_machine(
    tmp_path: Path, changed: dict[str, Any], platform: str
) -> None:
    asked = facts(**changed)
    wheels = uv.install(
        asked, uv.resolve(asked, ["debugpy", "pyzmq"], tmp_path), tmp_path / "site", tmp_path
    )
    python = "cpython-{}{}".format(*asked.version)
    assert [wheel["name"] for wheel in wheels] == ["debugpy", "pyzmq"]
    built = [path.name.split(".", maxsplit=1)[1] for path in (tmp_path / "site/zmq").rglob("*.so")]
    assert set(built) <= {f"{python}-{platform}.so", "abi3.so"}
    assert built


@pytest.mark.long
@pytest.mark.needs("root", "mmdebstrap", "debian keys")
@pytest.mark.parametrize(("release", "version"), [("bullseye", [3, 9]), ("trixie", [3, 13])])
def test_an_older_and_a_newer_debian_are_kernels(
    kernel_engine: Engine, registry: Registry, jupyter: Path, release: str, version: list[int]
) -> None:
    image = registry.add(images.other_debian_python_layout(release), release)
    kernel_engine.client.images.pull(image)
    add_kernelspec(jupyter, release, image=image, network="none")
    with running_kernel(release) as kernel:
        assert kernel.value("list(__import__('sys').version_info[:2])") == version
        assert kernel.value("__import__('ipywidgets').__name__") == "ipywidgets"


@pytest.mark.usefixtures("empty")
def test_two_who_want_the_same_at_once_make_one() -> None:
    made, at_once = [], threading.Barrier(4)

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "whole").write_text("")

    def want() -> None:
        at_once.wait()
        assert (cache.kept("same", make) / "whole").exists()

    threads = [threading.Thread(target=want) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


@pytest.mark.usefixtures("empty")
def test_what_could_not_be_made_leaves_nothing_and_is_made_the_next_time() -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("")
        raise Failure("no")

    with pytest.raises(Failure):
        cache.kept("half", fail)
    assert not [path for path in cache.home().iterdir() if path.is_dir()]
    assert cache.kept("half", lambda folder: None).is_dir()


@pytest.mark.usefixtures("empty")
def test_what_nobody_wanted_lately_goes_unless_a_container_has_it(
    kernel_engine: Engine, debian_python: str
) -> None:
    import os

    long_ago = time.time() - 30 * 86_400
    places = [cache.kept(name, lambda folder: None) for name in ("used", "old", "new")]
    for place in places[:2]:
        os.utime(place, (long_ago, long_ago))
    cache.also(places[1], "link")
    bind = [f"{places[0]}:/x:ro"]
    container = kernel_engine.client.containers.create(debian_python, ["true"], volumes=bind)
    try:
        assert cache.prune(kernel_engine.client, keep=0) == ["old"]
    finally:
        container.remove(force=True)
    assert [place.exists() for place in places] == [True, False, True]
    assert not (cache.home() / "link").is_symlink()


def test_an_older_glibc_than_any_wheel_is_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnfitPython, match=r"glibc 2\.12 is older than 2\.17"):
        uv.resolve(facts(libc_version="2.12"), ["six"], tmp_path)


def test_a_library_that_this_computer_cannot_lend_is_asked_for(tmp_path: Path) -> None:
    from ipycontainer_kernel.inject import libraries

    older = replace(facts(lacks=["libstdc++.so.6"]), libc_version=(2, 17))
    with pytest.raises(UnfitPython, match=r"lacks libstdc\+\+\.so\.6.*needs glibc 2\.\d+: install"):
        libraries.copy(older, tmp_path / "lib")
    shutil.rmtree(tmp_path / "lib")


@pytest.mark.parametrize(("user", "home"), [("0", "/root"), ("1234:1234", "/nowhere")])
def test_a_read_only_root_and_a_home_that_cannot_be_written_are_no_hindrance(
    kernel_engine: Engine, debian_python: str, tmp_path: Path, user: str, home: str
) -> None:
    """The kernel makes its sockets, and tells of no error, with no place to write but /dev/shm."""
    sockets = tmp_path / "sockets"
    sockets.mkdir()
    sockets.chmod(0o777)
    connection = {"transport": "ipc", "ip": "/s/k", "key": "k", "signature_scheme": "hmac-sha256"}
    ports = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")
    connection |= {name: number for number, name in enumerate(ports, 1)}
    (sockets / "c.json").write_text(json.dumps(connection))
    found = prepare(kernel_engine.client, debian_python)
    container = kernel_engine.client.containers.run(
        debian_python,
        entrypoint=[*found.argv, "/s/c.json"],
        volumes=[*found.binds, f"{sockets}:/s"],
        network_mode="none",
        read_only=True,
        user=user,
        environment={"HOME": home},
        detach=True,
    )
    try:
        from jupyter_client.blocking.client import BlockingKernelClient

        client = BlockingKernelClient()
        client.load_connection_info({**connection, "ip": str(sockets / "k")})
        client.start_channels(hb=False)
        reply = client.execute_interactive(
            "import tempfile; assert tempfile.gettempdir() == '/dev/shm'", timeout=60
        )
        assert reply["content"]["status"] == "ok", reply
        assert "Traceback" not in container.logs().decode()
        client.stop_channels()
    finally:
        container.remove(force=True)
