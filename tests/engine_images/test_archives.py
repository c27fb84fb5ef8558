"""Archives of images: what is saved, what is loaded, and what stays of a load that fails."""

import asyncio
import bz2
import gzip
import json
import lzma

import pytest
from backports import zstd

from ipycontainer_runtime.errors import ContainerError, InvalidParameter, NotFound
from ipycontainer_runtime.oci.model import EMPTY_DIFF_ID
from ipycontainer_runtime.oci.reference import Reference
from support import archived
from support.imageroom import Room
from support.made import ARCHITECTURE, OTHER, digest, image, index, tar

pytestmark = pytest.mark.needs("root")

LOWER, UPPER = tar({"lower": b"1" * 100_000}), tar({"upper": b"2"})


def remove(room: Room, name: str) -> None:
    async def work() -> None:
        room.images.remove(name)

    room.do(work())


def test_a_saved_image_is_loaded_with_its_digests_and_all_its_names(room: Room) -> None:
    made = image(LOWER, UPPER, LOWER, docker=True)
    archive = archived.pack(archived.layout([archived.entry(made, "x:1")], made))
    assert room.do(room.load(archive))[-1] == {"stream": "Loaded image: x:1\n"}
    room.images.tag("x:1", "y", "2")
    saved = room.do(room.save("x:1", "y"))
    remove(room, "x:1")
    remove(room, "y:2")
    assert not room.content & {"images/blobs/sha256/" + made.digest[7:]}
    room.do(room.load(saved))
    record = room.store.resolve("x:1")
    assert record.id == made.config_digest
    assert record.descriptor.digest == made.digest
    assert record.names == ("x:1", "y:2")


def test_what_is_saved_is_a_layout_and_an_archive_of_dockers_at_once(room: Room) -> None:
    made = image(LOWER, UPPER)
    room.do(room.load(archived.pack(archived.layout([archived.entry(made, "x:1")], made))))
    found = archived.members(room.do(room.save("x:1")))
    (docker,) = json.loads(found["manifest.json"])
    (entry,) = json.loads(found["index.json"])["manifests"]
    assert json.loads(found["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    assert digest(found[docker["Config"]]) == made.config_digest
    assert [digest(found[name]) for name in docker["Layers"]] == made.layer_digests
    assert docker["RepoTags"] == ["x:1"]
    assert entry["digest"] == made.digest
    assert entry["annotations"]["io.containerd.image.name"] == "docker.io/library/x:1"
    assert {name for name in found if name.startswith("blobs/")} == set(archived.blobs(made))


def test_what_images_share_is_saved_once_and_the_same_bytes_each_time(room: Room) -> None:
    one, two = image(LOWER, UPPER), image(LOWER)
    entries = [archived.entry(one, "one:1"), archived.entry(two, "two:1")]
    room.do(room.load(archived.pack(archived.layout(entries, one, two))))
    saved = room.do(room.save("one:1", "two:1"))
    assert saved == room.do(room.save("one:1", "two:1"))
    assert len(archived.members(saved)) == 4 + len({*one.blobs, *two.blobs}) + 2


def test_an_id_is_saved_without_a_name(room: Room) -> None:
    made = image(LOWER)
    room.do(room.load(archived.pack(archived.layout([archived.entry(made, "x:1")], made))))
    for name in (made.config_digest, made.config_digest[7:19]):
        found = archived.members(room.do(room.save(name)))
        assert json.loads(found["manifest.json"])[0]["RepoTags"] is None
    with pytest.raises(NotFound, match="No such image: none"):
        room.do(room.save("none"))


def test_an_archive_of_old_is_loaded_and_again_gives_the_same_image(room: Room) -> None:
    archive = archived.pack(archived.of_old(LOWER, UPPER, LOWER, tags=["old:1", "old:2"]))
    room.do(room.load(archive))
    before = room.content
    record = room.store.resolve("old:2")
    assert record.manifest.layers[0].digest != digest(LOWER)
    assert (room.layers.diff(record.chain_ids[2]) / "lower").read_bytes() == b"1" * 100_000
    room.do(room.load(archive))
    assert room.content == before


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress, zstd.compress])
def test_archives_and_their_layers_may_be_compressed(room: Room, compress: object) -> None:
    assert callable(compress)
    old = archived.of_old(LOWER, tags=["c:1"])
    packed = {n: compress(c) if n.endswith(".tar") else c for n, c in old.items()}
    room.do(room.load(compress(archived.pack(packed))))
    assert room.images.inspect("c:1")["RootFS"]["Layers"] == [digest(LOWER)]


def test_of_an_image_for_several_machines_one_is_loaded(room: Room) -> None:
    mine = image(LOWER, config={"Cmd": ["mine"]})
    other = image(LOWER, architecture=OTHER, config={"Cmd": ["other"]})
    both = index((ARCHITECTURE, mine), (OTHER, other))
    archive = archived.pack(archived.layout([archived.entry(both, "m:1")], both))
    room.do(room.load(archive))
    assert room.store.resolve("m:1").id == mine.config_digest
    room.do(room.load(archive, f"linux/{OTHER}"))
    assert room.store.resolve("m:1").id == other.config_digest
    with pytest.raises(NotFound, match="no matching manifest for linux/s390x"):
        room.do(room.load(archive, "linux/s390x"))


