"""Registries that speak TLS, by the certificates that Docker keeps for them."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ipycontainer_runtime.errors import ContainerError
from ipycontainer_runtime.registry.client import Call
from ipycontainer_runtime.registry.client import Registry as Client
from support.imageroom import Room
from support.registry import Registry, running_registry
from support.scripted import Answer, scripted_registry
from support.tls import Authority

pytestmark = pytest.mark.needs("root", "openssl", "docker-registry")

Serve = Callable[..., Registry]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
def certs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This user's own certs.d, empty."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path / "docker/certs.d"


@pytest.fixture
def serve(authority: Authority) -> Iterator[Serve]:
    """A function that starts a registry with TLS; `more` goes into its `tls` section."""
    with ExitStack() as stack:

        def start(more: str = "") -> Registry:
            certificate, key = authority.sign("server")
            tls = f", tls: {{certificate: {certificate}, key: {key}{more}}}"
            return stack.enter_context(running_registry(tls))

        yield start


def trust(certs: Path, registry: Registry, *files: Path) -> Path:
    """Put files into the registry's folder, and return that."""
    folder = certs / registry.address
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copy(file, folder)
    return folder


def refusal(room: Room, name: str) -> str:
    with pytest.raises(ContainerError) as caught:
        room.do(room.pull(name))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def moved(room: Room, busybox: str, registry: Registry) -> None:
    """Push an image to a registry, and pull it from there into another store."""
    room.do(room.pull(busybox))
    room.images.tag(busybox, f"{registry.address}/moved", "latest")
    room.do(room.push(f"{registry.address}/moved", "latest"))
    other = Room(room.root.with_name("other-root"))
    try:
        other.do(other.pull(registry.name("moved")))
        assert other.store.list()[0].id == room.store.resolve(busybox).id
    finally:
        other.close()


def test_an_image_goes_through_a_registry_whose_authority_is_trusted(
    room: Room, busybox: str, certs: Path, authority: Authority, serve: Serve
) -> None:
    registry = serve()
    trust(certs, registry, authority.certificate)
    moved(room, busybox, registry)


def test_a_registry_that_asks_who_its_client_is_gets_its_certificate(
    room: Room, busybox: str, certs: Path, authority: Authority, serve: Serve
) -> None:
    registry = serve(f", clientcas: [{authority.certificate}]")
    trust(certs, registry, authority.certificate)
    message = refusal(room, registry.name("x"))
    assert "TLS failed" in message
    assert f"put client.cert and client.key into /etc/docker/certs.d/{registry.address}" in message
    trust(certs, registry, *authority.sign("client"))
    moved(room, busybox, registry)


# security: fails where every adapter of `client._session` shows the client's certificate.
def test_nobody_but_the_registry_is_shown_the_client_s_certificate(
    certs: Path, authority: Authority
) -> None:
    with scripted_registry(authority) as server, scripted_registry(authority) as other:
        folder = certs / server.address
        folder.mkdir(parents=True)
        for file in (authority.certificate, *authority.sign("client")):
            shutil.copy(file, folder)
        server.on("/v2/x/", Answer(b"", 307, {"Location": f"{other.url}/there"}))
        other.on("/there", Answer(b"content"))
        with Client(server.address) as registry:
            assert registry.read(Call("GET", "x/blobs/1", ""), 100)[0] == b"content"
    assert [seen.certified for seen in (*server.requests, *other.requests)] == [True, False]


def test_another_authority_s_certificate_is_not_accepted(
    room: Room, certs: Path, tmp_path: Path, serve: Serve
) -> None:
    registry = serve()
    trust(certs, registry, Authority(tmp_path / "other").certificate)
    message = refusal(room, registry.name("x"))
    assert f"cannot reach the registry {registry.address}: its TLS certificate" in message
    assert f"certificate into /etc/docker/certs.d/{registry.address}/ca.crt" in message


def test_a_registry_here_whose_authority_is_unknown_says_where_its_certificate_goes(
    room: Room, certs: Path, serve: Serve
) -> None:
    registry = serve()
    message = refusal(room, registry.name("x"))
    assert f"the registry {registry.address} speaks TLS" in message
    assert f"/etc/docker/certs.d/{registry.address}/ca.crt" in message


def test_files_that_cannot_be_used_are_named(
    room: Room, certs: Path, authority: Authority, serve: Serve
) -> None:
    registry = serve()
    certificate, key = authority.sign("client")
    folder = trust(certs, registry, certificate)
    assert f"{folder}/client.cert has no key" in refusal(room, registry.name("x"))
    (folder / "client.key").write_text("none")
    assert f"{folder}/client.cert cannot be used for TLS" in refusal(room, registry.name("x"))
    shutil.copy(key, folder)
    (folder / "ca.crt").write_text("none")
    assert f"{folder}/ca.crt cannot be used for TLS" in refusal(room, registry.name("x"))
