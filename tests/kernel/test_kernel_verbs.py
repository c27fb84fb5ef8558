"""`kernel install`, `list`, `update` and `remove`, on the command line and in a cell."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernelroom import Room, running

from ipycontainer.failures import Failure
from ipycontainer.session import Session
from ipycontainer.terminal import Terminal
from ipycontainer.verbs import invoke

pytestmark = pytest.mark.ordinary_user


class Line:
    """The command line in this process."""

    def __init__(self, room: Room, capsys: pytest.CaptureFixture[str]) -> None:
        self.room = room
        self._capsys = capsys

    def __call__(self, *words: str) -> str:
        """Run a verb of `kernel` and return what it said."""
        invoke(Session(Terminal(), lambda: self.room.host.client), ["kernel", *words])
        return self._capsys.readouterr().out

    def spec(self, name: str) -> dict[str, Any]:
        """Return a kernelspec as it was written."""
        found: dict[str, Any] = json.loads((self.room.specs / name / "kernel.json").read_text())
        return found

    def settings(self, name: str) -> dict[str, Any]:
        """Return its settings."""
        found: dict[str, Any] = self.spec(name)["metadata"]["ipycontainer"]
        return found


@pytest.fixture
def line(room: Room, capsys: pytest.CaptureFixture[str]) -> Line:
    return Line(room, capsys)


@pytest.fixture(scope="module")
def labelled(room: Room) -> Iterator[str]:
    """An image that asks for more than it may have."""
    labels = {"memory": "300m", "network": "host", "notebook": "rw", "display-name": "Ours"}
    labels["cpus"] = "nan"
    lines = [f"LABEL org.ipycontainer.kernel.{name}={value}" for name, value in labels.items()]
    text = "\n".join([f"FROM {room.image}", *lines])
    room.host.client.images.build(fileobj=io.BytesIO(text.encode()), tag="labelled", rm=True)
    yield "labelled"
    room.host.client.images.remove("labelled", force=True)


def test_an_installed_kernel_names_its_image_by_digest_and_runs(line: Line) -> None:
    flags = ["--memory", "400m", "--cpus", "1.5", "--network", "none", "--notebook", "none"]
    line("install", *flags, "-e", "A=b", "--name", "Whole", line.room.image)
    settings = line.settings("whole")
    assert settings["digest"].startswith(line.room.image.rpartition(":")[0] + "@sha256:")
    assert (settings["memory"], settings["cpus"], settings["kind"]) == ("400m", 1.5, "python")
    assert {path.suffix for path in (line.room.specs / "whole").iterdir()} == {
        ".json",
        ".png",
        ".svg",
    }
    with running("whole") as kernel:
        assert kernel.run("import os; print(os.environ['A'])") == ("ok", "b\n")
    (container,) = line("list", "-q").split()
    assert container == "whole"
    line("remove", "whole")
    assert not (line.room.specs / "whole").exists()


def test_a_label_gives_an_image_no_more_than_it_has_without(
    line: Line, labelled: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line("install", labelled)
    settings = line.settings("labelled")
    assert (settings["memory"], settings["display_name"]) == ("300m", "Ours")
    assert settings["notebook"] == "ro"
    assert "network" not in settings
    assert "cpus" not in settings
    line("install", "--memory", "200m", labelled)
    assert line.settings("labelled")["memory"] == "200m"
    line("remove", "labelled")


def test_an_update_keeps_settings_and_takes_what_the_image_is_now(line: Line) -> None:
    client = line.room.host.client
    client.images.get(line.room.image).tag("moving")
    line("install", "--memory", "400m", "--name", "moving", "moving")
    old = line.settings("moving")["digest"]
    assert "has not changed" in line("update", "moving")
    text = f"FROM {line.room.image}\nLABEL changed=yes"
    client.images.build(fileobj=io.BytesIO(text.encode()), tag="moving", rm=True)
    line("update", "--network", "none", "moving")
    settings = line.settings("moving")
    assert settings["digest"] != old
    assert (settings["memory"], settings["network"]) == ("400m", "none")
    line("remove", "moving")
    client.images.remove("moving", force=True)


def test_a_kernel_goes_where_it_is_asked_for(line: Line, tmp_path: Path) -> None:
    line("install", "--prefix", str(tmp_path), "--name", "placed", line.room.image)
    assert (tmp_path / "share/jupyter/kernels/placed/kernel.json").exists()


def test_a_kernelspec_that_is_not_understood_hides_no_other(line: Line) -> None:
    line("install", "--name", "known", line.room.image)
    line("install", "--name", "later", line.room.image)
    file = line.room.specs / "later" / "kernel.json"
    file.write_text(file.read_text().replace('"python"', '"moon"'))
    assert "known" in line("list", "-q").split()
    with pytest.raises(Failure, match=r"later: kind 'moon' .*`jupyter kernelspec remove later`"):
        line("remove", "later")
    line("remove", "known")
    shutil.rmtree(file.parent)


def test_a_strangers_kernelspec_is_not_written_as_what_cannot_be_read(
    line: Line, tmp_path: Path
) -> None:
    text = json.dumps({"argv": ["k", "{connection_file}"], "env": {"A=B": "c"}})
    (tmp_path / "kernel.json").write_text(text)
    folder = "/usr/share/jupyter/kernels/odd/kernel.json"
    (tmp_path / "Dockerfile").write_text(f"FROM {line.room.image}\nCOPY kernel.json {folder}")
    client = line.room.host.client
    client.images.build(path=str(tmp_path), tag="odd", rm=True)
    try:
        with pytest.raises(Failure, match=r"env .* must be an object of texts"):
            line("install", "--spec", "odd", "odd")
        assert not (line.room.specs / "odd").exists()
    finally:
        client.images.remove("odd", force=True)


def test_another_kernels_name_is_left_alone(line: Line) -> None:
    other = line.room.specs / "other"
    other.mkdir(parents=True)
    (other / "kernel.json").write_text('{"argv": ["x"], "display_name": "x", "language": "x"}')
    with pytest.raises(Failure, match="other is the name of another kernel"):
        line("install", "--name", "other", line.room.image)
    with pytest.raises(Failure, match="other is a kernel of another making"):
        line("remove", "other")
    with pytest.raises(Failure, match="there is no kernel 'none'"):
        line("remove", "none")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--memory", "much"], "--memory 'much'"),
        (["--memory=-5m"], "--memory '-5m'"),
        (["-v", "data"], "-v 'data'"),
        (["--name", "a b"], "--name 'a b'"),
        (["--user", "--sys-prefix"], "give one"),
        (["--kind", "image"], "brings: none"),
        (["--spec", "ir"], "brings no kernel 'ir'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(line: Line, words: list[str], told: str) -> None:
    with pytest.raises(Failure, match=told):
        line("install", *words, line.room.image)
