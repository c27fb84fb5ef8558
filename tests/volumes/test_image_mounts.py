"""`--mount type=image`: an image, or a part of it, shown read-only in a container."""

from pathlib import Path

import pytest
from volumeroom import build, mounts, refusal

from support.engines import Engine

pytestmark = [pytest.mark.needs("docker", "busybox"), pytest.mark.ordinary_user]


@pytest.fixture(scope="module")
def shown(shared_engine: Engine, busybox: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image of several layers, of which the last hides a file of one before."""
    place: Path = tmp_path_factory.mktemp("context")
    lines = ("RUN rm /data/marked && echo more > /data/more", "RUN ln -s data /linked")
    return build(shared_engine, busybox, place, *lines, name="shown")


def read(engine: Engine, busybox: str, mount: str, *command: str) -> str:
    """Return what a command prints in a container with an image mounted."""
    flags = ("--rm", "--network", "none", "--mount", f"type=image,{mount}")
    return engine.succeed("run", *flags, busybox, *command)


def test_an_image_is_shown_as_its_layers_make_it(
    shared_engine: Engine, busybox: str, shown: str
) -> None:
    listed = read(shared_engine, busybox, f"source={shown},target=/x", "ls", "/x/data", "/x/file")
    assert {"more", "file", "deep", "/x/file"} <= set(listed.split())
    assert "marked" not in listed


def test_a_folder_or_a_file_of_it_is_shown_alone(
    shared_engine: Engine, busybox: str, shown: str
) -> None:
    folder = f"source={shown},target=/x,image-subpath=data"
    listed = read(shared_engine, busybox, folder, "ls", "/x").split()
    assert {"more", "file"} <= set(listed)
    assert "marked" not in listed
    file = f"source={shown},target=/x,image-subpath=data/more"
    assert read(shared_engine, busybox, file, "cat", "/x") == "more"


def test_nobody_writes_to_it(shared_engine: Engine, busybox: str, shown: str) -> None:
    for place in ("", ",image-subpath=data/more"):
        target = "/x/made" if not place else "/x"
        trying = f"echo y > {target} || mount -o remount,rw /x || echo refused"
        mount = f"source={shown},target=/x{place}"
        assert "refused" in read(shared_engine, busybox, mount, "sh", "-c", trying)
    assert read(shared_engine, shown, f"source={shown},target=/x", "cat", "/x/data/more") == "more"


def test_an_image_without_files_is_an_empty_folder(
    shared_engine: Engine, busybox: str, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nLABEL empty=yes\n")
    shared_engine.succeed("build", "-q", "-t", "files-none", str(tmp_path))
    trying = "ls -A /x; touch /x/made || echo refused"
    shown = read(shared_engine, busybox, "source=files-none,target=/x", "sh", "-c", trying)
    assert shown.splitlines()[-1] == "refused"
    assert "made" not in shown.splitlines()


def test_it_is_copied_from_and_told_of_and_held(
    shared_engine: Engine, busybox: str, shown: str, tmp_path: Path
) -> None:
    shared_engine.succeed("tag", shown, "held")
    flags = ("--network", "none", "--mount", "type=image,source=held,target=/x,image-subpath=data")
    made = shared_engine.succeed("create", *flags, busybox, "cat", "/x/more")
    told = mounts(shared_engine, made)["/x"]
    assert (told["Type"], told["RW"]) == ("image", False)
    shared_engine.succeed("cp", f"{made}:/x/more", str(tmp_path / "more"))
    assert (tmp_path / "more").read_text() == "more\n"
    shared_engine.succeed("rmi", "held")
    assert "using" in shared_engine.docker("rmi", shown).stderr.decode()
    shared_engine.succeed("rmi", "-f", shown)
    assert shared_engine.succeed("start", "-a", made) == "more"


@pytest.mark.parametrize(
    ("source", "subpath", "why"),
    [
        ("", "", "field Source must not be empty"),
        ("nobody", "", "No such image: nobody:latest"),
        ("box", "..", "subpath must be a relative path within the image"),
        ("box", "/etc", "subpath must be a relative path within the image"),
        ("box", "bin/none", "it is not there"),
        ("box", "file/file", "it is not there"),
        ("box", "x" * 300, "File name too long"),
    ],
)
def test_what_cannot_be_shown_is_refused(
    shared_engine: Engine, busybox: str, source: str, subpath: str, why: str
) -> None:
    mount = {
        "Type": "image",
        "Source": busybox if source == "box" else source,
        "Target": "/x",
        "ImageOptions": {"Subpath": subpath},
    }
    status, message = refusal(shared_engine, busybox, HostConfig={"Mounts": [mount]})
    assert status == 400
    assert why in message


def test_a_link_in_an_image_leads_nowhere(shared_engine: Engine, busybox: str, image: str) -> None:
    """That image's `climbs` is a symbolic link far above its root."""
    for path in ("climbs", "climbs/file", "there"):
        mount = {
            "Type": "image",
            "Source": image,
            "Target": "/x",
            "ImageOptions": {"Subpath": path},
        }
        assert refusal(shared_engine, busybox, HostConfig={"Mounts": [mount]})[0] == 400
