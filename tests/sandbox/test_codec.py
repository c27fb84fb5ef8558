"""Values as data: what passes, what is refused, and what a hostile container may send instead."""

from __future__ import annotations

import ast
import datetime
import decimal
import math
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest

from ipycontainer.sandbox import inside, start
from ipycontainer.sandbox.errors import error_of
from ipycontainer.sandbox.inside import codec
from ipycontainer.sandbox.inside.codec import BadData, Decoder, Encoder, NotData
from ipycontainer.sandbox.shown import Opaque

UTC = datetime.timezone.utc
PNG = b"\x89PNG\r\n\x1a\n"


def passed(value: Any) -> Any:
    """Return what becomes of a value on its way."""
    encoder = Encoder(pickles=False)
    pieces = codec.pack({"value": encoder.encode(value)}, encoder.blobs)
    fields, blobs = codec.unpack(b"".join(bytes(piece) for piece in pieces))
    return Decoder(blobs, pickles=False).decode(fields["value"])


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -(1 << 70),
        1 << 20_000,
        0.1,
        math.inf,
        "text \ud800 \0 é",
        b"\0\xff",
        bytearray(b"x"),
        [],
        {},
        (),
        [1, (2, [3]), {"a": {4: {5, 6}}}],
        {"$": "dict", "items": []},
        {(1, 2): frozenset({3})},
        1 + 2j,
        decimal.Decimal("0.10"),
        datetime.date(2024, 2, 29),
        datetime.time(1, 2, 3, 4),
        datetime.datetime(2024, 2, 29, 1, 2, 3, 4),
        datetime.datetime(2024, 2, 29, tzinfo=UTC),
        datetime.timedelta(days=-1, microseconds=5),
        range(1, 10, 3),
        slice(None, 2),
    ],
    ids=lambda value: type(value).__name__,
)
def test_plain_values_come_out_as_they_went_in(value: Any) -> None:
    found = passed(value)
    assert found == value
    assert type(found) is type(value)


def test_not_a_number_passes() -> None:
    assert math.isnan(passed(math.nan))


class Room:
    """No plain data."""


def test_what_is_no_data_is_refused_or_pickled() -> None:
    with pytest.raises(NotData, match="Room is no plain data"):
        Encoder(pickles=False).encode([Room()])
    encoder = Encoder(pickles=True)
    tree = encoder.encode([b"first", Room()])
    assert len(encoder.blobs) == 1
    blobs = [memoryview(blob) for blob in encoder.blobs]
    assert isinstance(Decoder(blobs, pickles=True).decode(tree)[1], Room)
    with pytest.raises(NotData, match="cannot be pickled"):
        encoder.encode(lambda: None)


def test_what_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(NotData, match="deeper than 100 levels"):
        Encoder(pickles=False).encode(endless)


