"""Registries by configuration, all tags of one, other platforms, and logins that are checked."""

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ipycontainer_runtime.credentials.login import Entry
from ipycontainer_runtime.engine import lookup
from ipycontainer_runtime.engine.doctor import registries
from ipycontainer_runtime.engine.logins import Logins
from ipycontainer_runtime.engine.registries import described
from ipycontainer_runtime.errors import ContainerError, Corrupt, InvalidParameter, Unauthorized
from ipycontainer_runtime.oci.reference import Reference
from ipycontainer_runtime.registry import tags
from ipycontainer_runtime.registry.client import Call, Registry
from ipycontainer_runtime.registry.hosts import endpoint
from support.imageroom import Room
from support.made import ARCHITECTURE, OTHER, image, index, tar
from support.registry import PASSWORD, USER, running_registry
from support.registry import Registry as Running
from support.scripted import Answer, Scripted, Seen, scripted_registry
from support.tls import Authority

LAYER, ANOTHER = tar({"one": b"1"}), tar({"two": b"2"})


@pytest.fixture(autouse=True)
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration, which is missing until a test writes it."""
    monkeypatch.setenv("IPYCONTAINER_CONFIG", str(tmp_path / "engine.json"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path / "engine.json"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    """What this machine takes for Docker Hub."""
    with scripted_registry() as running:
        monkeypatch.setattr(lookup, "DOCKER_HUB", running.address)
        yield running


def statuses(messages: list[dict[str, Any]]) -> list[str]:
    return [message["status"] for message in messages if "status" in message]


def pulled(room: Room, name: str) -> list[str]:
    return statuses(room.do(room.pull(name)))


def test_a_mirror_is_asked_first(
    room: Room, hub: Scripted, server: Scripted, configured: Path
) -> None:
    configured.write_text(json.dumps({"registry-mirrors": [f"{server.url}/"]}))
    server.serve(image(LAYER), "library/x")
    told = pulled(room, f"{hub.address}/library/x:latest")
    assert told[-1] == f"Status: Downloaded newer image for {hub.address}/library/x:latest"
    assert hub.requests == []
    assert room.store.resolve(f"{hub.address}/library/x").names == (
        f"{hub.address}/library/x:latest",
    )


@pytest.mark.parametrize("broken", ["absent", "half", "gone"])
def test_a_mirror_that_has_it_not_is_passed_over(
    room: Room, hub: Scripted, server: Scripted, configured: Path, broken: str
) -> None:
    configured.write_text(json.dumps({"registry-mirrors": [server.url]}))
    made = image(LAYER)
    if broken == "half":
        server.serve(made, "library/x")
        server.on(f"/v2/library/x/blobs/{made.layer_digests[0]}", Answer(b"", 404))
    if broken == "gone":
        configured.write_text(json.dumps({"registry-mirrors": ["http://127.0.0.1:1"]}))
    told = pulled(room, hub.serve(made, "library/x"))
    assert any("is passed over" in status for status in told)
    assert told[-1].startswith("Status: Downloaded newer image")


def test_other_registries_have_no_mirror(room: Room, server: Scripted, configured: Path) -> None:
    configured.write_text('{"registry-mirrors": ["http://127.0.0.1:1"]}')
    assert not any("mirror" in told for told in pulled(room, server.serve(image(LAYER), "x")))


# security: fails with Given(auth, …) as the credentials of a mirror in lookup.sources.
def test_a_mirror_is_not_told_the_password_for_docker_hub(
    room: Room, hub: Scripted, server: Scripted, configured: Path
) -> None:
    configured.write_text(json.dumps({"registry-mirrors": [server.url]}))
    wants = Answer(b"", 401, {"WWW-Authenticate": 'Basic realm="r"'})
    server.on("/v2/", wants)
    name = hub.serve(image(LAYER), "library/x")
    given = {"username": "me", "password": "s3cret"}  # which names no server
    header = base64.urlsafe_b64encode(json.dumps(given).encode()).decode()

    async def whole() -> None:
        async for _ in room.pulls.pull(name, auth=header):
            pass

    room.do(whole())
    assert server.requests
    assert not any("Authorization" in seen.headers for seen in server.requests)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        '{"registry-mirror": []}',
        '{"registry-mirrors": "https://m"}',
        '{"registry-mirrors": ["m.example.com"]}',
        '{"registry-mirrors": ["https://m.example.com/path"]}',
        '{"registry-mirrors": ["https://me:secret@m.example.com"]}',
        '{"insecure-registries": ["10.0.0.0/99"]}',
    ],
)
def test_what_is_wrong_in_the_configuration_is_said(
    room: Room, hub: Scripted, configured: Path, content: str
) -> None:
    configured.write_text(content)
    with pytest.raises(InvalidParameter) as caught:
        pulled(room, hub.serve(image(LAYER), "library/x"))
    assert any(
        word in str(caught.value)
        for word in ("engine.json", "registry-mirrors", "insecure-registries")
    )


def test_info_tells_the_configuration(configured: Path) -> None:
    configured.write_text(
        '{"registry-mirrors": ["https://m"], "insecure-registries": ["h:1", "10.0.0.0/8"]}'
    )
    told, warnings = described()
    assert warnings == []
    assert told["Mirrors"] == told["IndexConfigs"]["docker.io"]["Mirrors"] == ["https://m/"]
    assert told["InsecureRegistryCIDRs"] == ["::1/128", "127.0.0.0/8", "10.0.0.0/8"]
    assert told["IndexConfigs"]["h:1"]["Secure"] is False
    configured.write_text("{")
    assert "engine.json" in described()[1][0]


# security: fails with `return True` in hosts.is_listed.
@pytest.mark.parametrize(
    ("listed", "domain", "insecure"),
    [
        ("host:5000", "host:5000", True),
        ("HOST:5000", "host:5000", True),
        ("host", "host:5000", False),
        ("host:5000", "host", False),
        ("host:5000", "sub.host:5000", False),
        ("10.0.0.0/8", "10.1.2.3:5000", True),
        ("10.0.0.0/8", "11.0.0.1:5000", False),
        ("10.0.0.0/8", "ten.example.com", False),
        ("fd00::/8", "[fd00::1]:5000", True),
    ],
)
def test_only_what_is_listed_is_insecure(listed: str, domain: str, insecure: bool) -> None:
    assert endpoint(domain, insecure=[listed]).insecure is insecure


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine be another one, so that what holds for that can be tried here."""
    monkeypatch.setattr("ipycontainer_runtime.registry.hosts.is_loopback", lambda _: False)


