"""Names of images in an OCI layout that other tools read."""

import json
import subprocess
from pathlib import Path

import pytest

from ipycontainer_runtime.errors import InvalidParameter, NotFound
from ipycontainer_runtime.oci import model
from ipycontainer_runtime.oci.model import Descriptor, ImageConfig, Manifest, RootFs
from ipycontainer_runtime.oci.reference import Reference
from ipycontainer_runtime.store.blobs import BlobStore
from ipycontainer_runtime.store.images import ImageRecord, ImageStore


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path, BlobStore(tmp_path))


def add(store: ImageStore, *names: str, author: str = "", parent: str = "") -> ImageRecord:
    layer = store.blobs.put(bytes(1024))
    config = store.blobs.put(
        model.encode(
            ImageConfig("amd64", "linux", rootfs=RootFs(diff_ids=(layer.digest,)), author=author)
        )
    )
    manifest = store.blobs.put(
        model.encode(
            Manifest(
                Descriptor(model.OCI_CONFIG, config.digest, config.size),
                (Descriptor(model.OCI_LAYER, layer.digest, layer.size),),
                media_type=model.OCI_MANIFEST,
            )
        )
    )
    descriptor = Descriptor(model.OCI_MANIFEST, manifest.digest, manifest.size)
    return store.add(descriptor, [Reference.parse(name) for name in names], parent=parent)


def test_an_image_is_found_by_every_name_docker_knows(store: ImageStore) -> None:
    image = add(store, "x:1", "localhost:5000/y")
    digest = image.descriptor.digest
    store.tag(image, Reference.parse("x").with_digest(digest))
    hexadecimal = image.id[7:]
    for name in (
        "x:1",
        "docker.io/library/x:1",
        "localhost:5000/y:latest",
        f"x@{digest}",
        f"x:whatever@{digest}",
        image.id,
        hexadecimal,
        hexadecimal[:12],
        "sha256:" + hexadecimal[:5],
        digest,
    ):
        assert store.resolve(name).id == image.id, name
    assert store.resolve("x:1").names == ("x:1", "localhost:5000/y:latest")
    assert store.resolve("x:1").repo_digests == (f"x@{digest}",)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x", "No such image: x:latest"),
        ("a/b:2", "No such image: a/b:2"),
        ("0" * 64, "No such image: " + "0" * 64),
    ],
)
def test_a_missing_image_is_told_as_docker_tells_it(
    store: ImageStore, name: str, message: str
) -> None:
    add(store, "x:1")
    with pytest.raises(NotFound) as caught:
        store.resolve(name)
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["NOT A NAME", "Upper", "a//b", "x@sha256:00", ""])
def test_what_can_name_no_image_is_malformed_not_missing(store: ImageStore, name: str) -> None:
    add(store, "x:1")
    with pytest.raises(InvalidParameter, match="invalid reference format"):
        store.resolve(name)
    assert store.find(name) is None


def test_a_tag_moves_and_leaves_the_old_image_dangling(store: ImageStore) -> None:
    old, new = add(store, "x", author="a"), add(store, "x", author="b")
    assert store.resolve("x").id == new.id
    assert store.resolve(old.id).references == ()


def test_the_last_untag_leaves_a_dangling_image(store: ImageStore) -> None:
    image = add(store, "x", "y", parent="sha256:" + "f" * 64)
    assert store.untag(Reference.parse("x")).names == ("y:latest",)
    assert store.untag(Reference.parse("y")).names == ()
    assert store.resolve(image.id).parent == "sha256:" + "f" * 64
    with pytest.raises(NotFound, match="No such image: y:latest"):
        store.untag(Reference.parse("y"))


def test_removal_frees_only_what_no_other_image_has(store: ImageStore) -> None:
    first, second = add(store, "x", author="a"), add(store, "y", author="b")
    removed = store.remove(first)
    assert set(removed.blobs) == {first.id, first.descriptor.digest}
    assert removed.chain_ids == ()
    assert store.remove(second).chain_ids == second.chain_ids
    assert list(store.blobs.all()) == []
    assert store.list() == ()


def test_names_outlive_the_engine(store: ImageStore, tmp_path: Path) -> None:
    image = add(store, "x", "y")
    again = ImageStore(tmp_path, BlobStore(tmp_path))
    assert again.list() == (image,)
    assert again.unreferenced() == set()


def test_an_orphan_blob_is_told(store: ImageStore) -> None:
    add(store, "x")
    orphan = store.blobs.put(b"orphan").digest
    assert store.unreferenced() == {orphan}


def test_another_tools_entry_is_kept_and_shown_where_it_is_an_image(
    store: ImageStore, tmp_path: Path
) -> None:
    add(store, "x")
    index = tmp_path / "images/index.json"
    document = json.loads(index.read_text())
    foreign = {"mediaType": "application/x", "digest": "sha256:" + "e" * 64, "size": 1}
    document["manifests"].append(foreign)
    index.write_text(json.dumps(document))
    again = ImageStore(tmp_path, BlobStore(tmp_path))
    assert len(again.list()) == 1
    again.tag(again.resolve("x"), Reference.parse("z"))
    assert foreign in json.loads(index.read_text())["manifests"]


@pytest.mark.needs("skopeo")
def test_skopeo_reads_the_store(store: ImageStore) -> None:
    image = add(store, "x:1", "localhost:5000/y")
    for name in ("x:1", "localhost:5000/y:latest"):
        output = subprocess.run(
            ["skopeo", "inspect", f"oci:{store.folder}:{name}"], capture_output=True, check=True
        ).stdout
        assert json.loads(output)["Digest"] == image.descriptor.digest