def test_attestations_and_what_is_no_image_are_left_aside(room: Room) -> None:
    made, other = image(LOWER), image(UPPER)
    unknown = {**archived.entry(other), "platform": {"os": "unknown", "architecture": "unknown"}}
    chart = {"mediaType": "application/x-chart", "digest": digest(b"c"), "size": 1}
    entries = [archived.entry(made, "x:1"), unknown, chart]
    messages = room.do(room.load(archived.pack(archived.layout(entries, made, other))))
    assert [m for m in messages if "stream" in m] == [{"stream": "Loaded image: x:1\n"}]
    assert len(room.store.list()) == 1
    assert "images/blobs/sha256/" + other.digest[7:] not in room.content


def test_a_name_that_another_image_had_is_taken_and_told(room: Room) -> None:
    for plain, words in ((LOWER, ""), (UPPER, "renaming the old one with ID sha256:")):
        made = image(plain)
        archive = archived.pack(archived.layout([archived.entry(made, "x:1")], made))
        told = "".join(m.get("stream", "") for m in room.do(room.load(archive)))
        assert words in told
    assert room.store.resolve("x:1").id == made.config_digest
    assert len(room.store.list()) == 2


def test_progress_is_told_by_layers_unless_it_is_to_be_quiet(room: Room) -> None:
    archive = archived.pack(archived.of_old(LOWER, UPPER))
    messages = room.do(room.load(archive))
    assert {m["id"] for m in messages if m.get("status") == "Loading layer"} == {
        digest(LOWER)[7:19],
        digest(UPPER)[7:19],
    }
    (record,) = room.store.list()
    assert messages[-1] == {"stream": f"Loaded image ID: {record.id}\n"}
    remove(room, record.id)
    assert len(room.do(room.load(archive, quiet=True))) == 1


def test_an_image_without_layers_and_one_with_an_empty_layer_are_loaded(room: Room) -> None:
    empty = tar({})[:1024]
    assert digest(empty) == EMPTY_DIFF_ID
    room.do(room.load(archived.pack(archived.of_old(tags=["none:1"]))))
    room.do(room.load(archived.pack(archived.of_old(empty, tags=["empty:1"]))))
    assert room.images.inspect("none:1")["RootFS"]["Layers"] == []
    assert room.images.inspect("empty:1")["RootFS"]["Layers"] == [EMPTY_DIFF_ID]


def test_a_load_that_is_cut_leaves_nothing(room: Room) -> None:
    archive = archived.pack(archived.of_old(LOWER, UPPER, tags=["x:1"]))
    before = room.content

    async def cut(length: int) -> None:
        async with room.loads.load() as load:
            await load.put(archive[:length])

    for length in (0, 100, 100_000, len(archive) - 2048):
        room.do(cut(length))
        assert room.content == before
    with pytest.raises(InvalidParameter, match="ends in the middle"):
        room.do(room.load(archive[:100_000]))
    assert room.content == before
    assert not room.store.list()


def test_loads_of_the_same_at_once_all_succeed(room: Room) -> None:
    archive = archived.pack(archived.of_old(LOWER, UPPER, tags=["x:1"]))

    async def several() -> None:
        await asyncio.gather(*(room.load(archive) for _ in range(4)))

    room.do(several())
    assert room.images.inspect("x:1")["RootFS"]["Layers"] == [digest(LOWER), digest(UPPER)]


def test_what_is_being_saved_may_be_removed(room: Room) -> None:
    made = image(LOWER, UPPER)
    room.do(room.load(archived.pack(archived.layout([archived.entry(made, "x:1")], made))))
    before = {n for n in room.content if "blobs" in n}

    async def saved() -> bytes:
        async with room.saves.save(["x:1"]) as out:
            room.images.remove("x:1")
            return b"".join([chunk async for chunk in out.chunks()])

    found = archived.members(room.do(saved()))
    assert {digest(c) for n, c in found.items() if n.startswith("blobs/")} == {
        "sha256:" + name.rpartition("/")[2] for name in before
    }
    assert not {n for n in room.content if "blobs" in n}


def test_an_image_with_two_manifests_keeps_the_blobs_of_both(room: Room) -> None:
    made, again = image(LOWER), image(LOWER, compression="zstd")
    for one, name in ((made, "x:1"), (again, "y:1")):
        room.do(room.load(archived.pack(archived.layout([archived.entry(one, name)], one))))
    (record,) = room.store.list()
    assert record.names == ("x:1", "y:1")
    remove(room, "x:1")
    room.garbage.sweep()
    for one in (made, again):
        assert all(map(room.blobs.has, one.layer_digests))
        assert room.store.resolve(one.digest).id == made.config_digest
    remove(room, "y:1")
    assert not {n for n in room.content if "blobs" in n}


def test_a_saved_image_tells_from_which_it_was_made(room: Room) -> None:
    base, more = image(LOWER), image(LOWER, UPPER)
    entries = [archived.entry(base, "base:1"), archived.entry(more, "more:1")]
    room.do(room.load(archived.pack(archived.layout(entries, base, more))))
    record = room.store.resolve("more:1")
    room.store.add(record.descriptor, [Reference.parse("more:1")], parent=base.config_digest)
    saved = room.do(room.save("base:1", "more:1"))
    remove(room, "more:1")
    remove(room, "base:1")
    room.do(room.load(saved))
    assert room.store.resolve("more:1").parent == base.config_digest


def test_what_is_no_archive_of_images_is_refused_with_the_cure(room: Room) -> None:
    with pytest.raises(ContainerError, match="is taken by import"):
        room.do(room.load(tar({"etc/passwd": b"root"})))
    with pytest.raises(ContainerError, match="no tar archive"):
        room.do(room.load(b"x" * 2048))
