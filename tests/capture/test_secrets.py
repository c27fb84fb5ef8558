"""What a look at one file finds, and what it does not take for a secret."""

import json
from pathlib import Path

import pytest

from ipycontainer_runtime.capture import secrets
from ipycontainer_runtime.capture.distributions import without_credentials

KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\n-----END PRIVATE KEY-----\n"


def look(folder: Path, name: str, content: str) -> str:
    (folder / name).write_text(content)
    return secrets.found(str(folder / name))


def test_a_key_within_a_string_is_one(tmp_path: Path) -> None:
    # So a cloud's service account comes, under whatever name the person gave the file.
    account = json.dumps({"type": "service_account", "private_key": KEY}, indent=1)
    assert look(tmp_path, "project-1234.json", account) == "it holds a private key (line 3)"
    assert look(tmp_path, "keys.py", f"KEY = {KEY!r}\n") == "it holds a private key (line 1)"


@pytest.mark.parametrize("length", [(1 << 20) - 20, 1 << 20, 5 << 20])
def test_a_secret_far_down_in_a_notebook_is_found(tmp_path: Path, length: int) -> None:
    shown = "x" * (length - 1) + "\n"
    told = look(tmp_path, "work.ipynb", f"{shown}token = 'ghp_{'a1' * 18}'\n")
    assert told == "it holds a GitHub token (line 2)"


@pytest.mark.parametrize(
    "text",
    [
        *(f"AKIA{'A1' * 8}", f"github_pat_{'a' * 40}", f"glpat-{'a' * 20}"),
        *(f"xoxb-{'1' * 20}", f"sk-{'a' * 32}", f"hf_{'a' * 30}"),
    ],
)
def test_a_token_is_one_unless_it_is_the_end_of_a_word(tmp_path: Path, text: str) -> None:
    assert look(tmp_path, "at-the-begin.txt", text).startswith("it holds a")
    assert look(tmp_path, "quoted.txt", f"x = '{text}'").startswith("it holds a")
    assert look(tmp_path, "word.txt", f"mask{text}") == ""


def test_code_that_looks_for_keys_is_none(tmp_path: Path) -> None:
    assert look(tmp_path, "look.py", 'if line == "-----BEGIN PRIVATE KEY-----":\n') == ""


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://me:s3cret@host/x.whl", "https://host/x.whl"),
        ("https://me:p@s3cret@host/x.whl", "https://host/x.whl"),
        ("https://host/x.whl?token=s3cret", "https://host/x.whl?token="),
        (
            "https://host/x.whl?X-Amz-Date=1&X-Amz-Signature=s3cret#sha256=ab",
            "https://host/x.whl?X-Amz-Date=1&X-Amz-Signature=#sha256=ab",
        ),
        ("https://host/x.whl?sv=2&sig=s3cret%3D&se=3", "https://host/x.whl?sv=2&sig=&se=3"),
        ("https://host/t/tk-s3cret/linux-64/x.conda", "https://host/linux-64/x.conda"),
        ("https://${NAME}:${WORD}@host/x", "https://${NAME}:${WORD}@host/x"),
        ("git+ssh://git@host/x.git@main", "git+ssh://git@host/x.git@main"),
        ("https://host/x?design=1&version=2", "https://host/x?design=1&version=2"),
    ],
)
def test_no_credentials_stay_in_a_url(url: str, told: str) -> None:
    assert without_credentials(url) == told
    assert without_credentials(json.dumps({"url": url})) == json.dumps({"url": told})
