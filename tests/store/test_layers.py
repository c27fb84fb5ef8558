"""A layer that is present is whole."""

from pathlib import Path

import msgspec
import pytest

from ipycontainer_runtime.errors import NotFound
from ipycontainer_runtime.store.layers import LayerInfo, LayerStore

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def add(store: LayerStore, chain_id: str, size: int = 7) -> None:
    with store.staging() as staging:
        (staging.diff / "file").write_text("content")
        staging.commit(chain_id, LayerInfo(chain_id, size))


def test_a_layer_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    store = LayerStore(tmp_path)
    with store.staging() as staging:
        (staging.diff / "file").touch()
        assert not store.has(A)
    assert not store.has(A)
    add(store, A)
    assert (store.diff(A) / "file").read_text() == "content"
    assert (store.size(A), store.total([A, B]), store.all()) == (7, 7, [A])
    with pytest.raises(NotFound, match="pull its image again"):
        store.diff(B)


def test_the_second_of_two_pulls_of_a_layer_succeeds(tmp_path: Path) -> None:
    store = LayerStore(tmp_path)
    add(store, A)
    add(store, A)
    assert store.all() == [A]


def test_a_removed_layer_is_gone_at_once_and_from_the_disk_later(tmp_path: Path) -> None:
    store = LayerStore(tmp_path)
    add(store, A)
    store.remove(A)
    store.remove(A)
    assert not store.has(A)
    store.trash.empty()
    assert not any(path.name == "file" for path in tmp_path.rglob("*"))


def test_what_a_killed_engine_left_is_discarded(tmp_path: Path) -> None:
    staging = LayerStore(tmp_path).staging()
    store = LayerStore(tmp_path)
    assert not staging.diff.exists()
    assert store.all() == []


def test_a_new_layer_is_told_once_it_is_there(tmp_path: Path) -> None:
    told: list[bool] = []
    store = LayerStore(tmp_path, added=lambda: told.append(store.has(A)))
    add(store, A)
    add(store, A)
    assert told == [True]


def test_a_layer_that_a_power_cut_may_have_torn_is_unpacked_again(tmp_path: Path) -> None:
    store = LayerStore(tmp_path)
    add(store, A)
    add(store, B)
    store.settle()
    info = store.folder / A[7:] / "layer.json"
    info.write_bytes(msgspec.json.encode(LayerInfo(A, 7, boot="another boot")))
    again = LayerStore(tmp_path)
    assert (again.has(A), again.has(B)) == (False, True)
    add(again, A)
    assert again.has(A)


def test_the_mount_points_are_there(tmp_path: Path) -> None:
    init = LayerStore(tmp_path).init()
    assert {p.name for p in init.iterdir()} == {"dev", "etc", "proc", "sys", ".dockerenv"}
    assert (init / "etc/mtab").readlink() == Path("/proc/mounts")
    assert LayerStore(tmp_path).init() == init
