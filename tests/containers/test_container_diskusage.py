"""Disk usage: what `system df` says is what the disk says, shared things once."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import archived, builds, leftovers
from support.calls import call, create, ended, start
from support.engines import Engine, running_engine
from support.made import image, tar

pytestmark = [pytest.mark.needs("docker", "busybox"), pytest.mark.ordinary_user]


@pytest.fixture
def measured(busybox: str) -> Iterator[Engine]:
    """An engine of its own, with one image."""
    with running_engine() as running:
        running.succeed("pull", "-q", busybox)
        yield running


def usage(engine: Engine, query: str = "", version: str = "") -> dict[str, Any]:
    found = call(engine, "GET", f"/system/df{query}", version=version).body
    assert isinstance(found, dict)
    return found


def on_disk(*folders: Path) -> int:
    """Return what `du` counts, without the folders themselves."""
    command = ["du", "--bytes", "--summarize", "--total", *map(str, folders)]
    total = int(subprocess.check_output(command, text=True).splitlines()[-1].split()[0])
    directories = subprocess.check_output(
        ["find", *map(str, folders), "(", "-type", "d", "-o", "-type", "l", ")", "-printf", "%s\n"]
    )
    return total - sum(map(int, directories.split()))


def committed(engine: Engine, busybox: str) -> str:
    container = create(engine, busybox, "sh", "-c", "head -c 300000 /dev/urandom > /x")
    start(engine, container)
    ended(engine, container)
    engine.succeed("commit", container, "more:1")
    return container


def test_images_take_what_du_says(measured: Engine, busybox: str) -> None:
    committed(measured, busybox)
    root = measured.paths.root
    layers = [path for path in (root / "layers").glob("*/diff") if len(path.parent.name) == 64]
    assert usage(measured)["LayersSize"] == on_disk(*layers, root / "images/blobs")


def test_what_a_container_wrote_is_what_du_says(measured: Engine, busybox: str) -> None:
    container = committed(measured, busybox)
    [entry] = usage(measured)["Containers"]
    assert entry["SizeRw"] == on_disk(measured.paths.root / "containers" / container / "upper")
    assert entry["SizeRootFs"] > entry["SizeRw"] == 300000


def test_what_images_share_is_told(measured: Engine, busybox: str) -> None:
    committed(measured, busybox)
    report = usage(measured)
    more, base = sorted(report["Images"], key=lambda image: -image["Size"])
    assert (base["Containers"], more["Containers"]) == (1, 0)
    assert base["SharedSize"] == more["SharedSize"] > 1_000_000
    own = sum(image["Size"] - image["SharedSize"] for image in (more, base))
    assert own + base["SharedSize"] == report["LayersSize"]


def test_only_what_was_asked_for_is_measured(measured: Engine) -> None:
    report = usage(measured, "?type=container&type=volume")
    assert report == {
        "LayersSize": 0,
        "Images": None,
        "Containers": [],
        "Volumes": [],
        "BuildCache": None,
    }
    assert usage(measured, version="v1.41")["BuilderSize"] == 0
    assert call(measured, "GET", "/system/df?type=dust").status == 400


def test_a_prune_gives_back_what_was_told(measured: Engine, busybox: str) -> None:
    container = committed(measured, busybox)
    before = usage(measured)["LayersSize"]
    measured.succeed("rm", container)
    told = measured.succeed("system", "prune", "-a", "-f", "--volumes")
    assert usage(measured)["LayersSize"] == 0
    assert f"Total reclaimed space: {before / 1e6:.4g}MB" in told


def test_the_docker_command_reads_it(measured: Engine, busybox: str) -> None:
    committed(measured, busybox)
    lines = measured.succeed("system", "df", "--format", "{{json .}}").splitlines()
    counts = {row["Type"]: row["TotalCount"] for row in map(json.loads, lines)}
    assert counts == {"Images": "2", "Containers": "1", "Local Volumes": "0", "Build Cache": "0"}
    assert "more" in measured.succeed("system", "df", "-v")


@pytest.mark.parametrize("kind", ["volumes", "networks", "build"])
def test_of_what_there_is_none_nothing_is_pruned(measured: Engine, kind: str) -> None:
    assert call(measured, "POST", f"/{kind}/prune").status == 200
    filters = "%7B%22nosuch%22%3A%5B%22x%22%5D%7D"
    assert call(measured, "POST", f"/{kind}/prune?filters={filters}").status == 400


def on_disk_of_all(engine: Engine) -> int:
    root = engine.paths.root
    layers = [path for path in (root / "layers").glob("*/diff") if len(path.parent.name) == 64]
    return on_disk(*layers, root / "images/blobs", root / "ingest", root / "trash")


def differs(engine: Engine, told: int) -> list[str]:
    """Complain of another size than was told; the trash is emptied a little after a reply."""
    found = on_disk_of_all(engine)
    return [] if found == told else [f"du says {found}, not {told}"]


def test_images_and_the_build_cache_together_take_what_du_says(
    measured: Engine, busybox: str
) -> None:
    file = {"Dockerfile": f"FROM {busybox}\nRUN echo 1 > /a\nRUN echo 2 > /b\n"}
    builds.image_of(builds.build(measured, file, "t=built:1"))
    again = {"Dockerfile": file["Dockerfile"].replace("echo 2", "echo 3")}
    builds.image_of(builds.build(measured, again, "t=built:1"))
    report = usage(measured)
    kept = sum(cache["Size"] for cache in report["BuildCache"] if not cache["Shared"])
    told = report["LayersSize"] + kept
    assert leftovers.eventually(lambda: differs(measured, told)) == []


def test_an_image_with_two_manifests_takes_what_both_take(measured: Engine) -> None:
    layer = tar({"file": b"1" * 100_000})
    for compression in ("gzip", "zstd"):
        made = image(layer, compression=compression)
        members = archived.layout([archived.entry(made, f"{compression}:1")], made)
        measured.succeed("load", stdin=archived.pack(members))
    assert len(measured.succeed("images", "-q", "gzip", "--no-trunc").splitlines()) == 1
    told = usage(measured)["LayersSize"]
    assert leftovers.eventually(lambda: differs(measured, told)) == []


def test_when_everything_is_removed_the_disk_is_given_back(measured: Engine, busybox: str) -> None:
    file = {"Dockerfile": f"FROM {busybox}\nRUN echo 1 > /a\nRUN echo 2 > /b\n"}
    builds.image_of(builds.build(measured, file, "t=built:1"))
    measured.succeed("save", "-o", f"{measured.home}/saved.tar", "built:1", busybox)
    committed(measured, busybox)
    measured.succeed("load", "-i", f"{measured.home}/saved.tar")
    measured.succeed("import", f"{measured.home}/saved.tar", "imported:1")
    measured.succeed("system", "prune", "-af")
    measured.succeed("builder", "prune", "-af")
    measured.succeed("image", "prune", "-af")
    assert usage(measured)["LayersSize"] == 0
    assert usage(measured)["BuildCache"] == []

    def left() -> list[str]:
        places = ("images/blobs/sha256", "ingest", "trash", "layers")
        found = [path for place in places for path in (measured.paths.root / place).iterdir()]
        return [str(path) for path in found if not path.name.startswith("init")]

    assert leftovers.eventually(left) == []
