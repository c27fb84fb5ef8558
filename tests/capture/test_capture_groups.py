"""An earlier capture, which may be a pulled image, says which distributions share a layer."""

import json

import pytest

from ipycontainer_runtime.capture.grouping import ADDED, Group, group
from ipycontainer_runtime.engine.capturing import describe
from ipycontainer_runtime.oci import model
from ipycontainer_runtime.store.images import ImageRecord


def labelled(rows: object) -> ImageRecord:
    labels = {describe.LAYERS: json.dumps(rows)}
    config = model.ImageConfig(
        architecture="amd64", os="linux", config=model.ContainerConfig(labels=labels)
    )
    digest = f"sha256:{'0' * 64}"
    manifest = model.Manifest(config=model.Descriptor(model.OCI_CONFIG, digest, 1), layers=())
    named = model.Descriptor(model.OCI_MANIFEST, digest, 1)
    return ImageRecord(digest, named, manifest, config, ())


def test_a_label_of_ours_is_read() -> None:
    rows = [
        {"name": "system"},
        {"name": "numpy", "members": ["numpy"]},
        {"name": "packages-1", "members": ["a", "b"]},
        {"name": f"{ADDED}2", "members": ["conda:c"]},
        {"name": "code"},
    ]
    found = describe.groups(labelled(rows))
    assert [one.name for one in found] == ["numpy", "packages-1", f"{ADDED}2"]


@pytest.mark.parametrize(
    "rows",
    [
        [{"name": "code", "members": ["a"]}],
        [{"name": "\x1b]0;title\x07", "members": ["a"]}],
        [{"name": "x" * 1000, "members": ["a"]}],
        [{"name": f"{ADDED}{'9' * 5000}", "members": ["a"]}],
        [{"name": f"n{i}", "members": [f"n{i}"]} for i in range(400)],
        {"name": "no list"},
    ],
)
def test_a_label_that_no_capture_would_write_is_not_kept_to(rows: object) -> None:
    assert describe.groups(labelled(rows)) == []


def test_the_number_of_a_layer_may_be_any() -> None:
    earlier = [Group(f"{ADDED}{'9' * 90}", ("a",))]
    assert group({"a": 1, "b": 1}, earlier)[-1].members == ("b",)
