"""No secret is taken along, wherever it lies: planted ones are looked for in every byte."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from captureroom import Environment, capture, messages, paths, run, wheel

from support import leftovers
from support.engines import Engine

pytestmark = pytest.mark.needs("root")

SECRET = "planted-8f1c2d"
KEY = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{SECRET}\n-----END OPENSSH PRIVATE KEY-----\n"


def holds(engine: Engine, told: dict[str, Any], text: str = SECRET) -> bool:
    """Tell whether the image's config or any layer has this text."""
    config = json.dumps(engine.client.images.get(told["ID"]).attrs)
    blobs = engine.paths.root / "images/blobs/sha256"
    layers = (layer["Digest"].removeprefix("sha256:") for layer in told["Layers"])
    found = (text.encode() in gzip.decompress((blobs / name).read_bytes()) for name in layers)
    return text in config or any(found)


def test_no_secret_in_or_beside_an_environment_is_taken(
    engine: Engine, environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Off when Tree.add_folder follows symlinks, when all of the prefix is taken, or when what no
    # installer wrote down is taken without a look.
    monkeypatch.setenv("PLANTED", SECRET)
    folder, site = environment.folder, environment.site
    (folder / "pip.conf").write_text(f"[global]\nindex-url = https://user:{SECRET}@example.com\n")
    (folder / ".env").write_text(SECRET)
    (folder / "bin/deploy").write_text(f"#!/bin/sh\nexport TOKEN={SECRET}\n")
    (site / ".env").write_text(SECRET)
    (site / "own_key.txt").write_text(KEY)
    (site / "extra.pth").write_text(f"# https://user:{SECRET}@example.com/simple\n")
    (site / ".git").mkdir()
    (site / ".git/config").write_text(SECRET)
    (tmp_path / "home").mkdir()
    (tmp_path / "home/id_rsa").write_text(SECRET)
    (site / "linked").symlink_to(tmp_path / "home")
    told = capture(engine, "clean", environment.python)
    assert not holds(engine, told)
    left = "\n".join(told["Left"])
    assert f"{site}/own_key.txt: it holds a private key (line 1)" in left
    assert f"{site}/.env: its name is that of a file with secrets" in left
    assert f"{site}/extra.pth: it holds a URL with a password (line 1)" in left


def test_a_record_names_no_file_outside_the_environment_s_own_folders(
    engine: Engine, environment: Environment, tmp_path: Path
) -> None:
    # Off where a RECORD may name any path, or any below the prefix.
    environment.install(wheel(tmp_path, "sly"))
    (tmp_path / "outside").write_text(SECRET)
    (environment.folder / "notes").write_text(SECRET)
    record = environment.site / "sly-1.0.dist-info/RECORD"
    with record.open("a") as file:
        file.write("../../../../outside,,\n../../../notes,,\n/etc/shadow,,\n")
        file.write(f"{tmp_path}/outside,,\n")
    told = capture(engine, "sly", environment.python)
    assert not holds(engine, told)
    assert "/etc/shadow" not in paths(engine, told)


def test_credentials_in_the_url_of_an_installation_are_not_taken(
    engine: Engine, environment: Environment, tmp_path: Path
) -> None:
    environment.install(wheel(tmp_path, "direct"))
    url = f"https://user:{SECRET}@example.com/direct-1.0-py3-none-any.whl"
    said = {"url": url, "archive_info": {"hashes": {"sha256": "0" * 64}}}
    (environment.site / "direct-1.0.dist-info/direct_url.json").write_text(json.dumps(said))
    told = capture(engine, "direct", environment.python)
    assert not holds(engine, told)
    assert "https://example.com/direct-1.0-py3-none-any.whl" in told["Lock"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A person's project with what no image should have."""
    folder = tmp_path / "project"
    (folder / ".git").mkdir(parents=True)
    (folder / ".git/HEAD").write_text("ref: refs/heads/main\n")
    (folder / "main.py").write_text("print('my own code')\n")
    (folder / "data").mkdir()
    (folder / "data/big.csv").write_text("1,2\n")
    (folder / "data/small.csv").write_text("3,4\n")
    (folder / ".dockerignore").write_text("data/*\n!data/small.csv\n")
    (folder / ".env").write_text(f"PASSWORD={SECRET}\n")
    (folder / "deploy.pem").write_text(KEY)
    (folder / "upload.py").write_text(f"TOKEN = 'ghp_{'a1' * 18}'  # {SECRET}\n")
    (folder / "requirements.txt").write_text(f"--index-url https://me:{SECRET}@example.com/\n")
    return folder


def test_own_code_is_taken_when_asked_and_without_its_secrets(
    engine: Engine, environment: Environment, project: Path
) -> None:
    told = capture(engine, "code", environment.python, code=str(project))
    assert not holds(engine, told)
    taken = {p for p in paths(engine, told) if p.startswith(f"{project}/")}
    relative = {path.removeprefix(f"{project}/") for path in taken}
    assert relative == {"main.py", ".dockerignore", "data", "data/small.csv"}
    assert len(told["Left"]) == 4
    assert "upload.py: it holds a GitHub token (line 1)" in "\n".join(told["Left"])
    # The project is the folder where its commands run.
    assert run(engine, "code", "python", "main.py") == "my own code"


def test_own_code_can_be_put_elsewhere(
    engine: Engine, environment: Environment, project: Path
) -> None:
    told = capture(engine, "moved", environment.python, code=f"{project}:/app")
    assert "/app/main.py" in paths(engine, told)
    assert f"{project}/main.py" not in paths(engine, told)
    assert run(engine, "moved", "python", "main.py") == "my own code"


@pytest.mark.parametrize("code", ["/", "/etc", "relative", "/nowhere/at/all", "~"])
def test_code_that_is_no_project_is_refused(
    engine: Engine, environment: Environment, code: str
) -> None:
    asked = str(Path.home()) if code == "~" else code
    (message,) = messages(engine, "no", environment.python, code=asked)[-1:]
    assert asked in str(message.get("error") or message["message"])


def test_a_dockerignore_without_end_is_refused(
    engine: Engine, environment: Environment, tmp_path: Path
) -> None:
    # capturing._ignored: `MAX_SIZE`
    with (tmp_path / ".dockerignore").open("wb") as file:
        file.truncate(1 << 30)  # a hole
    before = leftovers.memory(engine.pid)
    (message,) = messages(engine, "no", environment.python, code=str(tmp_path))[-1:]
    told = str(message.get("error") or message["message"])
    assert "dockerignore has more than 1048576 characters" in told
    assert leftovers.memory(engine.pid, most=True) - before < 512 << 20


def test_no_link_leads_to_a_home(engine: Engine, environment: Environment, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(Path.home())
    (message,) = messages(engine, "no", environment.python, code=str(tmp_path / "link"))[-1:]
    assert "is no project" in str(message.get("error") or message["message"])


def test_a_file_with_a_secret_is_refused_when_it_is_asked_for_by_name(
    engine: Engine, environment: Environment, project: Path
) -> None:
    asked = messages(engine, "no", environment.python, code=str(project / ".env"))
    assert "is not taken" in str(asked[-1]["error"])


def test_an_editable_project_is_named_and_taken_when_asked(
    engine: Engine, environment: Environment, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "living.py").write_text("HERE = True\n")
    environment.install(wheel(tmp_path, "stub"))
    info = environment.site / "stub-1.0.dist-info"
    said = {"url": f"file://{source}", "dir_info": {"editable": True}}
    (info / "direct_url.json").write_text(json.dumps(said))
    (environment.site / "stub.pth").write_text(f"{source}\n")
    told = capture(engine, "editable", environment.python)
    assert told["Left"] == [
        f"stub 1.0 runs from {source}, which is not in the image: --code {source}"
    ]
    told = capture(engine, "editable", environment.python, code=str(source))
    assert not told["Left"]
    assert run(engine, "editable", "python", "-c", "import living; print(living.HERE)") == "True"
