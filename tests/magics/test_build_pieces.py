"""What a build sends and reads, in pieces: the context, a classic builder's text, logs, secrets."""

import base64
import io
import json
import os
import socket
import tarfile
from pathlib import Path

import pytest

from ipycontainer.building import secrets
from ipycontainer.building.context import Context, Extra, Sent, aside
from ipycontainer.building.dockerfile import Source, numbered
from ipycontainer.building.failed import report
from ipycontainer.building.messages import Classic
from ipycontainer.building.steps import CACHED, DONE, LINES, Build
from ipycontainer.failures import Failure, Usage
from ipycontainer.session import Session
from ipycontainer.terminal import Terminal
from ipycontainer_runtime.build.ignore import Ignore

MEGABYTE = 1_000_000


def packed(context: Context) -> dict[str, tarfile.TarInfo]:
    data = io.BytesIO(b"".join(context))
    with tarfile.open(fileobj=data) as tar:
        return {entry.name: entry for entry in tar}


def test_a_folder_is_sent_as_it_is_but_for_owners_and_what_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "keep").mkdir(mode=0o750)
    (tmp_path / "keep/run").write_text("x")
    (tmp_path / "keep/run").chmod(0o4755)
    (tmp_path / "drop/deep").mkdir(parents=True)
    (tmp_path / "drop/deep/kept").write_text("y")
    (tmp_path / "drop/deep/not").write_text("z")
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / ("é" * 120)).write_text("")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(tmp_path / "socket"))
        found = packed(Context(tmp_path, Ignore("drop\n!drop/deep/kept\n")))
    assert set(found) == {
        *("keep", "keep/run", "drop/deep/kept", "link", "é" * 120, "pipe"),
    }
    assert found["keep"].mode == 0o750
    assert found["keep/run"].mode == 0o4755
    assert found["link"].linkname == "/etc/passwd"
    assert {(one.uid, one.gid, one.uname) for one in found.values()} == {(0, 0, "")}
    assert found["keep/run"].mtime == int((tmp_path / "keep/run").stat().st_mtime)


def test_a_dockerfile_is_sent_although_it_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/Dockerfile").write_text("FROM x")
    (tmp_path / "in/other").write_text("")
    found = packed(Context(tmp_path, Ignore("in"), kept=frozenset({"in/Dockerfile"})))
    assert set(found) == {"in/Dockerfile"}


def test_a_dockerfile_from_elsewhere_names_itself_among_what_is_ignored(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_text("secret\n")
    name, extras = aside(b"FROM x\n", b"secret\n")
    assert dict(extras)[".dockerignore"].decode().split() == ["secret", name]
    assert dict(aside(b"", None)[1])[".dockerignore"].decode().split()[0] == ".dockerignore"
    assert set(packed(Context(tmp_path, Ignore(""), extras=extras))) == {name, ".dockerignore"}


def test_a_large_file_is_never_whole_in_memory_and_its_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with (tmp_path / "data/large").open("wb") as file:
        file.truncate(150 * MEGABYTE)
    told: list[Sent] = []
    context = Context(tmp_path, Ignore(""), told=told.append)
    pieces = [len(piece) for piece in context]
    assert max(pieces) < MEGABYTE
    assert sum(pieces) > 150 * MEGABYTE
    assert len(told) > 100
    assert "150MB of its 150MB are data" in str(context.sent.hint())


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="gone"):
        list(Context(tmp_path / "gone", Ignore("")))


def build_of(*messages: dict[str, object], lines: tuple[tuple[int, int], ...] = ()) -> Build:
    build, reader = Build("test"), Classic(lines)
    for message in messages:
        for read in reader.read(message):
            build.update(read)
    for read in reader.end():
        if build.failed is None:
            build.update(read)
    return build


def stream(*texts: str) -> tuple[dict[str, object], ...]:
    return tuple({"stream": text} for text in texts)


def test_a_classic_builders_text_is_read_as_steps() -> None:
    build = build_of(
        *stream("Step 1/4 : FROM a AS one", "\n", " ---> 111111111111\n"),
        *stream("Step 2/4 : RUN x", "\n", " ---> Using cache\n", " ---> 222222222222\n"),
        *stream("Step 3/4 : FROM b", "\n", " ---> 333333333333\n"),
        *stream("Step 4/4 : RUN y", "\n", " ---> Running in 444444444444\n"),
        *stream("\x1b[91mStep 9/9 : FROM c\n\x1b[0m", "Step 1/4 : x\n"),
        *stream("Removing intermediate container 444444444444\n", " ---> 555555555555\n"),
        {"aux": {"ID": "sha256:5"}},
        *stream("Successfully built 555555555555\n"),
        lines=((1, 1), (2, 3), (4, 4), (5, 5)),
    )
    steps = list(build.steps.values())
    assert [(step.stage, step.state) for step in steps] == [
        ("one", DONE), ("one", CACHED), ("stage-1", DONE), ("stage-1", DONE),
    ]  # fmt: skip
    assert (steps[1].first, steps[1].last) == (2, 3)
    assert steps[3].log.tail() == ["Step 9/9 : FROM c", "Step 1/4 : x"]
    assert build.image == "sha256:5"
    assert "4 steps, 1 reused" in build.summary()


