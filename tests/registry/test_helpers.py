"""Credential helpers: what they keep is found, and those that are broken or hostile do no harm."""

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipycontainer_runtime.credentials.helpers import LIMIT, Helper
from ipycontainer_runtime.credentials.login import Login
from ipycontainer_runtime.credentials.logins import Logins
from ipycontainer_runtime.errors import InvalidParameter, Unavailable
from support.needs import require

SECRET = "s3cret-of-mine"

KEEPING = """
import json, os, sys
path = os.environ["KEPT"]
kept = json.load(open(path)) if os.path.exists(path) else {}
verb, told = sys.argv[1], sys.stdin.read()
if verb == "store":
    told = json.loads(told); kept[told["ServerURL"]] = [told["Username"], told["Secret"]]
elif verb == "get":
    if told not in kept:
        print("credentials not found in native keychain"); sys.exit(1)
    print(json.dumps({"ServerURL": told, "Username": kept[told][0], "Secret": kept[told][1]}))
elif verb == "erase":
    kept.pop(told, None)
elif verb == "list":
    print(json.dumps({server: pair[0] for server, pair in kept.items()}))
json.dump(kept, open(path, "w"))
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on PATH; the helper `own` keeps what it is told in a file."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("KEPT", str(tmp_path / "kept.json"))
    helper(folder, "own", KEEPING)
    return folder


def helper(folder: Path, name: str, source: str) -> None:
    path = folder / f"docker-credential-{name}"
    path.write_text(f"#!{sys.executable}\n{source}")
    path.chmod(0o755)


def config(folder: Path, **content: object) -> Logins:
    path = folder / "config.json"
    path.write_text(json.dumps(content))
    return Logins(path)


def test_what_a_helper_is_given_it_gives_back(programs: Path) -> None:
    own = Helper("own")
    assert own.get("host:5000") is None
    own.store("https://host:5000/v2/", Login("me", SECRET))
    found = own.get("host:5000")
    assert found == Login("me", SECRET)
    assert found.source == "docker-credential-own"
    own.store("docker.io", Login("me", identity_token=SECRET))
    assert own.get("index.docker.io") == Login(identity_token=SECRET)
    assert sorted(own.servers()) == ["host:5000", "https://index.docker.io/v1/"]
    own.erase("host:5000")
    assert own.get("host:5000") is None


def test_a_store_keeps_logins_and_the_file_only_names_them(programs: Path, tmp_path: Path) -> None:
    logins = config(tmp_path, credsStore="own", HttpHeaders={"X": "1"})
    assert logins.keep("host", Login("me", SECRET)) == "docker-credential-own"
    written = json.loads(logins.path.read_text())
    assert written == {"credsStore": "own", "HttpHeaders": {"X": "1"}, "auths": {"host": {}}}
    assert logins.header("host") == {
        "username": "me",
        "password": SECRET,
        "serveraddress": "host",
    }
    assert logins.forget("host")
    assert logins.lookup("host") is None
    assert not logins.forget("host")


def test_a_helper_of_one_registry_comes_before_the_store(programs: Path, tmp_path: Path) -> None:
    logins = config(tmp_path, credsStore="absent", credHelpers={"gcr.io": "own"})
    logins.keep("gcr.io", Login("me", SECRET))
    assert logins.lookup("gcr.io") == Login("me", SECRET)
    with pytest.raises(Unavailable, match="docker-credential-absent is not on PATH"):
        logins.lookup("elsewhere")


def test_a_build_is_sent_every_login(programs: Path, tmp_path: Path) -> None:
    logins = config(tmp_path, credsStore="own", auths={"host": {}})
    logins.keep("host", Login("me", SECRET))
    logins.keep("docker.io", Login("you", "other"))
    sent = json.loads(base64.urlsafe_b64decode(logins.config_header(pytest.fail)))
    assert {server: entry["username"] for server, entry in sent.items()} == {
        "host": "me",
        "https://index.docker.io/v1/": "you",
    }


def test_a_helper_that_fails_costs_a_build_that_helpers_login_alone(
    programs: Path, tmp_path: Path
) -> None:
    helper(programs, "broken", "sys.exit(1)")
    logins = config(
        tmp_path,
        auths={"host": {"auth": base64.b64encode(b"me:word").decode()}},
        credHelpers={"gcr.io": "broken", "other": "absent"},
    )
    warned: list[str] = []
    sent = json.loads(base64.urlsafe_b64decode(logins.config_header(warned.append)))
    assert list(sent) == ["host"]
    assert [told.partition(":")[0] for told in warned] == [
        "built without the login to gcr.io",
        "built without the login to other",
    ]


# security: fails without `_NAME` in Helper.
@pytest.mark.parametrize(
    "name", ["../../x", "/bin/sh", "a/b", "", ".", "a\nb", "own;id", "$(id)", "-x", "x" * 100]
)
def test_a_helper_whose_name_is_no_name_is_not_run(
    programs: Path, tmp_path: Path, name: str
) -> None:
    (programs / "docker-credential-..").mkdir()
    helper(tmp_path, "x", "open('ran', 'w')")
    os.rename(tmp_path / "docker-credential-x", tmp_path / "x")
    logins = config(tmp_path, credsStore=name, credHelpers={"host": name})
    if not name:  # what Docker writes for "no helper"
        assert logins.lookup("host") is None
        return
    with pytest.raises(InvalidParameter, match="no name of a credential helper"):
        logins.lookup("host")


# security: fails without the deadline in Helper._answer.
@pytest.mark.parametrize(
    "source",
    [
        "import time; time.sleep(60)",
        "import os, time; os.close(1); time.sleep(60)",
        "import subprocess; subprocess.run(['sleep', '60'])",
        "import sys, time; sys.stdin.close(); print('{', flush=True); time.sleep(60)",
    ],
)
def test_a_helper_that_hangs_is_ended(programs: Path, source: str) -> None:
    helper(programs, "hangs", source)
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"docker-credential-hangs \(get\) did not end within"):
        Helper("hangs", seconds=0.3).get("host")
    assert time.monotonic() - began < 20
    assert not subprocess.run(["pgrep", "-f", programs], capture_output=True, check=False).stdout


# security: fails without `len(answer) > LIMIT` in Helper._answer.
def test_a_helper_that_never_stops_talking_is_ended(programs: Path) -> None:
    helper(programs, "talks", "while True: print('x' * 65536)")
    with pytest.raises(Unavailable, match=f"says more than {LIMIT} bytes"):
        Helper("talks").get("host")


@pytest.mark.parametrize("said", ["", "[]", "{", '{"Username": 3}', "[" * 10000])
def test_an_answer_that_is_none_is_refused_and_not_quoted(programs: Path, said: str) -> None:
    helper(programs, "odd", f"import sys; sys.stdout.write({said!r} + ' ')")
    with pytest.raises(Unavailable, match="does not answer in JSON") as caught:
        Helper("odd").get("host")
    assert caught.value.__cause__ is None


def test_a_helper_that_fails_is_named_with_its_words_but_no_secret(programs: Path) -> None:
    helper(
        programs,
        "fails",
        "import sys, json; print('cannot keep', json.load(sys.stdin)['Secret'], '\\x1b[31m');"
        " sys.exit(3)",
    )
    with pytest.raises(Unavailable) as caught:
        Helper("fails").store("host", Login("me", SECRET))
    assert "docker-credential-fails (store) ended with code 3: cannot keep …" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.fixture
def passwords(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The program `pass`, with a key of its own that asks for no passphrase."""
    require("pass")
    # gpg's sockets are in its folder, and their names may have no more than 107 characters.
    home = Path(f"/tmp/ipyc-g{os.getpid()}")
    home.mkdir(mode=0o700)
    monkeypatch.setenv("GNUPGHOME", str(home))
    monkeypatch.setenv("PASSWORD_STORE_DIR", str(tmp_path / "store"))
    key = ["gpg", "--batch", "--passphrase", "", "--quick-gen-key", "nobody@example.invalid"]
    try:
        subprocess.run(key, check=True, capture_output=True)
        subprocess.run(["pass", "init", "nobody@example.invalid"], check=True, capture_output=True)
        yield
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], capture_output=True, check=False)
        subprocess.run(["rm", "-rf", home], check=True)


def test_the_helper_of_pass_keeps_a_login(passwords: None, tmp_path: Path) -> None:
    logins = config(tmp_path, credsStore="pass")
    logins.keep("127.0.0.1:5000", Login("me", SECRET))
    assert SECRET not in logins.path.read_text()
    assert logins.lookup("127.0.0.1:5000") == Login("me", SECRET)
    assert Helper("pass").servers() == ["127.0.0.1:5000"]
    assert logins.forget("127.0.0.1:5000")
    assert logins.lookup("127.0.0.1:5000") is None
