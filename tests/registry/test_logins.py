"""Logins in Docker's config.json: kept as Docker keeps them, and by Docker's command found."""

import base64
import json
import os
import tempfile
import threading
from pathlib import Path

import pytest

from ipycontainer_runtime.credentials.login import Login
from ipycontainer_runtime.credentials.logins import Logins
from ipycontainer_runtime.errors import InvalidParameter, Unavailable

SECRET = "s3cret"


def read(path: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(path.read_text())
    return found


def test_a_login_is_kept_as_docker_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "config.json"
    logins = Logins(path)
    assert logins.keep("https://host:5000/v2/", Login("me", SECRET)) == str(path)
    logins.keep("docker.io", Login("me", SECRET, identity_token="t"))
    assert read(path) == {
        "auths": {
            "host:5000": {"auth": base64.b64encode(b"me:s3cret").decode()},
            "https://index.docker.io/v1/": {
                "auth": base64.b64encode(b"me:").decode(),
                "identitytoken": "t",
            },
        }
    }
    assert logins.lookup("host:5000") == Login("me", SECRET)
    assert logins.header("docker.io")["identitytoken"] == "t"


# security: fails with another mode than mkstemp's in config._replace.
def test_only_its_owner_reads_the_file(tmp_path: Path) -> None:
    path = tmp_path / "docker" / "config.json"
    Logins(path).keep("host", Login("me", SECRET))
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    path.chmod(0o644)
    Logins(path).keep("host", Login("me", SECRET))
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_else_is_in_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    other = {
        "proxies": {"default": {"httpProxy": "http://p:1"}},
        "auths": {"a": {"auth": "eDp5", "email": "x@y"}, "https://b/v1/": {"auth": "eDp5"}},
        "detachKeys": "ctrl-e",
    }
    path.write_text(json.dumps(other))
    Logins(path).keep("b", Login("me", SECRET))
    Logins(path).forget("b")
    assert read(path) == {**other, "auths": {"a": {"auth": "eDp5", "email": "x@y"}}}
    assert list(read(path))[:3] == ["proxies", "auths", "detachKeys"]


def test_a_link_is_followed_and_stays(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "config.json").symlink_to("there/config.json")
    Logins(tmp_path / "config.json").keep("host", Login("me", SECRET))
    assert (tmp_path / "config.json").is_symlink()
    assert Logins(tmp_path / "there" / "config.json").lookup("host") == Login("me", SECRET)


def test_logins_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    logins = Logins(tmp_path / "config.json")
    threads = [
        threading.Thread(target=logins.keep, args=(f"host{i}", Login("me", SECRET)))
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(logins.lookup(f"host{i}") for i in range(8))
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.parametrize("content", ["{", "[]", '{"auths": {"host": {"auth": "s3cret!"}}} x'])
def test_a_broken_file_is_named_kept_and_not_quoted(tmp_path: Path, content: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(InvalidParameter, match=r"config\.json is not a Docker config") as caught:
        Logins(path).keep("host", Login("me", SECRET))
    assert path.read_text() == content
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.needs("root")
def test_a_file_that_may_not_be_read_is_not_replaced() -> None:
    # Its folder may be written, so a rename would succeed: `sudo docker login` leaves such a file.
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path = Path(folder) / "config.json"
        Logins(path).keep("host", Login("me", SECRET))
        before = path.read_bytes()
        os.chmod(folder, 0o777)
        os.seteuid(65534)
        try:
            with pytest.raises(Unavailable, match="Permission denied; make it readable"):
                Logins(path).keep("other", Login("me", SECRET))
        finally:
            os.seteuid(0)
        assert path.read_bytes() == before


def test_null_is_nothing(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"auths": null, "credHelpers": null, "credsStore": null}')
    assert Logins(path).lookup("host") is None
    Logins(path).keep("host", Login("me", SECRET))
    assert Logins(path).lookup("host") == Login("me", SECRET)


def test_where_it_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match=r"cannot write .*; make it readable and writable"):
        Logins(tmp_path / "file" / "config.json").keep("host", Login("me", SECRET))
