"""What the interpreter shows of matplotlib; a process of its own here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ipycontainer.sandbox import start
from ipycontainer.sandbox.inside import codec, frames

PNG = b"\x89PNG"

Said = list[tuple[bytes, Any]]


@pytest.fixture
def said() -> Iterator[Callable[[str], Said]]:
    """A function that runs code in one interpreter and returns its messages."""
    command = [sys.executable, "-c", start.BOOT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(start.modules())

        def run(code: str) -> Said:
            assert process.stdin
            assert process.stdout
            request = {
                "number": 1,
                "code": code,
                "file": "<code>",
                "inputs": {},
                "outputs": [],
                "pickles": False,
            }
            body = b"".join(codec.pack(request, []))
            process.stdin.write(frames.HEAD.pack(frames.EXECUTE, len(body)) + body)
            process.stdin.flush()
            messages: Said = []
            while not messages or messages[-1][0] != frames.RESULT:
                kind, size = frames.HEAD.unpack(process.stdout.read(frames.HEAD.size))
                data = process.stdout.read(size)
                binary = kind in (frames.OUT, frames.ERR)
                messages.append((kind, data if binary else codec.unpack(data)))
            return messages[1:] if messages[0][0] == frames.HELLO else messages

        yield run
        process.stdin.close()


def test_open_figures_are_shown_as_pictures_when_the_code_ends(
    said: Callable[[str], Said],
) -> None:
    shown, result = said("import matplotlib.pyplot as plt\nplt.plot([1, 2])")
    assert shown[0] == frames.SHOW
    assert bytes(shown[1][1][0]).startswith(PNG)
    assert "Line2D" in result[1][0]["result"]["opaque"]["text"]


def test_show_sends_the_figures_between_what_is_printed(said: Callable[[str], Said]) -> None:
    messages = said(
        "import matplotlib.pyplot as plt\nprint('a')\nplt.plot([1])\nplt.show()\nprint('b')"
    )
    kinds = [kind for kind, _ in messages]
    assert kinds == [frames.OUT, frames.SHOW, frames.OUT, frames.RESULT]
