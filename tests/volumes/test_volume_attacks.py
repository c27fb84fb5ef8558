"""What a hostile image, container or neighbour tries with volumes."""

import threading
from pathlib import Path

import pytest
from volumeroom import build, volume

from support.calls import Make, call, create, ended, logged
from support.engines import Engine

pytestmark = [pytest.mark.needs("docker", "busybox"), pytest.mark.ordinary_user]


def made(engine: Engine, image: str, *binds: str, **settings: object) -> str:
    script = "cat /proc/mounts; ls -A /x"
    host = {"Binds": list(binds), **settings}
    return create(engine, image, "sh", "-c", script, HostConfig=host)


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("/escape/../../../..", ""),
        ("/tmp", "/tmp"),
        ("../../../../../../../../tmp", "/tmp"),
        ("/proc/self/root/tmp", ""),
        ("/proc/self/cwd", ""),
    ],
)
def test_a_target_that_is_a_link_is_made_inside_the_root(
    shared_engine: Engine, busybox: str, tmp_path: Path, target: str, place: str
) -> None:
    # Fails where the launcher resolves targets by path.
    image = build(
        shared_engine, busybox, tmp_path, f"RUN mkdir -p /tmp; ln -s {target} /link", name="linked"
    )
    container = made(shared_engine, image, "vol:/link/ipyc-escape:nocopy")
    call(shared_engine, "POST", f"/containers/{container}/start")
    ended(shared_engine, container)
    for outside in ("/tmp/ipyc-escape", "/ipyc-escape", "/proc/self/cwd/ipyc-escape"):
        assert not Path(outside).exists()
    if place:
        assert f" {place}/ipyc-escape " in logged(shared_engine, container).decode()


@pytest.mark.parametrize(
    ("link", "place"),
    [
        ("/absent/data", "/absent/data"),
        ("../../absent", "/absent"),
        ("second", "/absent"),
        ("/tmp/../../../../absent", "/absent"),
    ],
)
def test_a_link_to_what_is_not_there_leads_inside_the_root(
    shared_engine: Engine, busybox: str, tmp_path: Path, link: str, place: str
) -> None:
    lines = f"RUN mkdir -p /tmp; ln -s {link} /link; ln -s ../absent /second"
    image = build(shared_engine, busybox, tmp_path, lines, name="dangling")
    container = made(shared_engine, image, "vol:/link")
    call(shared_engine, "POST", f"/containers/{container}/start")
    assert ended(shared_engine, container) == 1  # there is no /x
    assert f" {place} " in logged(shared_engine, container).decode()
    assert not Path("/absent").exists()


@pytest.mark.parametrize("target", ["/proc", "/proc/sys/kernel", "/proc/self/attr"])
def test_a_link_leads_no_volume_over_proc(
    shared_engine: Engine, busybox: str, tmp_path: Path, target: str
) -> None:
    # Fails without `_refuse_proc` in launch/root.py: who writes to the volume would be the kernel.
    image = build(shared_engine, busybox, tmp_path, f"RUN ln -s {target} /link", name="toproc")
    container = made(shared_engine, image, "vol:/link:nocopy")
    reply = call(shared_engine, "POST", f"/containers/{container}/start")
    assert reply.status == 500
    assert "/link cannot be mounted because it is inside /proc" in reply.message


def test_no_volume_is_mounted_in_proc_by_name(shared_engine: Engine, busybox: str) -> None:
    container = made(shared_engine, busybox, "vol:/proc/sys:nocopy")
    reply = call(shared_engine, "POST", f"/containers/{container}/start")
    assert "/proc/sys cannot be mounted because it is inside /proc" in reply.message


PARTS = ["out", "absolute", "deep/out", "deep/../out", "through/etc"]


@pytest.mark.parametrize("part", PARTS)
def test_a_subpath_leads_nowhere_out_of_its_volume(
    shared_engine: Engine, run: Make, make: Make, part: str
) -> None:
    # Fails without RESOLVE_BENEATH in `Bind._part`.
    script = (
        "mkdir /x/deep; ln -s ../../../.. /x/out; ln -s /etc /x/absolute; "
        "ln -s ../../../../etc /x/deep/out; ln -s ../../../.. /x/through"
    )
    assert ended(shared_engine, run("sh", "-c", script, HostConfig={"Binds": ["vol:/x"]})) == 0
    mount = {"Type": "volume", "Source": "vol", "Target": "/y"}
    settings = {"Mounts": [{**mount, "VolumeOptions": {"Subpath": part}}]}
    container = make("ls", "-A", "/y", HostConfig=settings)
    reply = call(shared_engine, "POST", f"/containers/{container}/start")
    assert reply.status == 500
    assert "it leads out of it" in reply.message


