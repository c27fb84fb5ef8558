"""What a tag means: platforms, formats, and registries that lie about them."""

import json
import socket
from email.utils import formatdate

import pytest

from ipycontainer_runtime.errors import Corrupt, NotFound
from ipycontainer_runtime.oci.platform import Platform
from ipycontainer_runtime.registry import manifests, retry
from ipycontainer_runtime.registry.client import Registry
from ipycontainer_runtime.registry.errors import Lost, RegistryError
from ipycontainer_runtime.registry.manifests import Resolved
from support.made import ARCHITECTURE, INDEX, OTHER, Image, image, index, put_manifest, tar
from support.scripted import Answer, Scripted, in_turn

HERE = Platform(ARCHITECTURE, "linux")
LAYER = tar({"file": b"content"})


def resolve(server: Scripted, reference: str = "latest", wanted: Platform = HERE) -> Resolved:
    with Registry(server.address) as registry:
        return manifests.resolve(registry, "x", reference, wanted)


@pytest.mark.parametrize("docker", [False, True])
def test_a_manifest_of_either_format_is_resolved(server: Scripted, docker: bool) -> None:
    made = image(LAYER, docker=docker)
    server.serve(made, "x")
    for reference in ("latest", made.digest):
        resolved = resolve(server, reference)
        assert resolved.chosen.digest == resolved.named.digest == made.digest
        assert resolved.chosen.raw == made.manifest
        assert resolved.chosen.media_type == made.manifests[made.digest][1]


def test_an_index_leads_to_the_manifest_of_the_platform(server: Scripted) -> None:
    ours, theirs = image(LAYER), image(LAYER, architecture=OTHER)
    made = index((OTHER, theirs), (ARCHITECTURE, ours))
    server.serve(made, "x")
    resolved = resolve(server)
    assert (resolved.named.digest, resolved.chosen.digest) == (made.digest, ours.digest)
    assert resolve(server, wanted=Platform(OTHER, "linux")).chosen.digest == theirs.digest


def test_an_index_without_the_platform_says_which(server: Scripted) -> None:
    server.serve(index((OTHER, image(LAYER))), "x")
    with pytest.raises(NotFound, match="no matching manifest for linux/s390x"):
        resolve(server, wanted=Platform("s390x", "linux"))


# security: each fails without `_verify`.
def test_a_manifest_with_another_digest_than_asked_for_is_refused(server: Scripted) -> None:
    good, evil = image(LAYER), image(LAYER, created="2025-01-01T00:00:00Z")
    content, media_type = evil.manifests[evil.digest]
    server.on("/v2/x/manifests/", Answer(content, headers={"Content-Type": media_type}))
    with pytest.raises(Corrupt, match=f"{evil.digest} in place of {good.digest}"):
        resolve(server, good.digest)


def test_a_manifest_in_an_index_with_another_digest_is_refused(server: Scripted) -> None:
    good, evil = image(LAYER), image(LAYER, created="2025-01-01T00:00:00Z")
    server.serve(index((ARCHITECTURE, good)), "x")
    content, media_type = evil.manifests[evil.digest]
    headers = {"Content-Type": media_type}
    server.on(f"/v2/x/manifests/{good.digest}", Answer(content, headers=headers))
    with pytest.raises(Corrupt, match="in place of"):
        resolve(server)


def test_a_tag_whose_digest_header_lies_is_refused(server: Scripted) -> None:
    made = image(LAYER)
    content, media_type = made.manifests[made.digest]
    headers = {"Content-Type": media_type, "Docker-Content-Digest": "sha256:" + "0" * 64}
    server.on("/v2/x/manifests/latest", Answer(content, headers=headers))
    with pytest.raises(Corrupt, match="in place of"):
        resolve(server)


def test_a_size_in_an_index_that_lies_is_refused(server: Scripted) -> None:
    made = image(LAYER)
    outer = Image(manifests=dict(made.manifests), blobs=dict(made.blobs))
    platform = {"architecture": ARCHITECTURE, "os": "linux"}
    entry = {"mediaType": made.manifests[made.digest][1], "digest": made.digest, "size": 7}
    document = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [{**entry, "platform": platform}],
    }
    outer.digest = put_manifest(outer, document, INDEX)
    server.serve(outer, "x")
    with pytest.raises(Corrupt, match="where 7 are declared"):
        resolve(server)


# security: fails without the limit of Registry.read.
def test_a_huge_manifest_is_refused_unread(server: Scripted) -> None:
    server.on("/v2/x/manifests/", Answer(b" " * (64 << 20)))
    with pytest.raises(Corrupt, match="larger than the 4194304 bytes"):
        resolve(server)


