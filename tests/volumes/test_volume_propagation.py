"""Mounts that spread between the host and a container, as the bind says; and read-only trees."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.calls import Make, call, ended, logged
from support.engines import Engine

pytestmark = [pytest.mark.needs("root", "docker", "busybox")]

POWERS = {"CapAdd": ["SYS_ADMIN"], "SecurityOpt": ["seccomp=unconfined"]}
RUNTIMES = ["ipycontainer", "runc", "crun"]


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    """A shared mount with two folders, one of them a mount of its own."""
    subprocess.run(["mount", "-t", "tmpfs", "shared", tmp_path], check=True)
    try:
        subprocess.run(["mount", "--make-shared", tmp_path], check=True)
        (tmp_path / "inner").mkdir()
        (tmp_path / "outer").mkdir()
        (tmp_path / "below").mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "below", tmp_path / "below"], check=True)
        yield tmp_path
    finally:
        subprocess.run(["umount", "--recursive", tmp_path], check=True)


def is_mounted(source: str, folder: Path) -> bool:
    return f"{source} {folder} " in Path("/proc/self/mounts").read_text()


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("mode", ["rshared", "rslave", "rprivate"])
def test_mounts_spread_as_the_bind_says(
    shared_engine: Engine, run: Make, tree: Path, mode: str, runtime: str
) -> None:
    if runtime not in call(shared_engine, "GET", "/info").body["Runtimes"]:
        pytest.skip(f"{runtime} is not installed")
    settings = {**POWERS, "Binds": [f"{tree}:/x:{mode}"], "Runtime": runtime}
    container = run("sleep", "1000", HostConfig=settings)
    shared_engine.succeed("exec", container, "mount", "-t", "tmpfs", "inner", "/x/inner")
    assert is_mounted("inner", tree / "inner") is (mode == "rshared")
    subprocess.run(["mount", "-t", "tmpfs", "outer", tree / "outer"], check=True)
    seen = shared_engine.succeed("exec", container, "cat", "/proc/mounts")
    assert ("outer /x/outer " in seen) is (mode != "rprivate")


@pytest.mark.parametrize("mode", ["rshared", "slave"])
def test_a_source_that_spreads_nothing_is_refused(
    shared_engine: Engine, busybox: str, tree: Path, mode: str
) -> None:
    subprocess.run(["mount", "--make-private", tree], check=True)
    body = {"Image": busybox, "HostConfig": {"Binds": [f"{tree}:/x:{mode}"]}}
    reply = call(shared_engine, "POST", "/containers/create", body)
    assert reply.status == 400
    kind = "shared" if mode == "rshared" else "shared or slave"
    assert f"path {tree} is mounted on {tree} but it is not a {kind} mount" in reply.message


def test_what_is_mounted_after_the_engine_began_is_seen(
    shared_engine: Engine, run: Make, tmp_path: Path
) -> None:
    # The container's first process was cloned before; `/` need not be shared.
    ended(shared_engine, run("true"))
    subprocess.run(["mount", "-t", "tmpfs", "later", tmp_path], check=True)
    try:
        (tmp_path / "f").write_text("later")
        container = run("cat", "/x/f", HostConfig={"Binds": [f"{tmp_path}:/x"]})
        assert ended(shared_engine, container) == 0
        assert logged(shared_engine, container) == b"later"
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.parametrize("runtime", ["ipycontainer", "runc"])
@pytest.mark.parametrize(
    ("options", "writes"),
    [
        ({}, []),
        ({"ReadOnlyForceRecursive": True}, []),
        ({"ReadOnlyNonRecursive": True}, ["below/f"]),
        ({"NonRecursive": True}, []),
    ],
)
def test_read_only_goes_as_deep_as_is_asked(
    shared_engine: Engine,
    run: Make,
    tree: Path,
    options: dict[str, bool],
    writes: list[str],
    runtime: str,
) -> None:
    if runtime not in call(shared_engine, "GET", "/info").body["Runtimes"]:
        pytest.skip(f"{runtime} is not installed")
    mount = {"Type": "bind", "Source": str(tree), "Target": "/x", "ReadOnly": True}
    settings = {"Mounts": [{**mount, "BindOptions": options}], "Runtime": runtime}
    script = "for f in f below/f; do touch /x/$f 2>/dev/null && echo $f; done; :"
    container = run("sh", "-c", script, HostConfig=settings)
    assert ended(shared_engine, container) == 0
    assert logged(shared_engine, container).decode().split() == writes
