"""What a hostile registry serves as an image: documents and layers beyond every bound, and lies.

Each comment names the line without which its test fails. What a single archive tries is in
tests/layers.
"""

import json
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from ipycontainer_runtime.errors import ContainerError, Corrupt
from support.imageroom import Room
from support.made import INDEX, Image, digest, image, index, put_manifest, tar
from support.scripted import Answer, Scripted, scripted_registry

pytestmark = pytest.mark.needs("root")


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    """An empty store with the use cases of images; nothing hostile may stay in it."""
    made = Room(tmp_path / "root")
    before = made.content
    yield made
    assert made.content == before
    made.close()


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A registry on loopback that answers as the test says."""
    with scripted_registry() as running:
        yield running


def test_a_manifest_of_200_megabytes_is_refused(room: Room, server: Scripted) -> None:
    # registry.client.Registry.read: `if len(body) > limit`
    name = server.serve(image(tar({"f": b""})), "hostile")
    padded = b'{"schemaVersion": 2' + b" " * (200 << 20) + b"}"
    server.on("/v2/hostile/manifests/", Answer(padded, headers={"Content-Type": INDEX}))
    with pytest.raises(ContainerError, match="4194304 bytes that are allowed"):
        room.do(room.pull(name))


@pytest.mark.parametrize("target", ["http://127.0.0.1:99999/", "http://[", "http://127.0.0.1:1 /"])
def test_a_redirect_to_nowhere_is_refused(room: Room, server: Scripted, target: str) -> None:
    # registry.client.Registry._target; registry.hosts.may_follow: `parts.port`
    server.on("/v2/hostile/manifests/", Answer(status=302, headers={"Location": target}))
    with pytest.raises(ContainerError, match="redirects to http://"):
        room.do(room.pull(f"{server.address}/hostile"))


def test_no_more_of_a_redirect_is_read_than_its_head(
    room: Room, server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    # registry.client._Session
    def read(_: requests.Response) -> bytes:
        raise AssertionError("a body is read without a bound")

    monkeypatch.setattr(requests.Response, "content", property(read))
    moved = Answer(b"x" * 1_000_000, status=302, headers={"Location": "/v2/hostile/manifests/x"})
    server.on("/v2/hostile/manifests/", moved)
    with pytest.raises(ContainerError, match="redirects more than 5 times"):
        room.do(room.pull(f"{server.address}/hostile"))


def test_an_index_nested_a_thousand_deep_is_refused(room: Room, server: Scripted) -> None:
    # registry.manifests: DEPTH_LIMIT
    nested: Image = image(tar({"f": b""}))
    architecture = json.loads(nested.blobs[nested.config_digest])["architecture"]
    for _ in range(1000):
        nested = index((architecture, nested))
    with pytest.raises(ContainerError, match=r"index"):
        room.do(room.pull(server.serve(nested, "hostile")))
    assert len([seen for seen in server.requests if "/manifests/" in seen.path]) < 10


def test_an_image_of_ten_thousand_layers_is_refused(room: Room, server: Scripted) -> None:
    # oci.model: MAX_LAYERS
    made = image(tar({"f": b""}))
    manifest = json.loads(made.manifest)
    manifest["layers"] *= 10_000
    made.digest = put_manifest(made, manifest, manifest["mediaType"])
    with pytest.raises(Corrupt, match="10000 layers, more than the 499"):
        room.do(room.pull(server.serve(made, "hostile")))


@pytest.mark.parametrize("kind", ["diff id", "size", "digest"])
def test_a_layer_that_lies_leaves_nothing(room: Room, server: Scripted, kind: str) -> None:
    # layers.apply: `plain.digest != diff_id`; store.blobs.BlobWriter.commit: digest and size
    lies = [digest(b"another")] if kind == "diff id" else None
    made = image(tar({"f": b"content"}), diff_ids=lies)
    layer = made.layer_digests[0]
    if kind == "size":
        manifest = json.loads(made.manifest)
        manifest["layers"][0]["size"] += 1
        made.digest = put_manifest(made, manifest, manifest["mediaType"])
    if kind == "digest":
        made.blobs[layer] = made.blobs[layer][:-1] + b"?"
    with pytest.raises(ContainerError):
        room.do(room.pull(server.serve(made, "hostile")))


@pytest.mark.parametrize(
    "kind",
    [
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ],
)
def test_a_layer_is_fetched_from_no_address_that_a_manifest_names(
    room: Room, server: Scripted, kind: str
) -> None:
    # Nothing reads `urls` (CVE-2020-15157): there is no line to take out.
    made = image(tar({"f": b"content"}))
    (layer,) = made.layer_digests
    manifest = json.loads(made.manifest)
    with scripted_registry() as other:
        manifest["layers"][0] |= {"mediaType": kind, "urls": [f"{other.url}/layer"]}
        made.digest = put_manifest(made, manifest, manifest["mediaType"])
        other.on("/layer", Answer(made.blobs.pop(layer)))
        with pytest.raises(ContainerError):
            room.do(room.pull(server.serve(made, "hostile")))
        assert other.requests == []


def wanting_gigabytes(packed: bytes) -> bytes:
    """Return an xz stream whose block says that its dictionary has 3 GiB (xz's format, 3.1)."""
    header = bytearray(packed[12 : 12 + (packed[12] + 1) * 4])
    header[4] = 39  # after the sizes of header and properties, flags and the filter's id
    header[-4:] = zlib.crc32(header[:-4]).to_bytes(4, "little")
    return packed[:12] + header + packed[12 + len(header) :]


def test_an_xz_layer_that_wants_gigabytes_to_decompress_is_refused(
    room: Room, server: Scripted
) -> None:
    # compression._xz_frame: memlimit
    packed = wanting_gigabytes(lzma.compress(tar({"f": b""})))
    made = image(tar({"f": b""}), compression="plain")
    layer = made.layer_digests[0]
    manifest = json.loads(made.manifest)
    named = digest(packed)
    manifest["layers"][0] |= {"digest": named, "size": len(packed)}
    made.blobs = {named: packed, **{k: v for k, v in made.blobs.items() if k != layer}}
    made.digest = put_manifest(made, manifest, manifest["mediaType"])
    with pytest.raises(Corrupt, match=r"xz stream is malformed: .*[Mm]emory"):
        room.do(room.pull(server.serve(made, "hostile")))


@pytest.mark.parametrize(
    "body",
    [
        b'{"errors": [{"code": "\\u001b]52;c;ZXZpbA==\\u0007", "message": "\\u001b[2J"}]}',
        b'{"errors": [{"code": "X", "message": "' + b"x" * 1_000_000 + b'"}]}',
        b'{"errors": ' + b"[" * 100_000,
        b'{"other": ' + b"[" * 100_000,
    ],
    ids=["escapes", "a megabyte", "nested", "nested elsewhere"],
)
def test_a_registrys_words_are_few_and_plain(room: Room, server: Scripted, body: bytes) -> None:
    # registry.errors: what `answered` cuts and `_first` catches; errors.printable
    server.on("/v2/hostile/manifests/", Answer(body, status=500))
    with pytest.raises(ContainerError) as caught:
        room.do(room.pull(f"{server.address}/hostile"))
    assert len(str(caught.value)) < 2_000
    assert str(caught.value).isprintable()