def test_a_command_that_prints_what_a_builder_says_does_not_choose_the_state_before_it() -> None:
    build = build_of(
        *stream("Step 1/2 : FROM a", "\n", " ---> 111111111111\n", "Step 2/2 : RUN y", "\n"),
        *stream(" ---> Running in 444444444444\n", " ---> 999999999999\n"),
        {"errorDetail": {"code": 1, "message": "m"}, "error": "returned a non-zero code: 1"},
    )
    assert build.failed is not None
    assert build.failed["image"] == "111111111111"


def test_a_log_keeps_its_end_and_a_bar_drawn_over_is_one_line() -> None:
    build = Build("test")
    step = {"id": "a:1", "stage": "a", "number": 1, "total": 1, "name": "RUN x"}
    build.update({"step": {**step, "state": "running"}})
    for count in range(LINES + 10):
        build.update({"step": {"id": "a:1"}, "stream": f"\x1b[31mline {count}\x1b[0m\n"})
    found = build.update({"step": {"id": "a:1"}, "stream": "10%\r100%\n\x1b]8;;http://x\x07un"})
    assert found is not None
    lines = found.log.tail()
    assert len(lines) == LINES
    assert lines[-3:] == [f"line {LINES + 9}", "100%", "un"]
    assert found.log.hidden(len(lines)) == LINES + 12 - len(lines)
    assert build.output is not None
    assert build.output.count == LINES + 11


def test_an_excerpt_has_the_cells_numbers_and_marks_all_lines_of_an_instruction() -> None:
    text = "FROM a\n\nRUN x \\\n  y\nCMD z\n\n\n"
    source = Source(text, "the cell", offset=1)
    assert numbered(source.excerpt(3, 4)) == [
        "  2 | FROM a", "  3 |", "> 4 | RUN x \\", "> 5 |   y", "  6 | CMD z",
    ]  # fmt: skip
    assert source.place(3, 4) == "lines 4-5 of the cell"
    long = Source("\n".join(f"line {n}" for n in range(1000)), "Dockerfile")
    assert len(long.excerpt(1, 900)) < 20


def test_a_failure_of_no_step_tells_its_line_once() -> None:
    build = Build("test")
    message = "dockerfile parse error on line 2: unknown instruction: RNU"
    build.update({"error": message, "errorDetail": {"message": message, "first": 2, "last": 2}})
    shown = report(build, Source("FROM a\nRNU\n", "the cell", 1), "%container", ())
    assert shown.headline == "line 3 of the cell: unknown instruction: RNU"


def test_what_is_taken_from_the_context_is_seen(tmp_path: Path) -> None:
    def copies(text: str) -> bool:
        return Source(text, "").copies_from_here()

    assert copies("FROM a\nCOPY x /\n")
    assert copies("FROM a\nRUN --mount=type=bind,target=/in ls\n")
    assert not copies("FROM a AS b\nFROM a\nCOPY --from=b /x /\nADD https://x/y /\n")
    assert not copies("FROM a\nCOPY <<E /file\ntext\nE\n")
    assert not copies("this is none")


def test_secrets_travel_in_a_header_and_only_to_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect() -> None:
        raise AssertionError("nothing is asked for")

    session = Session(Terminal(), connect)  # type: ignore[arg-type] # it is never called
    monkeypatch.setenv("DOCKER_HOST", "unix:///a/socket")
    monkeypatch.setenv("TOKEN", "from the environment")
    (tmp_path / "file").write_bytes(b"\x00from a file")
    asked = (f"id=one,src={tmp_path}/file", "id=two,env=TOKEN", "id=TOKEN")
    header = secrets.headers(session, asked, (), {"build"})[secrets.HEADER]
    sent = json.loads(base64.b64decode(header))["secrets"]
    assert {name: base64.b64decode(value) for name, value in sent.items()} == {
        "one": b"\x00from a file",
        "two": b"from the environment",
        "TOKEN": b"from the environment",
    }
    assert secrets.headers(session, (), (), set()) == {}
    for wrong in ("src=x", "id=a,src=b,env=c", "id=a,colour=red", "id=a,env=NOTHING_THERE"):
        with pytest.raises(Usage, match="--secret"):
            secrets.headers(session, (wrong,), (), {"build"})
    monkeypatch.setenv("LARGE", "x" * 90_000)
    assert secrets.headers(session, ("id=LARGE",), (), {"build"})
    with pytest.raises(Usage, match="all together have 180,000 bytes, and at most"):
        secrets.headers(session, ("id=LARGE", "id=b,env=LARGE"), (), {"build"})
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    with pytest.raises(Failure, match="takes no secrets"):
        secrets.headers(session, asked, (), {"build"})


def test_extras_stand_in_for_files_of_their_name(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("from the folder")
    data = io.BytesIO(b"".join(Context(tmp_path, Ignore(""), extras=(Extra("a", b"given"),))))
    with tarfile.open(fileobj=data) as tar:
        assert tar.getnames() == ["a"]
        member = tar.extractfile("a")
        assert member is not None
        assert member.read() == b"given"
