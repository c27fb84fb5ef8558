"""What of the host is shown in a container, and what of it never is."""

from pathlib import Path

import pytest

from support.calls import Make, call, ended, logged, start, state
from support.engines import Engine

pytestmark = [pytest.mark.needs("docker", "busybox"), pytest.mark.ordinary_user]


def failed_start(engine: Engine, container: str) -> str:
    reply = call(engine, "POST", f"/containers/{container}/start")
    assert reply.status == 400, reply.body
    assert state(engine, container)["Status"] == "created"
    return reply.message


@pytest.mark.parametrize("mode", ["rw", "ro", "rprivate"])
def test_a_folder_above_the_engines_is_shown_without_them(
    shared_engine: Engine, run: Make, mode: str
) -> None:
    # Fails without `_within` in engine/mounts.py.
    (shared_engine.home / "other").mkdir(exist_ok=True)
    binds = [f"{shared_engine.home}:/home/a:{mode}", f"/:/host:{mode}"]
    places = ["/home/a", f"/host{shared_engine.home}"]
    script = "for at in $@; do ls -d $at/other; ls -A $at/root $at/run; done"
    container = run("sh", "-c", script, "sh", *places, HostConfig={"Binds": binds})
    assert ended(shared_engine, container) == 0
    shown = "".join(f"{at}/other\n{at}/root:\n\n{at}/run:\n" for at in places)
    assert logged(shared_engine, container).decode() == shown
    assert shared_engine.paths.socket.exists()


def test_a_source_that_came_to_lead_to_the_engine_is_refused_at_the_start(
    shared_engine: Engine, make: Make, tmp_path: Path
) -> None:
    # Fails where the sources are looked at only when the container is created.
    source = tmp_path / "source"
    source.mkdir()
    container = make("true", HostConfig={"Binds": [f"{source}:/x"]})
    source.rmdir()
    source.symlink_to(shared_engine.paths.root)
    message = failed_start(shared_engine, container)
    assert f"bind source {source} belongs to the engine" in message


def test_a_source_that_went_away_is_named_at_the_start(
    shared_engine: Engine, make: Make, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    mount = {"Type": "bind", "Source": str(source), "Target": "/x"}
    container = make("true", HostConfig={"Mounts": [mount]})
    source.rmdir()
    message = failed_start(shared_engine, container)
    assert f"bind source path does not exist: {source}" in message
    source.mkdir()
    start(shared_engine, container)
    assert ended(shared_engine, container) == 0


def test_a_source_behind_a_symlink_is_shown(
    shared_engine: Engine, run: Make, tmp_path: Path
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/file").write_text("shown")
    (tmp_path / "link").symlink_to("real")
    container = run("cat", "/x/file", HostConfig={"Binds": [f"{tmp_path}/link:/x"]})
    assert ended(shared_engine, container) == 0
    assert logged(shared_engine, container) == b"shown"


def test_a_source_that_leads_nowhere_is_named(
    shared_engine: Engine, busybox: str, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to("absent")
    body = {"Image": busybox, "HostConfig": {"Binds": [f"{tmp_path}/link:/x"]}}
    reply = call(shared_engine, "POST", "/containers/create", body)
    assert reply.status == 400
    assert f"{tmp_path}/link is a symbolic link to {tmp_path}/absent" in reply.message