class Trap:
    """A pickle that makes a folder when it is opened."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


def test_a_pickle_that_nobody_asked_for_is_not_opened(tmp_path: Path) -> None:
    blob = memoryview(pickle.dumps(Trap(tmp_path / "sprung")))
    with pytest.raises(BadData, match="a pickle"):
        Decoder([blob], pickles=False).decode({"$": "pickle", "blob": 0})
    assert not (tmp_path / "sprung").exists()


def deep(levels: int) -> Any:
    tree: Any = 1
    for _ in range(levels):
        tree = {"$": "list", "items": [tree]}
    return tree


@pytest.mark.parametrize(
    "tree",
    [
        [],
        {},
        {"$": []},
        {"$": "nosuch"},
        {"$": "__class__"},
        {"$": "list"},
        {"$": "list", "items": 5},
        {"$": "dict", "keys": [1], "values": []},
        {"$": "dict", "keys": [{"$": "list", "items": []}], "values": [1]},
        {"$": "bytes", "blob": 7},
        {"$": "bytes", "blob": True},
        {"$": "bytes", "blob": -1},
        {"$": "int", "hex": "text"},
        {"$": "date", "parts": [2024, 2, 31], "offset": None},
        {"$": "complex", "parts": "xy"},
        deep(200),
    ],
    ids=lambda tree: str(tree)[:40],
)
def test_what_is_no_value_is_refused(tree: Any) -> None:
    with pytest.raises(BadData):
        Decoder([memoryview(b"x")], pickles=False).decode(tree)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\0\0\0",
        struct.pack(">I", 0xFFFFFFFF),
        struct.pack(">I", 2) + b"{}",
        struct.pack(">I", 4) + b"null",
        struct.pack(">I", 2) + b"\xff\xff",
        struct.pack(">I", 100_000) + b"[" * 100_000,
        struct.pack(">I", 26) + b'{"fields":{},"blobs":[99]}',
        struct.pack(">I", 26) + b'{"fields":{},"blobs":[-1]}',
        struct.pack(">I", 26) + b'{"fields":[],"blobs":[ 0]}',
    ],
    ids=lambda packet: repr(packet[:30]),
)
def test_what_is_no_message_is_refused(packet: bytes) -> None:
    with pytest.raises(BadData):
        codec.unpack(packet)


def opaque(forms: dict[str, bytes], *, trusted: bool) -> dict[str, str]:
    described = {
        "type": "Room",
        "text": "\x1b[31m<b>",
        "why": "",
        "forms": {mime: number for number, mime in enumerate(forms)},
    }
    blobs = [memoryview(data) for data in forms.values()]
    return Opaque.read(described, blobs, trusted=trusted)._repr_mimebundle_()


def test_markup_and_false_pictures_are_dropped_unless_the_sandbox_is_trusted() -> None:
    forms = {
        "text/html": b"<script>",
        "image/svg+xml": b"<svg>",
        "text/markdown": b"<b>",
        "application/javascript": b"1",
        "image/jpeg": b"<svg>",
        "image/png": PNG,
    }
    assert set(opaque(forms, trusted=False)) == {"text/plain", "image/png"}
    trusted = opaque(forms, trusted=True)
    assert set(forms) - set(trusted) == {"application/javascript", "image/jpeg"}


def test_text_of_an_object_moves_no_terminal() -> None:
    assert opaque({}, trusted=False)["text/plain"] == "\\x1b[31m<b>"


@pytest.mark.parametrize("described", [None, {}, {"forms": {"image/png": 3}}, {"forms": 1}])
def test_an_object_that_is_not_described_is_refused(described: Any) -> None:
    with pytest.raises(BadData):
        Opaque.read(described, [], trusted=False)


@pytest.mark.parametrize(
    "described",
    [
        None,
        5,
        [None],
        [{"name": 5, "message": [], "steps": 7, "leads_to_next_as": {}}],
        [{"name": "A\x1b[2J\nB", "message": "\x1b]52;c;x\x07", "steps": [[1], [1, 2, 3, 4]]}],
        [{"name": "A", "message": "m", "steps": [["<sandbox 1>", 10**30, "f", "x"]]}],
    ],
    ids=str,
)
def test_an_error_is_text_whatever_is_sent(described: Any) -> None:
    error = error_of(described, {"<sandbox 1>": ("code", ["line"])})
    assert "\x1b" not in error.traceback() + str(error)
    assert error.name


def test_the_lines_of_an_error_are_those_that_were_sent() -> None:
    lie = [{"name": "E", "message": "", "steps": [["<sandbox 1>", 1, "f", "another line"]]}]
    error = error_of(lie, {"<sandbox 1>": ("Cell In[1]", ["the line"])})
    assert error.causes[0].steps[0].text == "the line"


@pytest.mark.parametrize("name", inside.ORDER)
def test_what_runs_in_containers_is_python_3_6(name: str) -> None:
    source = (Path(inside.__file__).parent / f"{name}.py").read_text()
    ast.parse(source, feature_version=(3, 6))
    assert "from __future__" not in source


def test_every_python_can_read_what_it_is_started_with() -> None:
    tree = ast.parse(start.BOOT, feature_version=(3, 0))
    modules = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    assert modules == []
