"""Pushes that are cut, refused in pieces, or spared: what arrives is whole, and sent once."""

import random
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from ipycontainer_runtime.errors import ContainerError
from ipycontainer_runtime.registry import upload
from support.cutting import Cutting, cutting
from support.imageroom import Room
from support.made import digest, image, tar
from support.registry import Registry, running_registry
from support.scripted import Answer, Scripted, Seen, in_turn, scripted_registry
from support.uploads import Uploads

SIZE = 6 << 20
BIG = tar({"big": random.Random(4).randbytes(SIZE)})
SMALL = tar({"small": b"1"})


@pytest.fixture
def fresh() -> Iterator[Registry]:
    """A registry of the test's own, which it may kill."""
    with running_registry() as running:
        yield running


@pytest.fixture
def relay(fresh: Registry) -> Iterator[Cutting]:
    """The way to it, which breaks where the test says."""
    with cutting(fresh.address) as running:
        yield running


@pytest.fixture
def source() -> Iterator[Scripted]:
    """Where images come from: not from the registry that they go to."""
    with scripted_registry() as running:
        yield running


def ready(room: Room, server: Scripted, *layers: bytes, repository: str = "from") -> str:
    """Pull an image of these layers and return its id."""
    name = server.serve(image(*layers, compression="plain"), repository)
    room.do(room.pull(name))
    return room.store.resolve(name).id


def pushed(room: Room, identity: str, name: str) -> list[dict[str, Any]]:
    room.images.tag(identity, name)
    messages: list[dict[str, Any]] = room.do(room.push(name))
    return messages


def statuses(messages: list[dict[str, Any]]) -> list[str]:
    return [message["status"] for message in messages if "status" in message]


def test_a_push_that_is_cut_goes_on_where_it_was(
    room: Room, server: Scripted, source: Scripted
) -> None:
    identity = ready(room, source, BIG)
    uploads = Uploads(server)
    with cutting(server.address) as relay:
        relay.cut(1 << 20, 3 << 20, 5 << 20)
        messages = pushed(room, identity, f"{relay.address}/cut:v1")
        assert relay.cuts == 3
        assert "Pushed" in statuses(messages)
        assert uploads.blobs[digest(BIG)] == BIG
        # The chunk that was on its way when the connection broke is sent again, and no more.
        assert relay.sent < SIZE + (1 << 20)


@pytest.mark.needs("docker-registry")
def test_a_push_that_is_cut_begins_anew_where_the_registry_forgets(
    room: Room, server: Scripted, fresh: Registry, relay: Cutting
) -> None:
    # Debian's takes an upload up only where a request of it ended.
    identity = ready(room, server, BIG)
    relay.cut(1 << 20, 3 << 20, 5 << 20)
    messages = pushed(room, identity, f"{relay.address}/cut:v1")
    assert relay.cuts == 3
    assert "Pushed" in statuses(messages)
    assert room.do(room.pull(fresh.name("cut", "v1")))
    record = room.store.resolve(fresh.name("cut", "v1"))
    assert record.manifest.layers[0].digest == digest(BIG)


@pytest.mark.needs("docker-registry")
def test_a_push_outlives_the_registry(
    room: Room, server: Scripted, fresh: Registry, relay: Cutting
) -> None:
    identity = ready(room, server, BIG)

    def again() -> None:
        fresh.kill()
        fresh.start()

    relay.cut(3 << 20, then=again)
    messages = pushed(room, identity, f"{relay.address}/killed:v1")
    assert relay.cuts == 1
    assert "Pushed" in statuses(messages)
    assert room.do(room.pull(fresh.name("killed", "v1")))


@pytest.mark.needs("docker-registry")
def test_a_push_gives_up_a_registry_that_stays_away_and_another_push_ends_it(
    room: Room,
    source: Scripted,
    fresh: Registry,
    relay: Cutting,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upload, "ATTEMPTS", 2)
    identity = ready(room, source, BIG)
    relay.cut(3 << 20, then=fresh.kill)
    name = f"{relay.address}/away:v1"
    with pytest.raises(ContainerError, match=relay.address):
        pushed(room, identity, name)
    fresh.start()
    assert "Pushed" in statuses(room.do(room.push(name)))


def test_a_push_that_is_given_up_ends_at_once(
    room: Room, server: Scripted, source: Scripted
) -> None:
    identity = ready(room, source, SMALL)
    Uploads(server)
    server.on("/v2/target/blobs/uploads/", Answer(b"", 503))
    room.images.tag(identity, f"{server.address}/target:v1")

    async def given_up() -> float:
        told = room.pushes.push(f"{server.address}/target:v1")
        async for message in told:
            if message["status"] == "Preparing":
                break
        began = time.monotonic()
        await told.aclose()
        return time.monotonic() - began

    # Its next attempts would take six seconds.
    assert room.do(given_up()) < 3


