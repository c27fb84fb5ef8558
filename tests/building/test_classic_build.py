"""`docker build` by the real command: classic output, the cache, what a failed step leaves."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from support.engines import Engine


def build(engine: Engine, folder: Path, *flags: str, fails: bool = False) -> str:
    """Build a folder by the classic builder of `docker`, and return all that it says."""
    done = engine.docker("build", *flags, str(folder))
    said = done.stdout.decode() + done.stderr.decode()
    assert (done.returncode != 0) == fails, said
    return said


@pytest.fixture
def context(tmp_path: Path, busybox: str) -> Path:
    """A folder with a Dockerfile of a few steps."""
    (tmp_path / "folder/below").mkdir(parents=True)
    (tmp_path / "folder/below/file").write_text("one\n")
    (tmp_path / "a.txt").write_text("a\n")
    (tmp_path / "Dockerfile").write_text(
        f"FROM {busybox}\n"
        "ENV GREETING=hello\n"
        "RUN echo $GREETING > /greeting && rm -rf /bin/vi\n"
        "COPY a.txt folder /copied/\n"
        "RUN cat /copied/a.txt /copied/below/file\n"
        'CMD ["cat", "/greeting"]\n'
    )
    return tmp_path


def inspected(engine: Engine, name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(engine.succeed("image", "inspect", name))
    return found[0]


def test_the_docker_command_builds_tags_and_runs_an_image(
    shared_engine: Engine, context: Path
) -> None:
    said = build(shared_engine, context, "-t", "built:1", "-t", "other", "--label", "a=b")
    assert "Step 1/7 : FROM" in said
    assert "Step 7/7 : LABEL a=b" in said
    assert "a\none\n" in said
    assert "Successfully tagged built:1" in said
    assert shared_engine.succeed("run", "--rm", "--network", "none", "built:1") == "hello"
    image = inspected(shared_engine, "other")
    assert image["Config"]["Labels"] == {"a": "b"}
    assert len(image["RootFS"]["Layers"]) == 3, "a RUN that changes no file has no layer"


def test_what_did_not_change_comes_from_the_cache(shared_engine: Engine, context: Path) -> None:
    build(shared_engine, context, "-t", "first")
    dockerfile = context / "Dockerfile"
    dockerfile.write_text("# a comment\n" + dockerfile.read_text())
    (context / "a.txt").touch()
    again = build(shared_engine, context, "-t", "second")
    assert again.count("Using cache") == 5
    ids = [inspected(shared_engine, name)["Id"] for name in ("first", "second")]
    assert ids[0] == ids[1]


def test_a_changed_file_is_copied_again_and_all_that_stands_on_it(
    shared_engine: Engine, context: Path
) -> None:
    build(shared_engine, context)
    (context / "folder/below/file").write_text("two\n")
    said = build(shared_engine, context)
    before, _, after = said.partition("COPY")
    assert before.count("Using cache") == 2
    assert "two" in after
    assert after.count("Using cache") == 0


def test_no_cache_builds_everything_again(shared_engine: Engine, context: Path) -> None:
    build(shared_engine, context)
    assert "Using cache" not in build(shared_engine, context, "--no-cache")


def test_a_failed_step_names_its_line_and_leaves_the_state_before_it(
    engine: Engine, context: Path, busybox: str
) -> None:
    engine.succeed("pull", "-q", busybox)
    dockerfile = context / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text() + "RUN echo no >&2; exit 7\n")
    said = build(engine, context, "-t", "failed", fails=True)
    assert "returned a non-zero code: 7 (line 7)" in said
    assert "7 | RUN echo no >&2; exit 7" in said
    assert "failed" not in engine.succeed("image", "ls", "--format", "{{.Repository}}")
    dangling = engine.succeed("image", "ls", "-q", "--filter", "dangling=true")
    assert engine.succeed("run", "--rm", "--network", "none", dangling) == "hello"


def test_a_build_leaves_nothing_but_its_image_and_the_cache(
    engine: Engine, context: Path, busybox: str
) -> None:
    engine.succeed("pull", "-q", busybox)
    build(engine, context, "-t", "gone")
    engine.succeed("rmi", "gone")
    engine.succeed("rmi", busybox)
    assert list((engine.paths.root / "layers").glob("[0-9a-f]*")) == []
    assert list((engine.paths.root / "build/running").iterdir()) == []
    assert list((engine.paths.root / "build/cache").iterdir()) == []
    assert list((engine.paths.root / "images/blobs/sha256").iterdir()) == []


def test_quiet_says_the_id_alone(shared_engine: Engine, context: Path) -> None:
    said = shared_engine.succeed("build", "-q", str(context))
    assert said.startswith("sha256:")
    assert len(said.splitlines()) == 1


def test_a_contexts_owners_and_names_of_whiteouts_mean_nothing(
    shared_engine: Engine, busybox: str
) -> None:
    lines = f"FROM {busybox}\nCOPY a ..data /x/\nRUN ls -lnA /x\n"
    content = {"Dockerfile": lines, "a": "a", ".wh.a": "", "..data": "d"}
    with tarfile.open(fileobj=(out := io.BytesIO()), mode="w:xz") as tar:
        for name, text in content.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.uid, entry.gid = len(text), 2_000_000_000, 2_000_000_000
            tar.addfile(entry, io.BytesIO(text.encode()))
    done = shared_engine.docker("build", "-", stdin=out.getvalue())
    said = done.stdout.decode()
    assert done.returncode == 0, said + done.stderr.decode()
    assert "0        0                1 Jan  1  1970 a" in said
    assert "..data" in said
