"""`cp` and `export` in cells and on the command line, against Docker's engine and ours."""

import io
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from cells import IMAGE, Box, Shell

from ipycontainer import copying
from ipycontainer.failures import Failure

Command = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def container(box: Box) -> str:
    """A container that does not run."""
    api = box.client.api
    host = api.create_host_config(network_mode="none")
    made = api.create_container(IMAGE, "true", name="box", host_config=host)
    return str(made["Id"])


def test_files_and_folders_go_in_and_come_out(
    box: Box, shell: Shell, container: str, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    (source / "in/side").mkdir(parents=True)
    (source / "in/side/file").write_text("content")
    (source / "link").symlink_to("/in/side/file")
    (source / "closed").mkdir(mode=0o500)
    for line in (
        f"cp {source} box:/new",
        f"cp -q {source} box:/new",
        f"cp {source}/. box:/new/source/deeper",
        f"cp {source}/in/side/file box:/new/",
        f"cp box:/new {tmp_path}/out",
        f"cp box:/new/. {tmp_path}/out/again",
        f"cp box:/new/file {tmp_path}/out/renamed",
    ):
        ran = shell.run(f"%container {line}")
        assert ran.error is None, line
        assert ("copied " in ran.err) == ("-q" not in line)
    out = tmp_path / "out"
    for copy in (out, out / "source", out / "source/deeper", out / "again"):
        assert (copy / "in/side/file").read_text() == "content"
        assert os.readlink(copy / "link") == "/in/side/file"
    assert (out / "renamed").read_text() == (out / "file").read_text() == "content"


def test_links_are_followed_on_request(
    box: Box, shell: Shell, container: str, tmp_path: Path
) -> None:
    (tmp_path / "real").write_text("real")
    (tmp_path / "link").symlink_to("real")
    shell.magic(f"cp {tmp_path}/link box:/link")
    shell.magic(f"cp -L {tmp_path}/link box:/real")
    shell.magic(f"cp box:/link {tmp_path}/link-out")
    shell.magic(f"cp -L box:/link {tmp_path}/real-out")
    assert os.readlink(tmp_path / "link-out") == "real"
    assert not (tmp_path / "real-out").is_symlink()
    assert (tmp_path / "real-out").read_text() == "real"


def test_archives_are_piped(box: Box, command: Command, container: str) -> None:
    sent = io.BytesIO()
    with tarfile.open(fileobj=sent, mode="w") as tar:
        info = tarfile.TarInfo("piped")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"abc"))
    assert command("cp", "-", "box:/", stdin=sent.getvalue()).returncode == 0
    received = command("cp", "box:/piped", "-").stdout
    with tarfile.open(fileobj=io.BytesIO(received)) as tar:
        assert [(entry.name, entry.size) for entry in tar] == [("piped", 3)]
    with tarfile.open(fileobj=io.BytesIO(command("export", "box").stdout)) as tar:
        assert {"piped", "bin/busybox"} <= set(tar.getnames())


def test_an_archive_fills_a_variable_or_a_file(
    box: Box, shell: Shell, container: str, tmp_path: Path
) -> None:
    shell.run("%container cp box:/bin/busybox - --out binary")
    with tarfile.open(fileobj=io.BytesIO(shell.names["binary"])) as tar:
        assert tar.getnames() == ["busybox"]
    shell.run(f"%container export box -o {tmp_path}/root.tar")
    with tarfile.open(tmp_path / "root.tar") as tar:
        assert "bin/busybox" in tar.getnames()
    assert not (tmp_path / "root.tar.partial").exists()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("cp a b", "CONTAINER:PATH"),
        ("cp box:/a box:/b", "CONTAINER:PATH"),
        ("cp box:/nope {tmp}/x", "no /nope in container box"),
        ("cp nosuch:/x {tmp}/x", "nosuch"),
        ("cp {tmp}/nope box:/", "nope here"),
        ("cp {tmp} box:/bin/busybox", "cannot copy a folder over the file"),
        ("cp box:/etc {tmp}/nope/x", "make it first"),
        ("cp {tmp}/nope box:", "names no path"),
        ("export box", "nothing to look at"),
    ],
)
def test_a_copy_that_cannot_be_says_why(
    box: Box, shell: Shell, container: str, tmp_path: Path, line: str, told: str
) -> None:
    with pytest.raises(Failure, match=told):
        shell.magic(line.format(tmp=tmp_path))


def made(*entries: tuple[str, bytes, str]) -> bytes:
    """An archive of a container that lies; entries are name, type and target."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, kind, target in entries:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.mode = kind, target, 0o755
            tar.addfile(info)
    return out.getvalue()


@pytest.mark.parametrize(
    "entries",
    [
        [("../evil", b"0", "")],
        [("d", b"5", ""), ("d/../../evil", b"0", "")],
        [("d", b"5", ""), ("evil", b"0", "")],
        [("d", b"5", ""), ("d/l", b"2", ".."), ("d/l/evil", b"0", "")],
        [("d", b"2", "."), ("d/evil", b"0", "")],
        [("d", b"5", ""), ("d/h", b"1", "../../etc/passwd")],
        [("d", b"5", ""), ("d/l", b"2", "/etc"), ("d/h", b"1", "d/l/passwd")],
    ],
)
def test_a_lying_archive_writes_nothing_outside_the_target(
    tmp_path: Path, entries: list[tuple[str, bytes, str]]
) -> None:
    # copying._below: `".." in parts` and the first name; copying._check_parents
    with pytest.raises(Failure, match="the container's archive"):
        copying.unpack(iter([made(*entries)]), "d", tmp_path / "target")
    assert not list(tmp_path.rglob("evil"))
    assert not (tmp_path / "target/h").exists()
