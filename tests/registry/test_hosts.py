"""Which server a domain means, and where a registry may send this client."""

from pathlib import Path

import pytest

from ipycontainer_runtime.engine import registries
from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.registry.hosts import (
    endpoint,
    is_kin,
    is_loopback,
    may_follow,
    mirror_domain,
)


@pytest.mark.parametrize(
    ("domain", "base"),
    [
        ("docker.io", "https://registry-1.docker.io"),
        ("quay.io", "https://quay.io"),
        ("registry.example.com:5000", "https://registry.example.com:5000"),
        ("10.0.0.7:5000", "https://10.0.0.7:5000"),
        ("localhost:5000", "http://localhost:5000"),
        ("127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("127.9.8.7", "http://127.9.8.7"),
        ("[::1]:5000", "http://[::1]:5000"),
    ],
)
def test_only_a_registry_on_this_machine_is_spoken_to_in_plain_http(domain: str, base: str) -> None:
    assert endpoint(domain).base == base


def test_a_registry_here_with_certificates_speaks_tls_and_stays_with_it() -> None:
    here = endpoint("localhost:5000", certified=True)
    assert here.base == "https://localhost:5000"
    assert may_follow(here, "https://127.0.0.1:5001/token") is None
    assert may_follow(here, "http://127.0.0.1:5001/token") == "it is http where https is required"


@pytest.mark.parametrize("domain", ["", "user@host", "host/path", "host:port", "[::1"])
def test_what_is_no_host_is_refused_by_name(domain: str) -> None:
    with pytest.raises(InvalidParameter, match="is not a registry"):
        endpoint(domain)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "127.255.0.1", "::1", "LOCALHOST."])
def test_loopback(name: str) -> None:
    assert is_loopback(name)


@pytest.mark.parametrize(
    "name", ["localhost.example.com", "128.0.0.1", "::2", "127.0.0.1.example.com", "0177.0.0.1"]
)
def test_not_loopback(name: str) -> None:
    assert not is_loopback(name)


@pytest.mark.parametrize(
    "url",
    [
        "http://cdn.example.com/blob",
        "https://169.254.169.254/latest/meta-data",
        "https://[fe80::1]/x",
        "https://127.0.0.1/x",
        "https://localhost/x",
        "https://0.0.0.0/x",
        "https://user@cdn.example.com/x",
        "ftp://cdn.example.com/x",
        "//cdn.example.com/x",
        "file:///etc/passwd",
        "https://[broken",
        "https://cdn.example.com:99999/x",
        "https://[::ffff:169.254.169.254]/x",
        "https://2852039166/x",
        "https://0251.0376.0251.0376/x",
        "https://0x7f.1/x",
        "https://%31%36%39.254.169.254/x",
        "https://%6cocalhost/x",
        "https://\N{FULLWIDTH DIGIT ONE}27.0.0.1/x",
        "",
    ],
)
def test_a_remote_registry_may_not_send_us_there(url: str) -> None:
    assert may_follow(endpoint("registry.example.com"), url)


def test_a_remote_registry_may_name_any_host_over_https() -> None:
    assert may_follow(endpoint("docker.io"), "https://cdn.example.com/blob?sig=1") is None


def test_a_registry_on_this_machine_may_name_this_machine() -> None:
    assert may_follow(endpoint("localhost:5000"), "http://127.0.0.1:6000/x") is None
    assert may_follow(endpoint("localhost:5000"), "http://10.0.0.1/x")
    assert may_follow(endpoint("localhost:5000"), "http://169.254.169.254/x")


@pytest.mark.parametrize(
    ("domain", "realm"),
    [
        ("docker.io", "auth.docker.io"),
        ("registry.gitlab.com", "gitlab.com"),
        ("ghcr.io", "ghcr.io"),
        ("ghcr.io", "auth.ghcr.io"),
        ("127.0.0.1:5000", "127.0.0.1"),
        ("registry.shop.co.uk", "auth.shop.co.uk"),
        ("alice.azurecr.io", "alice.azurecr.io"),
    ],
)
def test_a_token_service_of_the_same_domain_is_kin(domain: str, realm: str) -> None:
    assert is_kin(endpoint(domain), realm)


@pytest.mark.parametrize(
    ("domain", "realm"),
    [
        ("docker.io", "docker.io.example.com"),
        ("docker.io", "example.com"),
        ("ghcr.io", "quay.io"),
        ("registry.gitlab.com", "evilgitlab.com"),
        ("10.0.0.1:5000", "10.0.0.2"),
        ("10.0.0.1", "0.0.1"),
        ("127.0.0.1:5000", "localhost"),
        ("alice.azurecr.io", "evil.azurecr.io"),
        ("eu.gcr.io", "evil.gcr.io"),
        ("1.dkr.ecr.us-east-1.amazonaws.com", "2.dkr.ecr.us-east-1.amazonaws.com"),
        ("shop.co.uk", "evil.co.uk"),
    ],
)
def test_another_domain_is_not_kin(domain: str, realm: str) -> None:
    assert not is_kin(endpoint(domain), realm)


def test_a_password_in_a_mirror_s_url_is_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "https://me:s3cret@mirror.example"
    with pytest.raises(InvalidParameter, match=r"https://mirror\.example") as caught:
        mirror_domain(url)
    monkeypatch.setenv("IPYCONTAINER_CONFIG", str(tmp_path / "engine.json"))
    (tmp_path / "engine.json").write_text(f'{{"registry-mirrors": ["{url}"]}}')
    told, _ = registries.described()
    assert told["Mirrors"] == ["https://mirror.example/"]
    assert "s3cret" not in f"{caught.value} {told}"
