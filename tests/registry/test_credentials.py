"""Whose credentials are found where, and that they are not shown."""

import base64
import json
from pathlib import Path

import pytest

from ipycontainer_runtime.credentials.config import LIMIT, DockerConfig
from ipycontainer_runtime.credentials.login import Login
from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.registry.credentials import Anonymous, Given

SECRET = "s3cret"


def config(folder: Path, auths: object) -> DockerConfig:
    path = folder / "config.json"
    path.write_text(json.dumps({"auths": auths, "credsStore": "", "HttpHeaders": {}}))
    return DockerConfig(path)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def header(**fields: str) -> str:
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode()


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "docker.io", "index.docker.io"])
def test_docker_hub_is_found_under_each_of_its_names(tmp_path: Path, key: str) -> None:
    found = config(tmp_path, {key: {"auth": encoded(f"me:{SECRET}")}}).lookup("docker.io")
    assert found == Login("me", SECRET)


@pytest.mark.parametrize("key", ["host:5000", "https://host:5000", "http://host:5000/v2/"])
def test_a_host_is_found_with_or_without_its_scheme(tmp_path: Path, key: str) -> None:
    assert config(tmp_path, {key: {"auth": encoded("a:b:c")}}).lookup("host:5000") == Login(
        "a", "b:c"
    )


def test_another_port_or_host_is_another_registry(tmp_path: Path) -> None:
    credentials = config(tmp_path, {"host:5000": {"auth": encoded("a:b")}})
    for other in ("host", "host:5001", "sub.host:5000", "docker.io"):
        assert credentials.lookup(other) is None


def test_an_identity_token_is_a_login(tmp_path: Path) -> None:
    found = config(tmp_path, {"host": {"identitytoken": SECRET}}).lookup("host")
    assert found == Login(identity_token=SECRET)


def test_a_missing_file_or_an_empty_entry_is_no_login(tmp_path: Path) -> None:
    assert DockerConfig(tmp_path / "none").lookup("host") is None
    assert config(tmp_path, {"host": {}}).lookup("host") is None


@pytest.mark.parametrize("content", [b"{", b'{"auths": 3}', b" " * (LIMIT + 1)])
def test_a_broken_file_is_named_and_not_quoted(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(InvalidParameter, match=r"config\.json is not a Docker config"):
        DockerConfig(path).lookup("host")


def test_a_login_does_not_show_its_secrets() -> None:
    shown = repr(Login("me", SECRET, SECRET, SECRET))
    assert "me" in shown
    assert SECRET not in shown


def test_a_header_comes_before_the_file() -> None:
    given = Given(header(username="me", password=SECRET), Anonymous())
    assert given.lookup("host") == Login("me", SECRET)


def test_a_header_for_another_server_is_not_used() -> None:
    given = Given(header(username="me", password=SECRET, serveraddress="https://a"), Anonymous())
    assert given.lookup("a") == Login("me", SECRET)
    assert given.lookup("b") is None


@pytest.mark.parametrize("empty", [None, "", header(), header(username="", password="")])
def test_an_empty_header_leaves_it_to_the_file(tmp_path: Path, empty: str | None) -> None:
    credentials = config(tmp_path, {"host": {"auth": encoded("a:b")}})
    assert Given(empty, credentials).lookup("host") == Login("a", "b")


@pytest.mark.parametrize("broken", ["%%%", "AAAA", base64.urlsafe_b64encode(b"[]").decode()])
def test_a_broken_header_is_refused(broken: str) -> None:
    with pytest.raises(InvalidParameter, match="X-Registry-Auth"):
        Given(broken, Anonymous())
