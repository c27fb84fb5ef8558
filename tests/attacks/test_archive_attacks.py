"""What a hostile archive of images tries when it is loaded: paths, links, bombs, lies.

Each comment names the line without which its test fails. What a layer tries is in tests/layers.
"""

import gzip
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ipycontainer_runtime.errors import ContainerError
from ipycontainer_runtime.layers import shelf
from ipycontainer_runtime.layers.tarread import Limits
from support import archived
from support.imageroom import Room
from support.made import INDEX, digest, image, index, put_manifest, tar

pytestmark = pytest.mark.needs("root")

LAYER = tar({"file": b"1" * 1000})


@pytest.fixture
def refused(tmp_path: Path) -> Iterator[Callable[..., None]]:
    """A function that loads an archive which must be refused in these words, and leave nothing."""
    room = Room(tmp_path / "root")
    before = room.content
    outside = sorted(tmp_path.iterdir())

    def load(archive: bytes, words: str) -> None:
        with pytest.raises(ContainerError, match=words):
            room.do(room.load(archive))

    yield load
    assert room.content == before
    assert not room.store.list()
    assert sorted(tmp_path.iterdir()) == outside
    room.close()


Refused = Callable[..., None]


def with_config(members: dict[str, bytes | str], change: Callable[[Any], None]) -> bytes:
    """Return an archive of old with another manifest.json."""
    listed = json.loads(members["manifest.json"])
    change(listed)
    return archived.pack({**members, "manifest.json": json.dumps(listed).encode()})


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/../x"])
def test_a_member_that_climbs_is_refused(refused: Refused, name: str) -> None:
    # untar.clean: `if b".." in parts`
    old = archived.of_old(LAYER)
    refused(archived.pack({**old, name: b"x"}), "leads out of its root")


@pytest.mark.parametrize("target", ["../../../etc/shadow", "/etc/shadow"])
def test_a_layer_that_is_a_link_to_a_file_here_is_refused(refused: Refused, target: str) -> None:
    # shelf._beside
    old = archived.of_old(LAYER)
    [name] = [name for name in old if name.endswith("layer.tar")]
    refused(archived.pack({**old, name: target}), "leads out of it")


def test_links_in_a_circle_end(refused: Refused) -> None:
    # shelf.Shelf.find: `range(_MOST_LINKS)`
    old = archived.of_old(LAYER)
    [name] = [name for name in old if name.endswith("layer.tar")]
    circle = {**old, name: "other", f"{name.rpartition('/')[0]}/other": "layer.tar"}
    refused(archived.pack(circle), "which is not in it")


def test_a_device_in_an_archive_is_refused(refused: Refused) -> None:
    # shelf.Shelf.fill: `elif entry.type != FOLDER`
    out = io.BytesIO(archived.pack(archived.of_old(LAYER)))
    with tarfile.open(fileobj=out, mode="a") as archive:
        entry = tarfile.TarInfo("sda")
        entry.type, entry.devmajor = tarfile.BLKTYPE, 8
        archive.addfile(entry)
    refused(out.getvalue(), "which is no file of an image")