def test_an_insecure_registry_may_have_any_certificate_or_no_tls(
    room: Room, configured: Path, tmp_path: Path, elsewhere: None
) -> None:
    made = image(LAYER)
    with scripted_registry(Authority(tmp_path / "ca")) as tls, scripted_registry() as plain:
        names = [tls.serve(made, "x"), plain.serve(made, "x")]
        for name in names:
            with pytest.raises(ContainerError, match="cannot reach the registry"):
                pulled(room, name)
        assert plain.requests == []
        configured.write_text(json.dumps({"insecure-registries": [tls.address, plain.address]}))
        for name in names:
            assert pulled(room, name)


def test_every_tag_is_pulled_page_by_page(room: Room, server: Scripted) -> None:
    for tag, layer in (("v1", LAYER), ("v2", ANOTHER), ("v3", LAYER)):
        server.serve(image(layer), "many", tag)
    second = {"Link": '</v2/many/tags/list?last=v2&n=2>; rel="next"'}

    def listing(seen: Seen) -> Answer:
        if "last=v2" in seen.path:
            return Answer(b'{"name":"many","tags":["v3"]}')
        return Answer(b'{"name":"many","tags":["v1","v2"]}', headers=second)

    server.on("/v2/many/tags/list", listing)
    name = f"{server.address}/many"

    async def all_tags() -> list[dict[str, Any]]:
        return [message async for message in room.pulls.pull_all(name)]

    told = statuses(room.do(all_tags()))
    assert told[-1] == f"Status: Downloaded newer image for {name}"
    assert told.count("Pulling from many") == 3
    assert {n for record in room.store.list() for n in record.names} == {
        f"{name}:v{i}" for i in (1, 2, 3)
    }
    assert statuses(room.do(all_tags()))[-1] == f"Status: Image is up to date for {name}"


# security: fails without `len(found) > MOST` in tags.
def test_a_list_of_tags_without_end_is_refused(
    server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tags, "MOST", 20)

    def listing(_: Seen) -> Answer:
        number = len(server.requests)
        following = {"Link": f'</v2/many/tags/list?last={number}>; rel="next"'}
        return Answer(json.dumps({"tags": [f"v{number}"]}).encode(), headers=following)

    server.on("/v2/many/tags/list", listing)
    with Registry(server.address) as registry, pytest.raises(Corrupt, match="more than 20 tags"):
        tags.tags(registry, "many")
    assert len(server.requests) < 30


def test_a_list_of_tags_that_goes_in_a_circle_ends(server: Scripted) -> None:
    again = {"Link": '</v2/many/tags/list>; rel="next"'}
    server.on("/v2/many/tags/list", Answer(b'{"tags":["v1"]}', headers=again))
    with Registry(server.address) as registry:
        assert tags.tags(registry, "many") == ["v1"]


def test_the_next_page_may_not_be_anywhere(server: Scripted) -> None:
    away = {"Link": '<http://169.254.169.254/v2/many/tags/list>; rel="next"'}
    server.on("/v2/many/tags/list", Answer(b'{"tags":["v1"]}', headers=away))
    with Registry(server.address) as registry, pytest.raises(ContainerError, match="is refused"):
        tags.tags(registry, "many")