def test_a_registry_that_takes_no_pieces_gets_the_whole(
    room: Room, server: Scripted, source: Scripted
) -> None:
    identity = ready(room, source, SMALL)
    uploads = Uploads(server, pieces=False)
    pushed(room, identity, f"{server.address}/target:v1")
    assert uploads.blobs[digest(SMALL)] == SMALL
    assert [seen.method for seen in server.asked("_state")].count("DELETE") == 2  # and its config's


def test_pieces_that_are_too_large_become_smaller(
    room: Room, server: Scripted, source: Scripted
) -> None:
    identity = ready(room, source, BIG)
    uploads = Uploads(server, most=2 << 20)
    pushed(room, identity, f"{server.address}/target:v1")
    assert uploads.blobs[digest(BIG)] == BIG
    taken = [seen for seen in server.requests if seen.method == "PATCH" and len(seen.body) > 1000]
    assert max(len(seen.body) for seen in taken[2:]) <= 2 << 20


def test_an_upload_that_the_registry_forgets_begins_anew(
    room: Room, server: Scripted, source: Scripted
) -> None:
    identity = ready(room, source, BIG)
    uploads = Uploads(server, most=2 << 20)
    unknown = Answer(b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"unknown"}]}', 404)
    busy = Answer(b"", 503)
    seen_pieces = [0]

    def forgetful(seen: Seen) -> Answer:
        seen_pieces[0] += seen.method == "PATCH" and len(seen.body) > 1000
        if seen_pieces[0] == 4 and seen.method == "PATCH":
            return busy
        return unknown if seen_pieces[0] == 4 else uploads._answer(seen)

    server.on("/v2/target/blobs/uploads/2", forgetful)
    pushed(room, identity, f"{server.address}/target:v1")
    assert uploads.blobs[digest(BIG)] == BIG


def test_a_push_is_done_though_its_last_answer_is_lost(
    room: Room, server: Scripted, source: Scripted
) -> None:
    identity = ready(room, source, SMALL)
    uploads = Uploads(server)

    def deaf(seen: Seen) -> Answer:
        answer = uploads._answer(seen)
        return Answer(b"", 504) if seen.method == "PUT" else answer

    server.on("/v2/target/blobs/uploads/0", deaf)
    messages = pushed(room, identity, f"{server.address}/target:v1")
    assert "Pushed" in statuses(messages)
    assert len([seen for seen in server.requests if seen.method == "POST"]) == 2  # and its config's


@pytest.mark.needs("docker-registry", "skopeo")
def test_what_another_repository_of_the_registry_has_is_mounted(
    room: Room, server: Scripted, registry: Registry
) -> None:
    identity = ready(room, server, SMALL, BIG)
    assert statuses(pushed(room, identity, registry.name("mount/one"))).count("Pushed") == 2
    messages = pushed(room, identity, registry.name("mount/two"))
    assert statuses(messages).count("Mounted from mount/one") == 2
    assert not any("Pushing" in status for status in statuses(messages))
    assert room.do(room.pull(registry.name("mount/two")))


def test_a_registry_that_mounts_nothing_is_sent_the_blob(room: Room, server: Scripted) -> None:
    identity = ready(room, server, SMALL)
    uploads = Uploads(server)
    messages = pushed(room, identity, f"{server.address}/target:v1")
    assert uploads.mounts == 1
    assert "Pushed" in statuses(messages)
    assert uploads.blobs[digest(SMALL)] == SMALL
    assert "DELETE" not in [seen.method for seen in server.requests]  # the upload is used


def test_a_mount_asks_for_both_repositories(room: Room, server: Scripted) -> None:
    identity = ready(room, server, SMALL)
    uploads = Uploads(server)

    def guarded(seen: Seen) -> Answer:
        if "Authorization" in seen.headers:
            return uploads._answer(seen)
        challenge = f'Bearer realm="{server.url}/token",service="s"'
        return Answer(b"", 401, {"WWW-Authenticate": challenge})

    server.on("/v2/target/", guarded)
    server.on("/token", Answer(b'{"token": "t0ken"}'))
    pushed(room, identity, f"{server.address}/target:v1")
    scopes = [seen.path.count("scope=") for seen in server.asked("/token")]
    assert scopes == [1, 2]
    assert "scope=repository%3Afrom%3Apull&" in server.asked("/token")[1].path


