"""Pushes to a real registry: what comes back is what went."""

import base64
import json
import subprocess
from typing import Any

import pytest

from ipycontainer_runtime.errors import ContainerError, InvalidParameter, NotFound
from support.imageroom import Room
from support.made import image, tar
from support.registry import Registry
from support.scripted import Answer, Scripted, Seen

pytestmark = pytest.mark.needs("root", "docker-registry", "skopeo")

LOWER, UPPER = tar({"lower": b"1"}), tar({"upper": b"2"})


def pulled(room: Room, server: Scripted, *layers: bytes, compression: str = "gzip") -> str:
    name = server.serve(image(*layers, compression=compression), "from")
    room.do(room.pull(name))
    return name


def inspected(name: str) -> dict[str, Any]:
    command = ["skopeo", "inspect", "--tls-verify=false", f"docker://{name}"]
    done = subprocess.run(command, check=True, capture_output=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("compression", ["gzip", "zstd", "plain"])
def test_a_pushed_image_has_the_digests_that_it_was_pulled_with(
    room: Room, server: Scripted, registry: Registry, compression: str
) -> None:
    pulled(room, server, LOWER, UPPER, compression=compression)
    record = room.store.list()[0]
    name = registry.name(f"pushed-{compression}", "v1")
    room.images.tag(record.id, name)
    messages = room.do(room.push(name))
    assert inspected(name)["Digest"] == record.descriptor.digest
    assert messages[0] == {"status": f"The push refers to repository [{name[:-3]}]"}
    size = record.descriptor.size
    digest = record.descriptor.digest
    assert messages[-2] == {"status": f"v1: digest: {digest} size: {size}"}
    assert messages[-1]["aux"] == {"Tag": "v1", "Digest": digest, "Size": size}
    assert f"{name[:-3]}@{digest}" in room.store.resolve(name).repo_digests


def test_layers_are_told_from_the_top_and_sent_once(
    room: Room, server: Scripted, registry: Registry
) -> None:
    pulled(room, server, LOWER, UPPER, LOWER)
    record = room.store.list()[0]
    top, middle, _ = reversed([diff_id[7:19] for diff_id in record.config.rootfs.diff_ids])
    name = registry.name("once", "v1")
    room.images.tag(record.id, name)
    first = [(m.get("id"), m["status"]) for m in room.do(room.push(name)) if "status" in m]
    assert first[1:4] == [(top, "Preparing"), (middle, "Preparing"), (top, "Preparing")]
    assert first.count((top, "Pushed")) == first.count((middle, "Pushed")) == 1
    again = [(m.get("id"), m["status"]) for m in room.do(room.push(name)) if "status" in m]
    assert (top, "Layer already exists") in again
    assert not any(status == "Pushing" for _, status in again)


def test_without_a_tag_every_tag_is_pushed(
    room: Room, server: Scripted, registry: Registry
) -> None:
    pulled(room, server, LOWER)
    for tag in ("a", "b"):
        room.images.tag(room.store.list()[0].id, registry.name("every", tag))
    room.do(room.push(f"{registry.address}/every"))
    assert set(inspected(registry.name("every", "a"))["RepoTags"]) == {"a", "b"}


def test_what_is_not_here_cannot_be_pushed(room: Room, server: Scripted) -> None:
    name = pulled(room, server, LOWER)
    with pytest.raises(NotFound, match="does not exist locally with the tag: nobody/none"):
        room.do(room.push("nobody/none", "latest"))
    with pytest.raises(NotFound, match=f"tag does not exist: {server.address}/from:other"):
        room.do(room.push(f"{server.address}/from", "other"))
    with pytest.raises(InvalidParameter, match="cannot push a digest reference"):
        room.do(room.push(room.store.resolve(name).repo_digests[0]))


def test_a_refused_push_says_why(room: Room, server: Scripted) -> None:
    name = pulled(room, server, LOWER, UPPER)
    server.on("/v2/", Answer(b"", 403))
    with pytest.raises(ContainerError, match="denied: requested access to the resource is denied"):
        room.do(room.push(name))


def test_a_push_with_a_password_sends_it_to_the_registry_alone(
    room: Room, server: Scripted
) -> None:
    name = pulled(room, server, LOWER)
    basic = "Basic " + base64.b64encode(b"me:s3cret").decode()

    def script(seen: Seen) -> Answer:
        if seen.headers.get("Authorization") != basic:
            return Answer(b"", 401, {"WWW-Authenticate": 'Basic realm="r"'})
        if seen.method == "POST":
            return Answer(b"", 202, {"Location": "/v2/from/blobs/uploads/1?state=s%20t"})
        return Answer(b"", 404 if seen.method == "HEAD" else 201)

    server.on("/v2/", script)
    login = {"username": "me", "password": "s3cret"}
    header = base64.urlsafe_b64encode(json.dumps(login).encode()).decode()

    async def pushed() -> None:
        async for message in room.pushes.push(name, auth=header):
            assert "s3cret" not in str(message)

    room.do(pushed())
    puts = [seen.path for seen in server.requests if seen.method == "PUT"]
    assert any("state=s+t&digest=sha256%3A" in path for path in puts)
    assert puts[-1] == "/v2/from/manifests/latest"
