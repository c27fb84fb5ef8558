"""The lock of a capture is a `pylock.toml`, and what pip can install again.

The packaging library checks those where every package has a source: it knows no package of which
only the version is known, as an installation from an index leaves it.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from captureroom import Environment, capture, run, sha256, wheel
from packaging.markers import Marker
from packaging.pylock import Pylock

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from ipycontainer_runtime.capture.distributions import normalized
from support.engines import Engine

pytestmark = pytest.mark.needs("root")


def read(text: str) -> Pylock:
    """Read a lock as the packaging library does, which checks it against the specification."""
    return Pylock.from_dict(tomllib.loads(text))


def test_it_names_every_distribution_of_this_environment(engine: Engine) -> None:
    lock = tomllib.loads(capture(engine, "nothing", dryrun=1)["Lock"])
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "list", "--format", "json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    there = {normalized(entry["name"]) for entry in json.loads(listed.stdout)}
    assert {package["name"] for package in lock["packages"]} == there
    assert Marker(lock["environments"][0]).evaluate()
    assert lock["lock-version"] == "1.0"


def test_label_and_file_of_an_image_are_the_lock_that_was_told(
    engine: Engine, environment: Environment, tmp_path: Path
) -> None:
    environment.install(wheel(tmp_path, "locked", "1.5"))
    told = capture(engine, "locked", environment.python)
    labels = engine.client.images.get("locked").labels
    assert labels["io.ipycontainer.capture.lock"] == told["Lock"]
    inside = run(engine, "locked", "cat", "/usr/share/ipycontainer/pylock.toml")
    assert inside == told["Lock"].strip()
    record = environment.site / "locked-1.5.dist-info/RECORD"
    (package,) = read(told["Lock"]).packages
    assert package.tool is not None
    assert package.tool["ipycontainer"]["record-sha256"] == sha256(record)
    assert package.tool["ipycontainer"]["tags"] == ["py3-none-any"]
    assert str(package.version) == "1.5"


def test_what_came_from_a_file_has_its_hash_and_can_be_installed_by_it(
    engine: Engine, environment: Environment, tmp_path: Path
) -> None:
    made = wheel(tmp_path, "hashed")
    environment.install(made)
    told = capture(engine, "hashed", environment.python)
    (package,) = read(told["Lock"]).packages
    assert package.archive is not None
    assert package.archive.hashes == {"sha256": sha256(made)}
    wanted = tmp_path / "requirements.txt"
    text = run(engine, "hashed", "cat", "/usr/share/ipycontainer/requirements.txt")
    wanted.write_text(text)
    other = Environment(tmp_path / "other")
    other.pip("install", "--no-index", "--require-hashes", "--requirement", wanted)
    assert (other.site / "hashed.py").exists()


def test_folders_and_repositories_are_said_as_such(
    engine: Engine, environment: Environment, tmp_path: Path
) -> None:
    environment.install(wheel(tmp_path, "living"), wheel(tmp_path, "cloned"))
    for name, said in (
        ("living", {"url": "file:///srv/living", "dir_info": {"editable": True}}),
        (
            "cloned",
            {
                "url": "https://git.example/cloned.git",
                "vcs_info": {"vcs": "git", "commit_id": "a" * 40, "requested_revision": "main"},
            },
        ),
    ):
        info = environment.site / f"{name}-1.0.dist-info/direct_url.json"
        info.write_text(json.dumps(said))
    told = capture(engine, "sources", environment.python, dryrun=1)
    cloned, living = read(told["Lock"]).packages
    assert living.directory is not None
    assert (living.directory.path, living.directory.editable) == ("/srv/living", True)
    assert cloned.vcs is not None
    assert (cloned.vcs.commit_id, cloned.vcs.requested_revision) == ("a" * 40, "main")
    # The specification wants no version for what is installed from a tree of sources.
    assert living.version is None


def test_what_has_no_record_is_there_too(
    engine: Engine, environment: Environment, tmp_path: Path
) -> None:
    # As Debian's packages are, and what conda installs beside Python.
    info = environment.site / "Older_Thing-3.1.egg-info"
    info.mkdir()
    (info / "PKG-INFO").write_text("Metadata-Version: 1.1\nName: Older.Thing\nVersion: 3.1\n")
    (info / "top_level.txt").write_text("older\n")
    (environment.site / "older").mkdir()
    (environment.site / "older/__init__.py").write_text("")
    environment.install(wheel(tmp_path, "usesthing"))
    (python,) = environment.site.glob("usesthing-*.dist-info")
    (python / "INSTALLER").write_text("conda\n")
    meta = environment.folder / "conda-meta"
    meta.mkdir()
    (environment.folder / "lib/libthing.so.1").write_text("library")
    package = {
        "name": "libthing", "version": "1.0", "sha256": "b" * 64,
        "url": "https://conda.example/t/tk-planted/libthing-1.0.conda",
        "files": ["lib/libthing.so.1", "../outside"],
    }  # fmt: skip
    (meta / "libthing-1.0.json").write_text(json.dumps(package))
    known = str((python / "METADATA").relative_to(environment.folder))
    both = {"name": "usesthing", "version": "1.0", "url": "https://conda.example/usesthing.conda"}
    (meta / "usesthing-1.0.json").write_text(json.dumps({**both, "files": [known]}))
    told = capture(engine, "older", environment.python)
    lock = tomllib.loads(told["Lock"])
    assert [(p["name"], p["version"]) for p in lock["packages"]] == [("older-thing", "3.1")]
    assert lock["tool"]["ipycontainer"]["conda"] == [
        f"https://conda.example/libthing-1.0.conda#sha256:{'b' * 64}",
        "https://conda.example/usesthing.conda",
    ]
    script = f"import older, os; print(os.path.exists('{environment.folder}/lib/libthing.so.1'))"
    assert run(engine, "older", "python", "-c", script) == "True"
    titles = " ".join(layer["Title"] for layer in told["Layers"])
    assert "older-thing 3.1" in titles
    assert "conda:libthing 1.0" in titles


def test_metadata_that_is_not_utf_8_is_no_hindrance(
    engine: Engine, environment: Environment, tmp_path: Path
) -> None:
    environment.install(wheel(tmp_path, "latin"))
    info = environment.site / "latin-1.0.dist-info"
    (info / "METADATA").write_bytes(b"Name: latin\nVersion: 1.0\nRequires-Python: >=3 \xe9\n")
    (info / "INSTALLER").write_bytes(b"p\xefp\n")
    told = capture(engine, "latin", environment.python, dryrun=1)
    assert "p\ufffdp" in told["Lock"]
