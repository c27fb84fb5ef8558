"""Fixtures that every room's tests share; what they are made of is in `support`."""

from collections.abc import Iterator
from typing import Any

import pytest

from support import calls, images, users
from support.calls import Make
from support.dockerd import running_dockerd
from support.engines import Engine, running_engine
from support.hosts import Host
from support.needs import require
from support.registry import Registry, running_registry
from support.stopping import Stopping


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Stopping(config))
    for marker in (
        "needs(*capabilities): what the machine must have; see support/needs.py",
        "ordinary_user: runs again as an ordinary user, so it may need no root",
        "cgroup2: runs again on cgroup v2, as root and as a logged-in user, in tests/vm's machine",
        "long: the full-size form of a test, run with --long",
    ):
        config.addinivalue_line("markers", marker)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the full-size forms as well")
    parser.addoption("--seed", type=int, help="repeat the random choices of an earlier run")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        require(*mark.args)
    if item.get_closest_marker("long") and not item.config.getoption("--long"):
        pytest.skip("a long form: run it with --long")


@pytest.hookimpl(optionalhook=True)  # where pytest-xdist is not, as in tests/vm's machine
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give a process whole files, as `--dist loadfile` does, and some folders as if they were one.

    Those of browser share a JupyterLab and a browser, which two processors can bear but once. Every
    engine of root's asks the plugins in /run/docker/plugins for names: those that a test of volumes
    starts would be asked for another's.
    """
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            folder = file.rpartition("/")[0]
            return folder if folder in ("tests/browser", "tests/volumes") else file

    return ByFile(config, log)


@pytest.fixture(scope="session")
def registry() -> Iterator[Registry]:
    """Debian's registry on loopback, empty but for what tests add to it."""
    require("docker-registry", "skopeo")
    with running_registry() as running:
        yield running


@pytest.fixture(scope="session")
def busybox(registry: Registry) -> str:
    """The name, in the loopback registry, of an image with Debian's static busybox."""
    require("busybox")
    return registry.add(images.busybox_layout(), "busybox")


@pytest.fixture(scope="session")
def debian_python(registry: Registry) -> str:
    """The name, in the loopback registry, of an image of a small Debian with Python."""
    if not images.kept_debian_python():
        require("root", "mmdebstrap")
    return registry.add(images.debian_python_layout(), "python")


@pytest.fixture(scope="session")
def dockerd() -> Iterator[Host]:
    """Debian's own Docker Engine, to be compared with."""
    require("dockerd", "docker")
    with running_dockerd() as running:
        yield running


@pytest.fixture(scope="session")
def ordinary_user() -> users.OrdinaryUser:
    """A user that is not root and has a range of subordinate ids."""
    require("setpriv", "newuidmap")
    return users.ordinary_user()


@pytest.fixture
def engine() -> Iterator[Engine]:
    """Our engine on empty folders; whatever is left of it afterwards fails the test."""
    require("docker")
    with running_engine() as running:
        yield running


@pytest.fixture(scope="module")
def shared_engine(busybox: str) -> Iterator[Engine]:
    """One of our engines for a whole file of tests, with `busybox` pulled."""
    require("docker")
    with running_engine() as running:
        running.succeed("pull", "-q", busybox)
        yield running


@pytest.fixture
def make(shared_engine: Engine, busybox: str) -> Iterator[Make]:
    """A function that creates a container of busybox and returns its id."""
    made = []

    def create(*command: str, **fields: Any) -> str:
        made.append(calls.create(shared_engine, busybox, *command, **fields))
        return made[-1]

    yield create
    for container in made:
        calls.remove(shared_engine, container)


@pytest.fixture
def run(shared_engine: Engine, make: Make) -> Make:
    """A function that creates and starts a container of busybox and returns its id."""

    def create_and_start(*command: str, **fields: Any) -> str:
        container = make(*command, **fields)
        calls.start(shared_engine, container)
        return container

    return create_and_start