# security: fails without DEPTH_LIMIT.
def test_an_index_nested_a_thousand_deep_is_refused(server: Scripted) -> None:
    made = image(LAYER)
    for _ in range(1000):
        made = index((ARCHITECTURE, made))
    server.serve(made, "x")
    with pytest.raises(Corrupt, match="nested more than 4 deep"):
        resolve(server)
    assert len(server.requests) <= 5


def test_an_index_in_an_index_is_followed(server: Scripted) -> None:
    ours = image(LAYER)
    server.serve(index((ARCHITECTURE, index((ARCHITECTURE, ours)))), "x")
    assert resolve(server).chosen.digest == ours.digest


def test_schema_1_is_refused_by_name(server: Scripted) -> None:
    document = json.dumps({"schemaVersion": 1, "name": "x", "fsLayers": []}).encode()
    media_type = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    server.on("/v2/x/manifests/", Answer(document, headers={"Content-Type": media_type}))
    with pytest.raises(Corrupt, match="schema 1"):
        resolve(server)


def test_an_artifact_that_is_no_image_is_refused_by_what_it_is(server: Scripted) -> None:
    made = image(LAYER)
    document = json.loads(made.manifest)
    document["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json"
    made.digest = put_manifest(made, document, document["mediaType"])
    server.serve(made, "x")
    with pytest.raises(Corrupt, match=r"helm.*not a container image"):
        resolve(server)


def test_an_oci_manifest_without_any_media_type_is_taken(server: Scripted) -> None:
    made = image(LAYER)
    document = json.loads(made.manifest)
    del document["mediaType"]
    made.digest = put_manifest(made, document, "text/plain")
    server.serve(made, "x")
    assert resolve(server).chosen.media_type == "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_PAUSE", 0.001)


@pytest.mark.usefixtures("_short_pauses")
@pytest.mark.parametrize(
    "failure",
    [Answer(b"", 503), Answer(b"", 429), Answer(b"", 500), Answer(b"x" * 5000, cut_after=1000)],
)
def test_a_manifest_is_asked_for_again(server: Scripted, failure: Answer) -> None:
    made = image(LAYER)
    server.serve(made, "x")
    content, media_type = made.manifests[made.digest]
    good = Answer(content, headers={"Content-Type": media_type})
    server.on("/v2/x/manifests/latest", in_turn(*[lambda _: failure] * 2, lambda _: good))
    assert resolve(server).chosen.digest == made.digest
    assert len(server.asked("/manifests/")) == 3


@pytest.mark.usefixtures("_short_pauses")
def test_a_registry_that_stays_busy_is_given_up(server: Scripted) -> None:
    server.on("/v2/x/manifests/", Answer(b"", 503))
    with pytest.raises(RegistryError, match=f"{server.address} answered with HTTP status 503"):
        resolve(server)
    assert len(server.requests) == 3


@pytest.mark.usefixtures("_short_pauses")
def test_a_registry_that_is_not_there_is_named() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound and never listening: each connection is refused
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        with Registry(address) as registry, pytest.raises(Lost, match=f"{address}: connection ref"):
            manifests.fetch(registry, "x", "latest")


@pytest.mark.parametrize("when", ["0", formatdate(0, usegmt=True)])
def test_a_manifest_is_asked_for_when_the_registry_says(
    server: Scripted, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    # Waits for ever where Retry-After is not heard.
    monkeypatch.setattr(retry, "FIRST_PAUSE", 1e6)
    made = image(LAYER)
    server.serve(made, "x")
    content, media_type = made.manifests[made.digest]
    busy = Answer(b"", 429, {"Retry-After": when})
    good = Answer(content, headers={"Content-Type": media_type})
    server.on("/v2/x/manifests/latest", in_turn(lambda _: busy, lambda _: good))
    assert resolve(server).chosen.digest == made.digest


def test_a_registry_that_wants_an_hour_is_not_waited_for(server: Scripted) -> None:
    body = b'{"errors":[{"code":"TOOMANYREQUESTS","message":"rate limit"}]}'
    server.on("/v2/x/manifests/", Answer(body, 429, {"Retry-After": "3600"}))
    with pytest.raises(RegistryError, match="rate limit; it asks to be tried again in 3600 sec"):
        resolve(server)
    assert len(server.requests) == 1


def test_what_is_refused_for_good_is_asked_once(server: Scripted) -> None:
    with pytest.raises(RegistryError, match="manifest unknown"):
        resolve(server)
    assert len(server.requests) == 1
