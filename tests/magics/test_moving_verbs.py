"""`save`, `load` and `import` in cells and on the command line, on Docker's engine and ours."""

import io
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cells import IMAGE, Box, Shell

from ipycontainer.failures import Failure, Usage
from support.hosts import Host
from support.made import tar

Command = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture(autouse=True)
def names(box: Box) -> Iterator[None]:
    """The images that a test makes go with it."""
    yield
    for image in box.client.images.list():
        for name in image.tags:
            if name.startswith("moved"):
                box.client.api.remove_image(name, force=True)


def test_images_are_saved_and_loaded_with_progress(box: Box, shell: Shell, tmp_path: Path) -> None:
    box.client.images.get(IMAGE).tag("moved", "1")
    before = box.client.images.get("moved:1").id
    archive = tmp_path / "images.tar"
    ran = shell.run(f"%container save -o {archive} moved:1 {IMAGE}")
    assert ran.error is None
    assert f"Wrote moved:1, {IMAGE} to {archive}" in ran.err
    assert list(tmp_path.glob("*.partial")) == []
    box.client.api.remove_image("moved:1")
    ran = shell.run(f"%container load -i {archive}")
    assert ran.error is None
    assert "Loaded image: moved:1" in ran.out
    assert "Loaded moved:1" in ran.err
    assert box.client.images.get("moved:1").id == before


def test_archives_go_through_pipes(box: Box, command: Command) -> None:
    box.client.images.get(IMAGE).tag("moved", "2")
    saved = command("save", "moved:2")
    assert saved.returncode == 0, saved.stderr
    box.client.api.remove_image("moved:2")
    loaded = command("image", "load", "-q", stdin=saved.stdout)
    assert (loaded.stdout, loaded.stderr) == (b"Loaded image: moved:2\n", b"")
    with tarfile.open(fileobj=io.BytesIO(saved.stdout)) as archive:
        assert "manifest.json" in archive.getnames()


def test_a_file_system_becomes_an_image(box: Box, shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "root.tar").write_bytes(tar({"etc/motd": b"hello"}))
    ran = shell.run(
        f"%container import -c 'CMD [\"/x\"]' -c 'ENV A=b' -m because {tmp_path}/root.tar moved:3"
    )
    assert ran.error is None
    image = box.client.images.get("moved:3")
    assert image.id is not None
    assert image.id in ran.out
    assert image.attrs["Config"]["Cmd"] == ["/x"]
    assert image.attrs["Config"]["Env"] == ["A=b"]
    assert image.attrs["Comment"] == "because"


def test_an_exported_container_is_imported_through_a_pipe(box: Box, command: Command) -> None:
    host = box.client.api.create_host_config(network_mode="none")
    box.client.api.create_container(IMAGE, "true", name="source", host_config=host)
    exported = command("container", "export", "source").stdout
    done = command("import", "-", "moved:4", stdin=exported)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().strip() == box.client.images.get("moved:4").id


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        (f"save {IMAGE}", Usage, "nothing to look at: give -o FILE"),
        ("load", Usage, "a cell has no archive"),
        ("import - moved:5", Usage, "a cell has no archive"),
        ("load -i /none.tar", Failure, "cannot read /none.tar: No such file"),
        (f"save -o /none/x.tar {IMAGE}", Failure, "cannot write /none/x.tar: No such file"),
        (f"save -o /dev/null {IMAGE}", Failure, "cannot write /dev/null: it is no file"),
        ("save -o /tmp/never.tar absent-image", Failure, "absent-image"),
        ("import /etc/hostname moved:5", Failure, ""),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    box: Box, shell: Shell, line: str, kind: type[Failure], words: str
) -> None:
    error = shell.run(f"%container {line}").error
    assert isinstance(error, kind)
    assert words in str(error)
    assert not Path("/tmp/never.tar").exists()


def test_an_export_to_a_file_is_told(box: Box, shell: Shell, tmp_path: Path) -> None:
    host = box.client.api.create_host_config(network_mode="none")
    box.client.api.create_container(IMAGE, "true", name="source", host_config=host)
    ran = shell.run(f"%container export -o {tmp_path}/root.tar source")
    assert f"Wrote source to {tmp_path}/root.tar" in ran.err
    with tarfile.open(tmp_path / "root.tar") as archive:
        assert "bin/busybox" in archive.getnames()


def test_another_engines_archive_is_loaded(
    box: Box, shell: Shell, dockerd: Host, tmp_path: Path
) -> None:
    (tmp_path / "root.tar").write_bytes(tar({"etc/motd": b"theirs"}))
    image = dockerd.succeed("import", f"{tmp_path}/root.tar", "moved-from-docker:1")
    dockerd.succeed("save", "-o", f"{tmp_path}/theirs.tar", "moved-from-docker:1")
    dockerd.succeed("rmi", "moved-from-docker:1")
    assert (
        "Loaded image: moved-from-docker:1"
        in shell.run(f"%container load -i {tmp_path}/theirs.tar").out
    )
    assert box.client.images.get("moved-from-docker:1").id == image
