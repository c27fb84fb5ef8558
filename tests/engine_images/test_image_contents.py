"""What `layers` tells of an image: exact for images that are made for it."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ipycontainer_runtime.engine.contents import ImageContents
from ipycontainer_runtime.errors import InvalidParameter, NotFound
from ipycontainer_runtime.layers.ownership import Mapped
from support import made
from support.imageroom import Room
from support.registry import Registry

pytestmark = pytest.mark.needs("root", "docker-registry", "skopeo")


def archive(*entries: tuple[str, int] | tuple[str, str, str]) -> bytes:
    """Return an archive of files of so many bytes, and of links: (name, kind, target)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry in entries:
            info = tarfile.TarInfo(entry[0])
            if len(entry) == 3:
                info.type = {"hard": tarfile.LNKTYPE, "soft": tarfile.SYMTYPE}[entry[1]]
                info.linkname = entry[2]
                tar.addfile(info)
            else:
                info.size = entry[1]
                tar.addfile(info, io.BytesIO(b"x" * entry[1]))
    return out.getvalue()


LOWEST = archive(
    ("etc/keep", 10),
    ("etc/replaced", 100),
    ("etc/removed", 1000),
    ("etc/twice", 20_000),
    ("etc/twice-too", "hard", "etc/twice"),
    ("etc/both", 30_000),
    ("etc/both-too", "hard", "etc/both"),
    ("srv/a/one", 400_000),
    ("srv/a/two", 500_000),
    ("srv/b/three", 6),
    ("srv/link", "soft", "a/one"),
    ("opt/old", 7_000_000),
)
MIDDLE = archive(
    ("etc/replaced", 101),
    ("etc/.wh.removed", 0),
    ("etc/.wh.twice", 0),
    ("etc/.wh.both", 0),
    ("etc/.wh.both-too", 0),
    ("srv/.wh.a", 0),
    ("opt/.wh..wh..opq", 0),
    ("opt/new", 8),
)
TOP = archive(("etc/replaced", 102), ("srv/b", 9), ("etc/fresh<b>\x1b", 11))
WASTED = 100 + 101 + 1000 + 30_000 + 400_000 + 500_000 + 6 + 7_000_000


def pulled(registry: Registry, folder: Path) -> tuple[Room, str]:
    """Return a store with an image of three layers, and its name."""
    image = made.image(LOWEST, MIDDLE, TOP)
    added = registry.add(made.write_layout(image, folder / "layout"), "contents")
    room = Room(folder / "root")
    room.do(room.pull(added))
    return room, added


@pytest.fixture(scope="module")
def image(
    registry: Registry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Room, str]]:
    room, name = pulled(registry, tmp_path_factory.mktemp("contents"))
    yield room, name
    room.close()


def contents(image: tuple[Room, str], **asked: Any) -> dict[str, Any]:
    room, name = image

    async def look() -> dict[str, Any]:
        # On the loop that it is used on.
        looking = ImageContents(image_store=room.store, layers=room.layers, ownership=Mapped())
        return await looking.of(name, **asked)

    found = room.do(look())
    assert isinstance(found, dict)
    return found


def listed(image: tuple[Room, str], **asked: Any) -> list[tuple[int, str, str, int, int]]:
    found = contents(image, **asked)["Listed"]["Names"]
    fields = ("Layer", "Kind", "Path", "Size", "HiddenBy")
    return sorted(tuple(entry[field] for field in fields) for entry in found)


def test_wasted_bytes_are_exact(image: tuple[Room, str]) -> None:
    found = contents(image)
    assert found["Wasted"] == WASTED
    assert found["Efficiency"] == pytest.approx(1 - WASTED / found["Size"])
    assert sum(layer["Hidden"] for layer in found["Layers"]) == WASTED
    assert sum(entry["Size"] for entry in found["WastedFiles"]) == WASTED
    assert found["WastedFiles"][0] == {
        "Path": "/opt/old",
        "Size": 7_000_000,
        "Layers": [1],
        "HiddenBy": [2],
    }
    replaced = next(e for e in found["WastedFiles"] if e["Path"] == "/etc/replaced")
    assert replaced == {
        "Path": "/etc/replaced",
        "Size": 201,
        "Layers": [1, 2],
        "HiddenBy": [2, 3],
    }