@pytest.mark.parametrize("part", ["../x", "..", "a/../..", "/etc", "a/../../../etc"])
def test_a_subpath_that_climbs_is_refused(shared_engine: Engine, busybox: str, part: str) -> None:
    mount = {"Type": "volume", "Source": "vol", "Target": "/y"}
    settings = {"Mounts": [{**mount, "VolumeOptions": {"Subpath": part}}]}
    body = {"Image": busybox, "HostConfig": settings}
    reply = call(shared_engine, "POST", "/containers/create", body)
    assert reply.status == 400
    assert "subpath must be a relative path within the volume" in reply.message


def test_targets_that_race_stay_inside_the_root(
    shared_engine: Engine, run: Make, make: Make, tmp_path: Path
) -> None:
    # A neighbour swaps the folder that a mount goes into for a link out, all the time.
    secret = tmp_path / "outside"
    secret.mkdir()
    swap = (
        f"mkdir -p /x/in; ln -s {secret} /x/link; "
        "while :; do mv /x/in /x/was; mv /x/link /x/in; mv /x/in /x/link; mv /x/was /x/in; done"
    )
    run("sh", "-c", swap, HostConfig={"Binds": ["vol:/x"]})
    binds = ["vol:/x", "other:/x/in/made"]
    for _ in range(15):
        container = make("true", HostConfig={"Binds": binds})
        call(shared_engine, "POST", f"/containers/{container}/start")
        assert not list(secret.iterdir())


def test_a_fill_follows_no_link_that_a_neighbour_puts_into_the_volume(
    shared_engine: Engine, image: str, run: Make, tmp_path: Path
) -> None:
    # Fails where the volume's files are written by path.
    outside = tmp_path / "outside"
    outside.mkdir()
    swap = (
        f"while :; do for n in filling filled; do mv /x/.ipycontainer-$n /x/away 2>/dev/null && "
        f"ln -s {outside} /x/.ipycontainer-$n; rm -rf /x/.ipycontainer-$n /x/away; done; "
        "rm -rf /x/*; done"
    )
    neighbour = run("sh", "-c", swap, HostConfig={"Binds": ["vol:/x"]})
    for _ in range(10):
        body = {"Image": image, "HostConfig": {"Binds": ["vol:/data"], "NetworkMode": "none"}}
        call(shared_engine, "POST", "/containers/create", body)
    assert not list(outside.iterdir())
    assert call(shared_engine, "GET", f"/containers/{neighbour}/json").body["State"]["Running"]


@pytest.mark.parametrize("name", ["filling", "filled"])
@pytest.mark.parametrize("made", ["touch $0", "ln -s /etc $0", "mkdir $0; touch $0/f", "DEEP"])
def test_nothing_that_a_container_makes_under_our_names_closes_its_volume(
    shared_engine: Engine, run: Make, name: str, made: str
) -> None:
    # Fails where `settle` passes on what it cannot finish.
    half = "/".join(["d" * 250] * 12)
    deep = f"mkdir -p $0/{half} /x/{half}; mv /x/{'d' * 250} $0/{half}"
    script = made.replace("DEEP", deep)
    binds = {"Binds": ["vol:/x"]}
    command = ("sh", "-c", script, f"/x/.ipycontainer-{name}")
    assert ended(shared_engine, run(*command, HostConfig=binds)) == 0
    assert ended(shared_engine, run("true", HostConfig=binds)) == 0


def test_folders_nested_without_end_hinder_nobody_who_counts(
    shared_engine: Engine, run: Make
) -> None:
    # Fails where sizes are added up by path.
    half = "/".join(["d" * 250] * 12)
    first, second = f"$0/{half}", f"$0/in/{half}"
    deep = f"mkdir -p {first} {second}; mv $0/in/{'d' * 250} {first}; echo more > $0/f"
    for place in ("/x", "/own"):
        container = run("sh", "-c", deep, place, HostConfig={"Binds": ["vol:/x"]})
        assert ended(shared_engine, container) == 0
    reply = call(shared_engine, "GET", "/system/df")
    assert reply.status == 200, reply.message[:200]
    assert [v["UsageData"]["Size"] for v in reply.body["Volumes"]] == [5]
    assert call(shared_engine, "GET", "/containers/json?all=1&size=1").status == 200


def test_volumes_of_one_name_are_made_once(shared_engine: Engine, busybox: str) -> None:
    answers: list[int] = []

    def ask() -> None:
        body = {"Image": busybox, "HostConfig": {"Binds": ["vol:/etc"], "NetworkMode": "none"}}
        answers.append(call(shared_engine, "POST", "/containers/create", body).status)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [201] * 8
    assert (shared_engine.paths.root / "volumes/vol/_data/passwd").exists()
    volume(shared_engine, "vol")
