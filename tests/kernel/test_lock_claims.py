"""A notebook's metadata is a stranger's word: what it may have, and what is a person's to give."""

import json
import warnings
from pathlib import Path
from typing import Any

import nbformat
import pytest

from ipycontainer.failures import Failure
from ipycontainer_kernel.notebooks import claims, documents

ID = "sha256:" + "a" * 64


def claim(folder: Path, *, trusted: bool = False, **asked: Any) -> claims.Claim:
    return claims.read({"image": "host", **asked}, folder, trusted=trusted)


def test_an_image_limits_and_variables_are_a_files_to_choose(tmp_path: Path) -> None:
    found = claim(
        tmp_path, digest=ID, memory="1g", cpus=1.5, network="none", env={"A": "1"}, user="1000:1000"
    )
    assert not found.refused
    settings = found.granted("x.ipynb")
    assert (settings.reference, settings.memory, settings.cpus) == (ID, "1g", 1.5)
    assert (settings.network, settings.env, settings.notebook) == ("none", {"A": "1"}, "ro")


REACHING = {
    "the machine": {"volumes": ["/:/host"]},
    "the engine's socket": {"volumes": ["/var/run/docker.sock:/var/run/docker.sock"]},
    "a folder above": {"volumes": ["../:/up:ro"]},
    "above by way of its own": {"volumes": ["./a/../..:/up:ro"]},
    "a person's volume": {"volumes": ["database:/db"]},
    "a home by its sign": {"volumes": ["~/.ssh:/keys"]},
    "writing to a folder of its own": {"volumes": ["./data:/data"]},
    "writing to its folder": {"notebook": "rw"},
    "the machine's network": {"network": "host"},
    "another container's network": {"network": "container:db"},
    "a network of a person's": {"network": "intranet"},
}


@pytest.mark.parametrize("what", REACHING)
def test_what_reaches_past_the_container_is_refused_and_named(what: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    found = claim(tmp_path, **REACHING[what])
    assert len(found.refused) == 1
    with pytest.raises(Failure, match=r"x\.ipynb asks for more .*--trust"):
        found.granted("x.ipynb")
    kept = found.settings
    assert all(text.endswith(":ro") and text.startswith(f"{tmp_path}/") for text in kept.volumes)
    assert (kept.network, kept.notebook) in {("", "ro"), ("none", "ro")}


def test_a_person_may_trust_a_notebook(tmp_path: Path) -> None:
    found = claim(
        tmp_path, trusted=True, volumes=["/opt:/opt", "./d:/d"], network="host", notebook="rw"
    )
    settings = found.granted("x.ipynb")
    assert settings.volumes == ("/opt:/opt", f"{tmp_path}/d:/d")
    assert (settings.network, settings.notebook) == ("host", "rw")


def test_its_own_folders_are_had_to_read(tmp_path: Path) -> None:
    assert claim(tmp_path, volumes=["./data:/data:ro"]).granted("x").volumes == (
        f"{tmp_path}/data:/data:ro",
    )


@pytest.mark.parametrize("trusted", [False, True])
def test_a_link_that_leads_out_of_its_folder_is_refused(tmp_path: Path, *, trusted: bool) -> None:
    (tmp_path / "data").symlink_to("/etc")
    found = claim(tmp_path, trusted=trusted, volumes=["./data:/data:ro"])
    assert found.refused
    assert not found.settings.volumes


def test_a_folder_with_the_home_in_it_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for folder in (tmp_path, tmp_path / "home"):
        found = claim(folder)
        assert found.refused
        assert found.settings.notebook == "none"
    assert not claim(tmp_path / "home/work").refused


MALFORMED: dict[str, Any] = {
    "no object": "host",
    "no image": {"memory": "1g"},
    "flags in an image's name": {"image": "-v /:/x host"},
    "a flag for an image": {"image": "--privileged"},
    "an image with a line's end": {"image": "host\nx"},
    "a digest that is none": {"image": "host", "digest": "latest"},
    "memory with a flag": {"image": "host", "memory": "1g --privileged"},
    "cpus as text": {"image": "host", "cpus": "2"},
    "a user with a space": {"image": "host", "user": "0 0"},
    "a relative workdir": {"image": "host", "workdir": "../x"},
    "a variable that is none": {"image": "host", "env": {"A B": "1"}},
    "a variable with NUL": {"image": "host", "env": {"A": "\0"}},
    "a mount without a target": {"image": "host", "volumes": ["./data"]},
    "a mount with NUL": {"image": "host", "volumes": ["./\0:/x"]},
    "a mount that is an object": {"image": "host", "volumes": [{"Source": "/"}]},
    "a wheel without a hash": {"image": "host", "wheels": [{"name": "x"}]},
    "a kernel on the machine": {"image": "host", "kind": "dockerfile"},
    "secrets that are none": {"image": "host", "secrets": "A"},
    "a megabyte": {"image": "host", "env": {"A": "x" * 1_000_000}},
}


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("what", MALFORMED)
def test_what_is_malformed_is_refused_whoever_trusts_it(
    what: str, tmp_path: Path, *, trusted: bool
) -> None:
    with pytest.raises(Failure) as refused:
        claims.read(MALFORMED[what], tmp_path, trusted=trusted)
    assert len(str(refused.value)) < 300


def test_what_is_unknown_is_nothing(tmp_path: Path) -> None:
    found = claim(tmp_path, privileged=True, HostConfig={"Privileged": True}, argv=["sh"], name="x")
    assert found.settings == claim(tmp_path).settings


def test_what_is_told_is_one_line_each_without_escapes(tmp_path: Path) -> None:
    hostile = "a\nmemory 1g\x1b[2J"
    mounts = [f"{hostile}:/x", f"./{hostile}:/x"]
    found = claim(tmp_path, env={"A": hostile}, volumes=mounts, display_name=hostile)
    words = [value for _, value in claims.told(found.settings)]
    for text in [*words, *found.refused, found.settings.display_name]:
        assert text.isprintable()


def of_cell(**cell: Any) -> str:
    """Return a notebook of this one cell, which has no id."""
    cells = [{"cell_type": "code", "metadata": {}, **cell}]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells})


NO_CELLS = [
    of_cell(source="1", execution_count=1),
    of_cell(source="1", execution_count=1, outputs=[{}]),
    of_cell(source=7, execution_count=1, outputs=[]),
]


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"cells": 3}', "[" * 100_000, "\0", *NO_CELLS]
)
def test_a_file_that_is_no_notebook_is_said_to_be_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.ipynb"
    path.write_text(content)
    with pytest.raises(Failure, match=r"x\.ipynb"):
        documents.sandbox_of(documents.read(path))


def test_a_notebook_is_written_whole_and_keeps_its_mode(tmp_path: Path) -> None:
    path, link = tmp_path / "x.ipynb", tmp_path / "y.ipynb"
    nbformat.write(nbformat.v4.new_notebook(), path)
    path.chmod(0o640)
    link.symlink_to("x.ipynb")
    notebook = documents.read(link)
    notebook.metadata["ipycontainer"] = {"image": "host"}
    documents.write(notebook, link)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert documents.sandbox_of(documents.read(path)) == {"image": "host"}
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["x.ipynb", "y.ipynb"]


def test_cells_that_have_no_ids_get_them_without_a_word(tmp_path: Path) -> None:
    path = tmp_path / "x.ipynb"
    path.write_text(of_cell(source="1", execution_count=None, outputs=[]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (cell,) = documents.read(path).cells
    assert cell.id