def test_another_platform_takes_the_name_and_gives_it_back(room: Room, server: Scripted) -> None:
    here, there = image(LAYER), image(ANOTHER, architecture=OTHER)
    both = index((ARCHITECTURE, here), (OTHER, there))
    name = server.serve(both, "both")
    for platform, made in ((None, here), (f"linux/{OTHER}", there), (None, here)):
        told = statuses(room.do(room.pull(name, platform)))
        assert told[-1].startswith("Status: Downloaded newer image")
        record = room.store.resolve(name)
        assert record.descriptor.digest == made.digest
        # What the tag named is the index, whichever of its images is here.
        assert record.repo_digests == (f"{server.address}/both@{both.digest}",)
    by_digest = f"{server.address}/both@{there.digest}"
    room.do(room.pull(by_digest, f"linux/{OTHER}"))
    assert room.store.resolve(by_digest).descriptor.digest == there.digest
    with pytest.raises(ContainerError, match="does not match the specified platform"):
        room.do(room.pull(by_digest, f"linux/{ARCHITECTURE}"))


def test_the_doctor_asks_mirrors_and_tells_of_a_broken_configuration(
    server: Scripted, configured: Path
) -> None:
    server.on("/v2/", Answer(b"{}"))
    configured.write_text(json.dumps({"registry-mirrors": [server.url]}))
    [found] = [check for check in registries() if server.address in check.name]
    assert found.state == "ok"
    configured.write_text("{")
    [found] = registries()
    assert (found.name, found.state) == ("configuration", "limited")
    assert str(configured) in found.detail + found.cure


@pytest.fixture
def guarded() -> Iterator[Running]:
    """Debian's registry, which wants a login."""
    with running_registry(login=True) as running:
        yield running


def checked(server: str, username: str, password: str) -> dict[str, Any]:
    entry = Entry(username=username, password=password, server=server)
    return asyncio.run(Logins().check(entry))


@pytest.mark.needs("docker-registry")
def test_a_login_is_checked_at_the_registry(guarded: Running) -> None:
    told = checked(guarded.address, USER, PASSWORD)
    assert told == {"Status": "Login Succeeded", "IdentityToken": ""}
    failed = f"login attempt to http://{guarded.address}/v2/ failed with status: 401 Unauthorized"
    with pytest.raises(Unauthorized, match=failed) as caught:
        checked(guarded.address, USER, "another")
    assert "another" not in str(caught.value)
    with pytest.raises(InvalidParameter, match="no user name"):
        checked(guarded.address, "", "")


def test_a_token_service_may_give_an_identity_token(server: Scripted) -> None:
    def guard(seen: Seen) -> Answer:
        if seen.headers.get("Authorization") == "Bearer t0ken":
            return Answer(b"{}")
        realm = f'Bearer realm="{server.url}/token",service="s"'
        return Answer(b"", 401, {"WWW-Authenticate": realm})

    server.on("/v2/", guard)
    server.on("/token", Answer(b'{"token": "t0ken", "refresh_token": "r3fresh"}'))
    assert checked(server.address, "me", "s3cret")["IdentityToken"] == "r3fresh"
    [asked] = server.asked("/token")
    assert "offline_token=true" in asked.path
    assert "s3cret" not in asked.path
    server.on("/token", Answer(b"", 401))
    with pytest.raises(Unauthorized, match="failed with status: 401"):
        checked(server.address, "me", "s3cret")


@pytest.mark.needs("docker-registry")
def test_a_bad_login_names_registry_and_file(
    room: Room, guarded: Running, server: Scripted, tmp_path: Path
) -> None:
    kept = base64.b64encode(b"me:outdated").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {guarded.address: {"auth": kept}}}))
    room.do(room.pull(server.serve(image(LAYER), "x")))
    name = guarded.name("x", "v1")
    room.images.tag(room.store.list()[0].id, name)
    for work in (room.pull(name), room.push(name)):
        with pytest.raises(ContainerError) as caught:
            room.do(work)
        for words in (guarded.address, str(tmp_path / "config.json"), "me", "docker login"):
            assert words in str(caught.value)
        assert "outdated" not in str(caught.value)


def test_a_login_for_one_registry_is_sent_to_no_other(server: Scripted, tmp_path: Path) -> None:
    kept = base64.b64encode(b"me:s3cret").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"127.0.0.1:1": {"auth": kept}}}))
    server.on("/v2/", Answer(b"", 401, {"WWW-Authenticate": 'Basic realm="r"'}))
    [source] = lookup.sources(Reference.parse(f"{server.address}/x"), None)
    with Registry(source.domain, source.credentials) as registry:
        with pytest.raises(ContainerError):
            registry.read(Call("GET", "", ""), 100)
    assert not any("Authorization" in seen.headers for seen in server.requests)
