"""Documents of the OCI and Docker formats."""

import hashlib

import pytest

from ipycontainer_runtime.errors import Corrupt, InvalidParameter, NotFound
from ipycontainer_runtime.oci import model, platform
from ipycontainer_runtime.oci.model import Descriptor, Index, Manifest
from ipycontainer_runtime.oci.platform import Platform

D = "sha256:" + "a" * 64


def entry(name: str, digit: str) -> Descriptor:
    return Descriptor(model.OCI_MANIFEST, "sha256:" + digit * 64, 1, platform=platform.parse(name))


def test_a_config_keeps_dockers_fields() -> None:
    content = (
        b'{"architecture":"amd64","os":"linux","config":{"Env":["A=b"],"Cmd":["sh"],'
        b'"ExposedPorts":{"80/tcp":{}},"Healthcheck":{"Test":["CMD","x"],"Interval":5},'
        b'"OnBuild":["RUN x"],"StopSignal":"9","WorkingDir":"/w","Entrypoint":null},'
        b'"rootfs":{"type":"layers","diff_ids":["' + D.encode() + b'"]},'
        b'"history":[{"created_by":"x","empty_layer":true}]}'
    )
    config = model.decode_config(content)
    assert config.defaults.on_build == ["RUN x"]
    assert config.defaults.healthcheck is not None
    assert config.defaults.healthcheck.interval == 5
    assert model.decode_config(model.encode(config)) == config


def test_a_chain_id_names_a_layer_with_all_below() -> None:
    first, second = "sha256:" + "1" * 64, "sha256:" + "2" * 64
    expected = "sha256:" + hashlib.sha256(f"{first} {second}".encode()).hexdigest()
    assert model.chain_ids([first, second]) == (first, expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[]", "malformed"),
        (b"{}", "neither or both"),
        (b'{"schemaVersion":1,"fsLayers":[]}', "schema 1"),
        (b'{"schemaVersion":2,"layers":[],"manifests":[]}', "neither or both"),
        (b" " * (model.MAX_DOCUMENT + 1), "larger than"),
        (b'{"config":' * 100_000, "malformed"),
        (
            b'{"mediaType":"%s","manifests":[]}' % model.OCI_MANIFEST.encode(),
            "which is not what it holds",
        ),
    ],
)
def test_a_hostile_manifest_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(Corrupt, match=message):
        model.decode_manifest(content)


def test_ten_thousand_layers_are_refused() -> None:
    layer = Descriptor(model.OCI_LAYER, D, 1)
    manifest = Manifest(Descriptor(model.OCI_CONFIG, D, 1), (layer,) * 10_000)
    with pytest.raises(Corrupt, match="10000 layers"):
        model.decode_manifest(model.encode(manifest))


@pytest.mark.parametrize("digest", ["sha256:../../x", "md5:abc", ""])
def test_a_manifest_that_names_no_digest_is_refused(digest: str) -> None:
    manifest = Manifest(Descriptor(model.OCI_CONFIG, digest, 1), ())
    with pytest.raises(Corrupt, match="invalid digest"):
        model.decode_manifest(model.encode(manifest))


def test_the_best_platform_of_an_index_is_chosen() -> None:
    index = Index((entry("linux/arm/v6", "1"), entry("linux/arm/v7", "2"), entry("linux/386", "3")))
    assert model.select(index, platform.parse("linux/arm/v7")).digest[-1] == "2"
    assert model.select(index, platform.parse("linux/arm/v6")).digest[-1] == "1"
    with pytest.raises(NotFound, match="no matching manifest for linux/s390x"):
        model.select(index, platform.parse("linux/s390x"))


def test_names_of_machines_are_those_of_registries() -> None:
    assert platform.parse("linux/x86_64") == Platform("amd64", "linux")
    assert str(platform.parse("linux/arm64/v8")) == "linux/arm64/v8"
    assert platform.host().os == "linux"
    with pytest.raises(InvalidParameter, match="OS/ARCHITECTURE"):
        platform.parse("a/b/c/d")