def test_an_archive_that_grows_a_thousandfold_is_stopped(
    refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    # bounds.inflated: `if size > allowed`
    small = Limits(free=1 << 20, ratio=200)
    monkeypatch.setattr(shelf.Shelf.fill, "__defaults__", (small,))
    bomb = gzip.compress(archived.pack({"blobs/x": bytes(50 << 20)}))
    refused(bomb, "the archive inflates to more than")


def test_a_layer_that_grows_a_thousandfold_is_stopped_on_the_way(
    refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    # shelf.shelve_layer: `inflated(chunks, LIMITS, "layer")`
    import bz2

    monkeypatch.setattr(shelf, "LIMITS", Limits(free=1 << 20, ratio=200))
    old = archived.of_old(LAYER)
    [name] = [name for name in old if name.endswith("layer.tar")]
    bomb = archived.pack({**old, name: bz2.compress(bytes(50 << 20))})
    refused(bomb, "the layer inflates to more than")


def test_an_archive_of_very_many_members_is_stopped(
    refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    # tarread.TarReader.count
    monkeypatch.setattr(shelf.Shelf.fill, "__defaults__", (Limits(entries=50),))
    many: dict[str, bytes | str] = {f"{n}": b"{}" for n in range(60)}
    refused(archived.pack(many), "more than 50 entries")


@pytest.mark.parametrize("name", ["manifest.json", "index.json"])
def test_a_document_of_megabytes_is_refused(refused: Refused, name: str) -> None:
    # shelf.Shelf._file: `if entry.size > MAX_DOCUMENT`
    refused(archived.pack({name: b" " * (5 << 20)}), f"{name} is larger than 4194304 bytes")


def test_a_manifest_of_megabytes_is_refused(refused: Refused) -> None:
    # archived._Reader._document: MAX_DOCUMENT
    made = image(LAYER)
    content = b" " * (5 << 20) + made.manifest
    padded = {"mediaType": INDEX, "digest": digest(content), "size": len(content)}
    members = {**archived.layout([padded]), f"blobs/sha256/{digest(content)[7:]}": content}
    refused(archived.pack(members), "more than the 4194304 bytes")


def test_ten_thousand_layers_are_refused(refused: Refused) -> None:
    # archived._Reader._described: MAX_LAYERS
    def repeat(listed: Any) -> None:
        listed[0]["Layers"] = listed[0]["Layers"] * 10_000

    refused(with_config(archived.of_old(LAYER), repeat), "more than the 499 of an overlay")


def test_an_index_nested_deeply_is_refused(refused: Refused) -> None:
    # archived._Reader._resolve: DEPTH_LIMIT
    made = index(("amd64", image(LAYER)))
    for _ in range(20):
        content, _ = made.manifests[made.digest]
        entry = {"mediaType": INDEX, "digest": made.digest, "size": len(content)}
        document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}
        made.digest = put_manifest(made, document, INDEX)
    refused(archived.pack(archived.layout([archived.entry(made)], made)), "nested more than 4 deep")


def test_a_sparse_member_is_refused(refused: Refused) -> None:
    # shelf.Shelf._file: `if entry.holes is not None`
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        entry = tarfile.TarInfo("GNUSparseFile.0/x")
        entry.pax_headers = {
            "GNU.sparse.size": str(8 << 60),
            "GNU.sparse.numblocks": "1",
            "GNU.sparse.offset": "0",
            "GNU.sparse.numbytes": "512",
        }
        entry.size = 512
        archive.addfile(entry, io.BytesIO(bytes(512)))
    refused(out.getvalue(), "sparse file|more than the")


def test_a_blob_whose_name_lies_is_refused(refused: Refused) -> None:
    # shelf.Shelf._blob: the writer's digest
    made = image(LAYER)
    members = archived.layout([archived.entry(made, "x:1")], made)
    name = f"blobs/sha256/{made.layer_digests[0][7:]}"
    refused(archived.pack({**members, name: members[name][:-1] + b"\1"}), "has other content")


def test_a_size_that_lies_is_refused(refused: Refused) -> None:
    # archived._Reader._check
    made = image(LAYER)
    manifest = json.loads(made.manifest)
    manifest["layers"][0]["size"] += 1
    made.digest = put_manifest(made, manifest, manifest["mediaType"])
    archive = archived.pack(archived.layout([archived.entry(made, "x:1")], made))
    refused(archive, "bytes where .* are declared")


def test_a_diff_id_that_lies_is_refused(refused: Refused) -> None:
    # apply.apply: `plain.digest != diff_id`
    made = image(LAYER, diff_ids=[digest(b"other")])
    refused(archived.pack(archived.layout([archived.entry(made, "x:1")], made)), "other content")


def test_a_layer_of_old_that_is_another_than_its_config_says_is_refused(refused: Refused) -> None:
    # archived._Reader._described: `layer.diff_id != diff_id`
    old = archived.of_old(LAYER)
    [name] = [name for name in old if name.endswith("layer.tar")]
    refused(archived.pack({**old, name: tar({"evil": b""})}), "in place of")


def test_more_layers_than_the_config_names_are_refused(refused: Refused) -> None:
    # archived._Reader._checked
    def more(listed: Any) -> None:
        listed[0]["Layers"] = listed[0]["Layers"] * 2

    refused(with_config(archived.of_old(LAYER), more), "do not belong together")


def test_an_archive_whose_documents_disagree_is_refused(refused: Refused) -> None:
    # archived._refuse_two_of_a_name
    shown, meant = image(LAYER), image(tar({"evil": b""}))
    members = archived.layout([archived.entry(shown, "x:1")], shown, meant)
    config = f"blobs/sha256/{meant.config_digest[7:]}"
    layers = [f"blobs/sha256/{meant.layer_digests[0][7:]}"]
    docker = [{"Config": config, "RepoTags": ["x:1"], "Layers": layers}]
    archive = archived.pack({**members, "manifest.json": json.dumps(docker).encode()})
    refused(archive, "two images of the name x:1")


@pytest.mark.parametrize("name", ["../../x", "x:1\n", "X:1", "x@sha256:12"])
def test_a_name_that_is_none_is_refused(refused: Refused, name: str) -> None:
    # Reference.parse
    def rename(listed: Any) -> None:
        listed[0]["RepoTags"] = [name]

    refused(with_config(archived.of_old(LAYER), rename), "invalid|must be lowercase")


@pytest.mark.parametrize("content", [b"{}", b"[1]", b"[[[", b"null", b'[{"Config": 1}]', b"\xff"])
def test_documents_that_are_malformed_are_refused(refused: Refused, content: bytes) -> None:
    refused(archived.pack({"manifest.json": content}), "malformed")