def test_each_layer_is_counted_exactly(image: tuple[Room, str]) -> None:
    lowest, middle, top = contents(image)["Layers"]
    first = 10 + 100 + 1000 + 20_000 + 30_000 + 400_000 + 500_000 + 6 + 7_000_000
    assert lowest["Added"] == {"Files": 12, "Size": first}
    assert lowest["Size"] == first
    assert middle["Added"] == {"Files": 1, "Size": 8}
    assert middle["Changed"] == {"Files": 1, "Size": 101}
    gone = 1000 + 30_000 + 400_000 + 500_000 + 7_000_000
    assert middle["Removed"] == {"Files": 7, "Size": gone}
    assert top["Added"] == {"Files": 2, "Size": 9 + 11}
    assert top["Changed"] == {"Files": 1, "Size": 102}
    assert top["Removed"] == {"Files": 1, "Size": 6}


def test_a_file_with_two_names_is_wasted_when_both_are_hidden(image: tuple[Room, str]) -> None:
    wasted = {entry["Path"] for entry in contents(image)["WastedFiles"]}
    assert "/etc/twice" not in wasted
    assert wasted & {"/etc/both", "/etc/both-too"}


def test_files_that_the_image_shows_are_those_that_are_left(image: tuple[Room, str]) -> None:
    shown = {"keep", "replaced", "twice-too", "fresh"} | {"link", "b"} | {"new"}
    assert contents(image)["Files"] == len(shown)


def test_commands_are_those_of_the_history(image: tuple[Room, str]) -> None:
    commands = [layer["CreatedBy"] for layer in contents(image)["Layers"]]
    assert commands == ["step 0", "step 1", "step 2"]


def test_images_with_the_same_layers_keep_their_own_history(
    registry: Registry, image: tuple[Room, str], tmp_path: Path
) -> None:
    room, name = image
    newer = made.image(LOWEST, MIDDLE, TOP, created="2025-06-07T08:09:10Z")
    other = registry.add(made.write_layout(newer, tmp_path / "layout"), "newer")
    room.do(room.pull(other))

    async def look() -> list[set[int]]:
        looking = ImageContents(image_store=room.store, layers=room.layers, ownership=Mapped())
        both = [await looking.of(asked) for asked in (name, other)]
        return [{layer["Created"] for layer in found["Layers"]} for found in both]

    assert room.do(look()) == [{1704164645}, {1749283750}]


def test_a_layer_lists_what_it_does(image: tuple[Room, str]) -> None:
    assert listed(image, layer=2) == [
        (2, "A", "/opt/new", 8, 0),
        (2, "C", "/etc/replaced", 101, 3),
        (2, "D", "/etc/both", 0, 0),
        (2, "D", "/etc/both-too", 30_000, 0),
        (2, "D", "/etc/removed", 1000, 0),
        (2, "D", "/etc/twice", 0, 0),
        (2, "D", "/opt", 7_000_000, 0),
        (2, "D", "/srv/a", 900_000, 0),
    ]


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("replaced", {"/etc/replaced"}),
        ("t*e", {"/srv/a/two", "/etc/twice", "/srv/b/three"} - {"/srv/a/two"}),
        ("/srv/a/*", {"/srv/a/one", "/srv/a/two"}),
        ("/srv/*", {"/srv/a", "/srv/a/one", "/srv/a/two", "/srv/b", "/srv/b/three", "/srv/link"}),
        ("srv/a", {"/srv/a", "/srv/a/one", "/srv/a/two"}),
        ("[", set()),
        ("no such", set()),
    ],
)
def test_a_pattern_finds_paths_hidden_or_not(
    image: tuple[Room, str], pattern: str, paths: set[str]
) -> None:
    assert {path for _, _, path, _, _ in listed(image, find=pattern)} == paths


def test_a_list_is_bounded_and_says_of_how_many(image: tuple[Room, str]) -> None:
    found = contents(image, layer=1, limit=2)["Listed"]
    assert [entry["Path"] for entry in found["Names"]] == ["/opt/old", "/srv/a/two"]
    assert found["Total"]["Files"] == 12


@pytest.mark.parametrize("asked", [{"layer": 4}, {"layer": -1}, {"layer": 1, "limit": 0}])
def test_what_cannot_be_asked_is_refused(image: tuple[Room, str], asked: dict[str, int]) -> None:
    with pytest.raises(InvalidParameter):
        contents(image, **asked)


def test_layers_that_are_gone_are_not_found(registry: Registry, tmp_path: Path) -> None:
    room, name = pulled(registry, tmp_path)
    for chain_id in room.layers.all():
        room.layers.remove(chain_id)
    with pytest.raises(NotFound, match="pull"):
        contents((room, name))
    room.close()
