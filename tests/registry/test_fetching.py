"""What is fetched from a URL that a person gave, and which logins go along."""

import base64
from pathlib import Path

import pytest

from ipycontainer_runtime.errors import NotFound, Unavailable
from ipycontainer_runtime.registry.download import fetching
from support.scripted import Answer, Scripted, scripted_registry


def fetch(url: str) -> bytes:
    with fetching(url) as fetched:
        return b"".join(fetched.chunks)


def test_a_netrc_file_is_not_read_before_nor_after_a_redirect(
    server: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password s3cret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server.on("/there", Answer(b"content"))
    server.on("/here", Answer(b"", 302, {"Location": "/there"}))
    assert fetch(f"{server.url}/here") == b"content"
    assert [seen.headers.get("Authorization") for seen in server.requests] == [None, None]


def test_a_login_in_the_url_goes_to_that_server_alone_and_into_no_message(
    server: Scripted,
) -> None:
    with scripted_registry() as other:
        server.on("/here", Answer(b"", 302, {"Location": f"{other.url}/gone"}))
        with pytest.raises(NotFound) as caught:
            fetch(f"http://me:s3cret@{server.address}/here")
        assert "s3cret" not in str(caught.value)
        [first], [second] = server.requests, other.requests
    wanted = base64.b64encode(b"me:s3cret").decode()
    assert first.headers["Authorization"] == f"Basic {wanted}"
    assert "Authorization" not in second.headers


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://nobody.invalid/x", "http://nobody.invalid/x: [A-Z][a-z ]+$"),
        ("http://127.0.0.1:1/x", "http://127.0.0.1:1/x: Connection refused$"),
    ],
)
def test_what_is_out_of_reach_is_told_in_the_system_s_words(url: str, said: str) -> None:
    with pytest.raises(Unavailable, match=said), fetching(url):
        pass