# security: fails without `reference.domain == target.domain` in push.Sources.
def test_a_registry_does_not_hear_of_another_ones_repositories(
    room: Room, server: Scripted
) -> None:
    with scripted_registry() as other:
        identity = ready(room, server, SMALL, repository="secret/project")
        uploads = Uploads(other)
        pushed(room, identity, f"{other.address}/target:v1")
        assert uploads.blobs[digest(SMALL)] == SMALL
        assert other.asked("secret") == []


BASIC = 'Basic realm="r"'
HEADER = "eyJ1c2VybmFtZSI6Im1lIiwicGFzc3dvcmQiOiJzM2NyZXQifQ=="  # me, s3cret


def pushed_with_a_login(room: Room, name: str) -> None:
    async def whole() -> None:
        async for _ in room.pushes.push(name, auth=HEADER):
            pass

    room.do(whole())


def wanting(uploads: Uploads, moved: Answer, method: str) -> Any:
    """Return a script that wants a password, and answers one method with `moved`."""

    def script(seen: Seen) -> Answer:
        if "Authorization" not in seen.headers:
            return Answer(b"", 401, {"WWW-Authenticate": BASIC})
        return moved if seen.method == method else uploads._answer(seen)

    return script


# security: fails without `if ours` in Registry._follow.
def test_an_upload_to_another_host_carries_no_authorization(
    room: Room, server: Scripted, source: Scripted
) -> None:
    with scripted_registry() as other:
        identity = ready(room, source, SMALL)
        uploads = Uploads(server)
        elsewhere = Uploads(other)
        number = elsewhere._answer(Seen("POST", "/v2/x/blobs/uploads/", {})).headers["Location"]
        moved = Answer(b"", 202, {"Location": f"{other.url}{number}"})
        server.on("/v2/target/", wanting(uploads, moved, "POST"))
        room.images.tag(identity, f"{server.address}/target:v1")
        with suppress(ContainerError):  # a session for two blobs, which our own registry minds
            pushed_with_a_login(room, f"{server.address}/target:v1")
        assert other.requests
        assert not any("Authorization" in seen.headers for seen in other.requests)
        assert "s3cret" not in str([seen.headers for seen in other.requests])


# security: fails without `if call.method not in` in Registry._follow.
@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT"])
def test_no_content_follows_a_redirect(
    room: Room, server: Scripted, source: Scripted, method: str
) -> None:
    with scripted_registry() as other:
        identity = ready(room, source, SMALL)
        uploads = Uploads(server)
        moved = Answer(b"", 307, {"Location": f"{other.url}/steal"})
        server.on("/v2/target/", wanting(uploads, moved, method))
        room.images.tag(identity, f"{server.address}/target:v1")
        with pytest.raises(ContainerError, match=f"redirects a {method}"):
            pushed_with_a_login(room, f"{server.address}/target:v1")
        assert other.requests == []


# security: fails without `self._check(url)` in Registry._url.
@pytest.mark.parametrize(
    "location",
    ["http://169.254.169.254/x", "file:///etc/passwd", "http://10.0.0.1/x", "//10.0.0.1"],
)
def test_an_upload_is_sent_nowhere_that_a_registry_may_not_name(
    room: Room, server: Scripted, source: Scripted, location: str
) -> None:
    identity = ready(room, source, SMALL)
    Uploads(server)
    server.on("/v2/target/blobs/uploads/", Answer(b"", 202, {"Location": location}))
    room.images.tag(identity, f"{server.address}/target:v1")
    with pytest.raises(ContainerError, match=r"is refused|cannot reach"):
        pushed_with_a_login(room, f"{server.address}/target:v1")


@pytest.mark.parametrize("told", ["0-99999999999", "0-999999999999999999999999"])
def test_a_registry_that_counts_more_than_was_sent_is_refused(
    room: Room, server: Scripted, source: Scripted, told: str
) -> None:
    identity = ready(room, source, SMALL)
    uploads = Uploads(server)
    lying = Answer(b"", 202, {"Range": told})
    server.on(
        "/v2/target/blobs/uploads/0",
        in_turn(lambda _: lying, uploads._answer),
    )
    room.images.tag(identity, f"{server.address}/target:v1")
    if len(told) > 20:  # no number that can be: as if nothing had been said
        room.do(room.push(f"{server.address}/target:v1"))
        return
    with pytest.raises(ContainerError, match="says that it has"):
        room.do(room.push(f"{server.address}/target:v1"))
