"""A container whose Python is not what it says: its messages do nothing to this process."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ipycontainer import Sandbox
from ipycontainer.failures import Failure
from ipycontainer.sandbox import InterpreterLost
from ipycontainer.sandbox.inside import codec, frames
from support.engines import Engine

pytestmark = pytest.mark.ordinary_user
HELLO = {"pid": 1, "oom": 0, "python": "3"}


def message(kind: bytes, fields: Any, *blobs: bytes) -> bytes:
    body = b"".join(codec.pack(fields, list(blobs)))
    return frames.HEAD.pack(kind, len(body)) + body


@pytest.fixture
def answering(
    python_engine: Engine, debian_python: str, request: pytest.FixtureRequest
) -> Callable[[bytes], Sandbox]:
    """A function that returns a sandbox whose Python only says these bytes."""

    def made(said: bytes) -> Sandbox:
        box = Sandbox(debian_python, client=python_engine.client).start()
        request.addfinalizer(box.close)
        box.put(said, "/said")
        box.put(b"#!/bin/sh\ncat /said\nexec sleep 600\n", "/usr/local/bin/python3")
        box.run(["chmod", "755", "/usr/local/bin/python3"], check=True)
        return box

    return made


@pytest.mark.parametrize(
    "said",
    [
        b"Python 3.12 (main)\n>>> ",
        frames.HEAD.pack(frames.HELLO, 0xFFFFFFFF),
        message(frames.HELLO, {"pid": "one"}),
        message(frames.HELLO, []),
    ],
    ids=["text", "four gigabytes", "no number", "no fields"],
)
def test_a_python_that_greets_wrongly_is_refused(
    answering: Callable[[bytes], Sandbox], said: bytes
) -> None:
    box = answering(said)
    with pytest.raises(Failure, match="python3 did not start, what it sent is no message of ours"):
        box.python("1")


class Trap:
    """A pickle that makes a folder when it is opened."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


def test_a_pickle_from_a_container_is_not_opened(
    answering: Callable[[bytes], Sandbox], tmp_path: Path
) -> None:
    reply = {"number": 1, "result": {"value": {"$": "pickle", "blob": 0}}, "outputs": {}}
    trap = pickle.dumps(Trap(tmp_path / "sprung"))
    box = answering(message(frames.HELLO, HELLO) + message(frames.RESULT, reply, trap))
    with pytest.raises(InterpreterLost, match="was not asked for"):
        box.python("1")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "said",
    [
        frames.HEAD.pack(frames.RESULT, 0xFFFFFFFF),
        frames.HEAD.pack(b"?", 1) + b"x",
        frames.HEAD.pack(frames.OUT, 1 << 24),
        message(frames.RESULT, {"number": 99}),
        message(frames.RESULT, []),
        message(frames.RESULT, {"number": 1}),
        message(frames.SHOW, {"opaque": 1}),
    ],
    ids=[
        "four gigabytes",
        "unknown",
        "long output",
        "another",
        "no fields",
        "nothing",
        "no object",
    ],
)
def test_an_answer_that_is_none_ends_the_interpreter_alone(
    answering: Callable[[bytes], Sandbox], said: bytes
) -> None:
    box = answering(message(frames.HELLO, HELLO) + said)
    with pytest.raises(InterpreterLost, match="interpreter was ended"):
        box.python("1")
    assert box.run(["true"]).code == 0


def test_a_container_that_takes_nothing_is_given_up_after_the_timeout(
    answering: Callable[[bytes], Sandbox],
) -> None:
    box = answering(message(frames.HELLO, HELLO))
    with pytest.raises(InterpreterLost, match="does not take what it is sent"):
        box.python("1", timeout=1, much=bytes(64 << 20))
