"""numpy's arrays and pandas' frames as data."""

from __future__ import annotations

from typing import Any

import numpy
import pandas
import pytest
from test_codec import passed

from ipycontainer.sandbox.inside.codec import BadData, Decoder, Encoder, NotData


def arrays() -> list[Any]:
    return [
        numpy.arange(6).reshape(2, 3),
        numpy.arange(6, dtype=">i4")[::2],
        numpy.asfortranarray(numpy.ones((2, 3), "f4")),
        numpy.array([True, False]),
        numpy.array(["a", "éß"]),
        numpy.array([b"a", b"\xff"]),
        numpy.array([1 + 2j]),
        numpy.array(["2024-02-29", "NaT"], "M8[ns]"),
        numpy.array([1, 2], "m8[s]"),
        numpy.zeros((0, 3)),
        numpy.array(5.0),
        numpy.array([1, "a", None, [2]], object),
    ]


@pytest.mark.parametrize("array", arrays(), ids=lambda a: f"{a.dtype}-{a.shape}")
def test_arrays_come_out_as_they_went_in(array: Any) -> None:
    found = passed(array)
    assert found.dtype == array.dtype
    numpy.testing.assert_array_equal(found, array)
    assert found.flags.writeable


def test_single_numbers_keep_their_type() -> None:
    found = passed(numpy.float32(0.5))
    assert type(found) is numpy.float32
    assert found == 0.5


def frames() -> list[Any]:
    index = pandas.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["x", None])
    days = pandas.date_range("2024-01-01", periods=2, tz="Europe/Berlin")
    return [
        pandas.DataFrame({"n": [1, 2], "f": [0.5, None], "s": ["a", None], 3: [True, False]}),
        pandas.DataFrame({"day": days, "kind": pandas.Categorical(["b", "a"], ["b", "a"])}),
        pandas.DataFrame({"n": pandas.array([1, None], "Int64")}, index=index),
        pandas.DataFrame([[1, 2], [3, 4]], columns=["same", "same"]),
        pandas.DataFrame({"n": [1, 2]}, index=pandas.Index(["a", "b"], name="key")),
        pandas.DataFrame(),
        pandas.DataFrame({"mixed": [1, (2, "x")]}),
        pandas.DataFrame({"text": pandas.array(["a", None], "string")}),
    ]


@pytest.mark.parametrize("frame", frames(), ids=lambda f: ",".join(map(str, f.columns)))
def test_frames_come_out_as_they_went_in(frame: Any) -> None:
    pandas.testing.assert_frame_equal(passed(frame), frame, check_freq=False)


def test_series_and_indexes_come_out_as_they_went_in() -> None:
    series = pandas.Series([1.5, 2], index=["a", "b"], name="s")
    pandas.testing.assert_series_equal(passed(series), series)
    days = pandas.to_datetime(["2024-01-01", "2024-01-02"])
    for index in (pandas.RangeIndex(3), pandas.Index([1, 5]), days):
        pandas.testing.assert_index_equal(passed(index), index)
    assert passed(pandas.NaT) is pandas.NaT
    assert passed(pandas.Timestamp("2024-02-29 01:02:03.000004005")).nanosecond == 5


def test_what_is_no_plain_array_is_refused() -> None:
    for value in (
        numpy.zeros(2, [("a", "i4")]),
        numpy.array([object()], object),
        pandas.Series(pandas.period_range("2024", periods=2)),
        pandas.DataFrame({"a": [object()]}),
        numpy.ma.masked_array([1]),
    ):
        with pytest.raises(NotData):
            Encoder(pickles=False).encode(value)


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "|O8"},
        {"dtype": "<f8,<f8"},
        {"dtype": "V8"},
        {"dtype": ["<f8"]},
        {"shape": [1 << 62, 1 << 62]},
        {"shape": [-1]},
        {"shape": [2.0]},
        {"shape": [2] * 70},
        {"shape": [3]},
        {"blob": 5},
        {"dtype": "<U4", "shape": [1]},
        {"dtype": "|S0", "shape": [1 << 40], "blob": 1},
    ],
    ids=str,
)
def test_an_array_that_lies_is_refused(change: dict[str, Any]) -> None:
    tree = {"$": "array", "dtype": "<f8", "shape": [2], "blob": 0, **change}
    with pytest.raises(BadData):
        Decoder([memoryview(b"\xff" * 16), memoryview(b"")], pickles=False).decode(tree)


def test_a_truth_value_is_one_bit() -> None:
    tree = {"$": "array", "dtype": "|b1", "shape": [2], "blob": 0}
    found = Decoder([memoryview(b"\x02\x00")], pickles=False).decode(tree)
    assert found.view("u1").tolist() == [1, 0]


def zoned(zone: str) -> dict[str, Any]:
    values = {"$": "array", "dtype": "<M8[ns]", "shape": [2], "blob": 0}
    return {"$": "zoned", "values": values, "zone": zone}


def test_a_frame_that_lies_is_refused() -> None:
    good = Encoder(pickles=False)
    tree = good.encode(pandas.DataFrame({"a": [1, 2]}))
    blobs = [memoryview(blob) for blob in good.blobs]
    for key, value in (
        ("index", {"$": "span", "span": [0, 9, 1], "name": None}),
        ("index", {"$": "nosuch"}),
        ("names", {"$": "span", "span": [0, 9, 1], "name": None}),
        ("columns", 5),
        ("columns", [{"$": "extension", "type": "sparse", "items": []}]),
        ("columns", [zoned("dateutil//dev/zero")]),
        ("columns", [zoned("../../../dev/zero")]),
        ("columns", [zoned("/dev/zero")]),
    ):
        with pytest.raises(BadData):
            Decoder(blobs, pickles=False).decode({**tree, key: value})
