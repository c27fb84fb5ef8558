"""A layer is verified in every way before it is named."""

import gzip
import hashlib
from pathlib import Path

import pytest
from archives import archive, member, pieces
from backports import zstd

from ipycontainer_runtime.errors import ContainerError, Corrupt
from ipycontainer_runtime.layers.apply import apply, finish
from ipycontainer_runtime.layers.compression import GZIP, PLAIN, ZSTD, compressor, inflate, sniff
from ipycontainer_runtime.layers.ownership import Mapped
from ipycontainer_runtime.store.blobs import BlobStore
from ipycontainer_runtime.store.layers import LayerStore

PLAIN_TAR = archive(*(member(f"d/f{n}", b"content" * n) for n in range(200)))
DIFF_ID = "sha256:" + hashlib.sha256(PLAIN_TAR).hexdigest()


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path)


@pytest.fixture
def layers(tmp_path: Path) -> LayerStore:
    return LayerStore(tmp_path)


@pytest.mark.parametrize(
    "data",
    [
        PLAIN_TAR,
        gzip.compress(PLAIN_TAR),
        gzip.compress(PLAIN_TAR[:999]) + gzip.compress(PLAIN_TAR[999:]) + bytes(100),
        zstd.compress(PLAIN_TAR),
        b"\x50\x2a\x4d\x18\x04\0\0\0skip"
        + zstd.compress(PLAIN_TAR[:5])
        + zstd.compress(PLAIN_TAR[5:]),
    ],
    ids=["plain", "gzip", "gzip of many members", "zstd", "zstd of many frames"],
)
def test_a_layer_becomes_a_blob_and_a_folder_in_one_pass(
    blobs: BlobStore, layers: LayerStore, data: bytes
) -> None:
    seen: list[int] = []
    with layers.staging() as staging, blobs.writer(digest(data), len(data)) as blob:
        applied = apply(
            pieces(data, 777),
            staging,
            ownership=Mapped(),
            diff_id=DIFF_ID,
            blob=blob,
            progress=seen.append,
        )
        root = finish(staging, applied, DIFF_ID, ())
    assert blobs.read(digest(data)) == data
    assert (root / "d/f199").read_bytes() == b"content" * 199
    assert applied.size == layers.size(DIFF_ID) == 7 * sum(range(200))
    assert applied.implicit == ("", "d")
    assert seen[-1] == len(data)
    assert seen == sorted(seen)


@pytest.mark.parametrize(
    ("wrong_digest", "wrong_size", "wrong_diff_id"),
    [(True, False, False), (False, True, False), (False, False, True)],
)
def test_a_layer_that_lies_is_refused_and_leaves_nothing(
    blobs: BlobStore,
    layers: LayerStore,
    wrong_digest: bool,
    wrong_size: bool,
    wrong_diff_id: bool,
) -> None:
    data = gzip.compress(PLAIN_TAR)
    expected = digest(b"other" if wrong_digest else data)
    size = len(data) + (1 if wrong_size else 0)
    diff_id = digest(b"other") if wrong_diff_id else DIFF_ID
    with layers.staging() as staging, blobs.writer(expected, size) as blob:
        with pytest.raises(Corrupt, match=r"other content|were declared"):
            apply(pieces(data), staging, ownership=Mapped(), diff_id=diff_id, blob=blob)
    assert list(blobs.all()) == []
    assert layers.all() == []
    assert not list(blobs.ingest.iterdir())


def test_a_source_that_fails_is_told_and_nothing_is_left(
    blobs: BlobStore, layers: LayerStore
) -> None:
    def cut():  # type: ignore[no-untyped-def] - a generator of two steps
        yield PLAIN_TAR[:5000]
        raise ContainerError("the connection was cut")

    with layers.staging() as staging, pytest.raises(ContainerError, match="was cut"):
        apply(cut(), staging, ownership=Mapped())
    assert layers.all() == []


@pytest.mark.parametrize("kind", [GZIP, ZSTD, PLAIN])
def test_what_is_compressed_is_inflated_the_same(kind: str) -> None:
    made = compressor(kind)
    data = b"".join(made.compress(piece) for piece in pieces(PLAIN_TAR)) + made.flush()
    assert sniff(data) == kind
    assert b"".join(inflate(pieces(data, 100))) == PLAIN_TAR
    again = compressor(kind)
    assert b"".join(again.compress(piece) for piece in pieces(PLAIN_TAR)) + again.flush() == data
    if kind == GZIP:
        assert gzip.decompress(data) == PLAIN_TAR
