"""numpy's arrays and pandas' frames as buffers and plain values, and back.

Neither library is imported before a value is theirs. `encode` and `decode` are the codec's own, for
the values inside. What is decoded may come from a hostile container: types come from a short list,
and sizes are checked before numpy is told of them.
"""

import re
import sys
from typing import Any, Callable

Encode = Callable[[Any], Any]
Keep = Callable[[Any], int]

_DTYPE = re.compile(
    r"[<>|=](?:b1|[iu][1248]|f2|f4|f8|f16|c8|c16|c32|[SU][0-9]{1,7}"
    r"|[mM]8(?:\[[0-9]{0,6}(?:Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?)"
)
_EXTENSION = re.compile(r"str|string|boolean|U?Int(?:8|16|32|64)|Float(?:32|64)")
# What pandas would look up as a file, or ask dateutil for, is none.
_ZONE = re.compile(r"(?!dateutil/)[A-Za-z][A-Za-z0-9_+:-]*(?:/[A-Za-z][A-Za-z0-9_+-]*)*")
_KINDS = "biufcmMSU"
_LAST_CHARACTER = 0x10FFFF
_MOST_DIMENSIONS = 32


class NotData(Exception):  # noqa: N818 - the answer to a question, as often as not
    """A value that can only be had as a pickle; the message is the reason."""


class BadData(Exception):  # noqa: N818 - the name says it
    """What was received is no value; the message is the reason."""


def encode(value: Any, encode_one: Encode, keep: Keep) -> Any:
    """Return the tree of numpy's or pandas' value, or None when it is neither's.

    `keep` takes a buffer and returns its number.
    """
    library = type(value).__module__.partition(".")[0]
    if library == "numpy":
        return _encode_numpy(value, sys.modules["numpy"], encode_one, keep)
    if library == "pandas":
        return _encode_pandas(value, sys.modules["pandas"], encode_one, keep)
    return None


def decode(tree: Any, decode_one: Encode, blob: Callable[[Any], Any]) -> Any:
    """Return the value of a tree that `encode` made; None when its kind is not of these.

    Raises ImportError where the library is not to be had, and whatever it raises for bad data.
    """
    reader = _READERS.get(tree["$"])
    return None if reader is None else reader(tree, decode_one, blob)


def _encode_numpy(value: Any, numpy: Any, encode_one: Encode, keep: Keep) -> Any:
    if type(value) is numpy.ndarray:
        if value.dtype.kind == "O":
            items = value.ravel().tolist()
            found = {"$": "objects", "shape": list(value.shape)}  # type: dict[str, Any]
            return dict(found, **_items(items, encode_one, keep))
        return _buffer(value, numpy, keep, "array")
    if isinstance(value, numpy.generic):
        return _buffer(numpy.asarray(value), numpy, keep, "scalar")
    return None


def _buffer(array: Any, numpy: Any, keep: Keep, kind: str) -> Any:
    dtype = array.dtype
    if dtype.kind not in _KINDS or not _DTYPE.fullmatch(dtype.str):
        raise NotData("numpy's type {} is no plain data".format(dtype))
    number = keep(numpy.ascontiguousarray(array).tobytes())
    return {"$": kind, "dtype": dtype.str, "shape": list(array.shape), "blob": number}


def _encode_pandas(value: Any, pandas: Any, encode_one: Encode, keep: Keep) -> Any:
    def column(values: Any) -> Any:
        return _encode_column(values, pandas, encode_one, keep)

    def index(values: Any) -> Any:
        if type(values) is pandas.RangeIndex:
            span = [int(values.start), int(values.stop), int(values.step)]
            return {"$": "span", "span": span, "name": encode_one(values.name)}
        if type(values) is pandas.MultiIndex:
            levels = [column(values.get_level_values(n)) for n in range(values.nlevels)]
            return {"$": "levels", "levels": levels, "names": encode_one(list(values.names))}
        return {"$": "index", "values": column(values), "name": encode_one(values.name)}

    if type(value) is pandas.DataFrame:
        columns = [column(value.iloc[:, n]) for n in range(value.shape[1])]
        return {
            "$": "frame",
            "columns": columns,
            "names": index(value.columns),
            "index": index(value.index),
        }
    if type(value) is pandas.Series:
        name = encode_one(value.name)
        return {"$": "series", "values": column(value), "index": index(value.index), "name": name}
    if isinstance(value, pandas.Index):
        return index(value)
    if value is pandas.NaT or value is getattr(pandas, "NA", None):
        return {"$": "missing", "name": "NaT" if value is pandas.NaT else "NA"}
    if type(value) is pandas.Timestamp and value.tz is None:
        return {"$": "timestamp", "text": value.isoformat()}
    if type(value) is pandas.Timedelta:
        return {"$": "timedelta64", "text": value.isoformat()}
    return None


def _encode_column(values: Any, pandas: Any, encode_one: Encode, keep: Keep) -> Any:
    import numpy

    dtype = values.dtype
    if isinstance(dtype, numpy.dtype):
        return _encode_numpy(values.to_numpy(), numpy, encode_one, keep)
    name = str(getattr(dtype, "name", dtype)).partition("[")[0]
    if name == "category":
        array = values.array if hasattr(values, "array") else values.values
        return {
            "$": "categories",
            "codes": _buffer(numpy.asarray(array.codes), numpy, keep, "array"),
            "of": _encode_column(array.categories, pandas, encode_one, keep),
            "ordered": bool(array.ordered),
        }
    if name == "datetime64":
        if not _ZONE.fullmatch(str(dtype.tz)):
            raise NotData("the time zone {} has no plain name".format(dtype.tz))
        plain = pandas.Series(values).dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
        return {"$": "zoned", "values": _buffer(plain, numpy, keep, "array"), "zone": str(dtype.tz)}
    if not _EXTENSION.fullmatch(name):
        raise NotData("pandas' type {} is no plain data".format(dtype))
    items = [None if missing else item for item, missing in zip(values, pandas.isna(values))]
    # Their numbers iterate as numpy's scalars; plain ones are shorter.
    plain_items = [item.item() if isinstance(item, numpy.generic) else item for item in items]
    return dict({"$": "extension", "type": name}, **_items(plain_items, encode_one, keep))


def _items(items: "list[Any]", encode_one: Encode, keep: Keep) -> "dict[str, Any]":
    """Return many values: text alone as one buffer, with the lengths and -1 for what is missing."""
    import numpy

    if not all(item is None or type(item) is str for item in items):
        return {"items": [encode_one(item) for item in items]}
    texts = [None if item is None else item.encode("utf-8", "surrogatepass") for item in items]
    lengths = numpy.array([-1 if text is None else len(text) for text in texts], "<i8")
    joined = b"".join(text for text in texts if text is not None)
    return {"lengths": keep(lengths.tobytes()), "texts": keep(joined)}


def _listed(tree: Any, decode_one: Encode, blob: Callable[[Any], Any]) -> "list[Any]":
    """Return the values that `_items` has encoded."""
    import numpy

    if "lengths" not in tree:
        return [decode_one(item) for item in tree["items"]]
    lengths, joined = numpy.frombuffer(blob(tree["lengths"]), "<i8"), bytes(blob(tree["texts"]))
    if lengths.size and (int(lengths.min()) < -1 or int(lengths.max()) > len(joined)):
        raise BadData("a column's lengths are malformed")
    items = []  # type: list[Any]
    position = 0
    for length in lengths.tolist():
        if length < 0:
            items.append(None)
            continue
        items.append(joined[position : position + length].decode("utf-8", "surrogatepass"))
        position += length
    if position != len(joined):
        raise BadData("a column's lengths do not fit its text")
    return items


def _shape(tree: Any) -> "tuple[int, ...]":
    shape = tuple(tree["shape"])
    if len(shape) > _MOST_DIMENSIONS or not all(type(n) is int and n >= 0 for n in shape):
        raise BadData("an array has the shape {}".format(str(shape)[:100]))
    return shape


def _array(tree: Any, _decode: Encode, blob: Callable[[Any], Any]) -> Any:
    import numpy

    text, shape, data = tree["dtype"], _shape(tree), blob(tree["blob"])
    if type(text) is not str or not _DTYPE.fullmatch(text):
        raise BadData("an array has the type {}".format(str(text)[:100]))
    dtype = numpy.dtype(text)
    size = dtype.itemsize
    for side in shape:
        size *= side
    if size != len(data):
        raise BadData("an array's buffer has {} bytes instead of {}".format(len(data), size))
    if 0 in shape:
        return numpy.zeros(shape, dtype)
    if dtype.itemsize == 0:
        raise BadData("an array's items have no size")
    array = numpy.frombuffer(data, dtype)
    if dtype.kind == "b":
        array = array.view("u1") != 0  # no other byte is a truth value
    elif dtype.kind == "U":
        codes = array.view(dtype.str[0] + "u4")
        if int(codes.max()) > _LAST_CHARACTER:
            raise BadData("an array of text holds what is no character")
    return array.reshape(shape).copy()


def _scalar(tree: Any, decode_one: Encode, blob: Callable[[Any], Any]) -> Any:
    return _array(tree, decode_one, blob)[()]


def _objects(tree: Any, decode_one: Encode, blob: Callable[[Any], Any]) -> Any:
    import numpy

    shape, items = _shape(tree), _listed(tree, decode_one, blob)
    size = 1
    for side in shape:
        size *= side
    if size != len(items):
        raise BadData("an array of {} objects has {} instead".format(size, len(items)))
    array = numpy.empty(len(items), object)
    for number, item in enumerate(items):
        array[number] = item
    return array.reshape(shape)


def _column(tree: Any, decode_one: Encode, blob: Callable[[Any], Any]) -> Any:
    """Return what a Series or an Index can be made of."""
    import pandas

    kind = tree["$"]
    if kind == "categories":
        codes = _array(tree["codes"], decode_one, blob)
        values = pandas.Index(_column(tree["of"], decode_one, blob))
        return pandas.Categorical.from_codes(codes, values, ordered=tree["ordered"] is True)
    if kind == "zoned":
        zone = tree["zone"]
        if type(zone) is not str or not _ZONE.fullmatch(zone):
            raise BadData("a column has the time zone {}".format(str(zone)[:100]))
        plain = pandas.Series(_array(tree["values"], decode_one, blob))
        return plain.dt.tz_localize("UTC").dt.tz_convert(zone).array
    if kind == "extension":
        name = tree["type"]
        if type(name) is not str or not _EXTENSION.fullmatch(name):
            raise BadData("a column has the type {}".format(str(name)[:100]))
        items = _listed(tree, decode_one, blob)
        try:
            return pandas.array(items, dtype=name)
        except TypeError:  # an older pandas has no such type
            return _objects(dict(tree, shape=[len(items)]), decode_one, blob)
    return (_objects if kind == "objects" else _array)(tree, decode_one, blob)


def _range(tree: Any, decode_one: Encode, _blob: Callable[[Any], Any]) -> Any:
    import pandas

    start, stop, step = tree["span"]
    if not all(type(n) is int for n in (start, stop, step)):
        raise BadData("a range has no whole numbers")
    return pandas.RangeIndex(start, stop, step, name=decode_one(tree["name"]))


def _levels(tree: Any, decode_one: Encode, blob: Callable[[Any], Any]) -> Any:
    import pandas

    levels = [_column(level, decode_one, blob) for level in tree["levels"]]
    return pandas.MultiIndex.from_arrays(levels, names=decode_one(tree["names"]))


def _index(tree: Any, decode_one: Encode, blob: Callable[[Any], Any]) -> Any:
    import pandas

    values = _column(tree["values"], decode_one, blob)
    name = decode_one(tree["name"])
    return pandas.Index(values, name=name, dtype=_kept(values), tupleize_cols=False)


def _any_index(tree: Any, decode_one: Encode, blob: Callable[[Any], Any]) -> Any:
    readers = {"span": _range, "levels": _levels, "index": _index}
    return readers[tree["$"]](tree, decode_one, blob)


def _series(tree: Any, decode_one: Encode, blob: Callable[[Any], Any]) -> Any:
    values, index = tree["values"], _any_index(tree["index"], decode_one, blob)
    return _one_column(values, index, decode_one, blob).rename(decode_one(tree["name"]))


def _one_column(tree: Any, index: Any, decode_one: Encode, blob: Callable[[Any], Any]) -> Any:
    import pandas

    values = _column(tree, decode_one, blob)
    return pandas.Series(values, index=index, dtype=_kept(values))


def _kept(values: Any) -> Any:
    """Return the type that pandas would guess anew: objects stay objects."""
    import numpy

    return object if isinstance(values, numpy.ndarray) and values.dtype == object else None


def _frame(tree: Any, decode_one: Encode, blob: Callable[[Any], Any]) -> Any:
    import pandas

    index = _any_index(tree["index"], decode_one, blob)
    columns = [_one_column(column, index, decode_one, blob) for column in tree["columns"]]
    frame = pandas.DataFrame(dict(enumerate(columns)), index=index)
    frame.columns = _any_index(tree["names"], decode_one, blob)
    return frame


def _missing(tree: Any, _decode: Encode, _blob: Callable[[Any], Any]) -> Any:
    import pandas

    return pandas.NaT if tree["name"] == "NaT" else pandas.NA


def _timestamp(tree: Any, _decode: Encode, _blob: Callable[[Any], Any]) -> Any:
    import pandas

    return pandas.Timestamp(str(tree["text"])[:64])


def _timedelta(tree: Any, _decode: Encode, _blob: Callable[[Any], Any]) -> Any:
    import pandas

    return pandas.Timedelta(str(tree["text"])[:64])


_READERS = {
    "array": _array,
    "scalar": _scalar,
    "objects": _objects,
    "span": _range,
    "levels": _levels,
    "index": _index,
    "series": _series,
    "frame": _frame,
    "missing": _missing,
    "timestamp": _timestamp,
    "timedelta64": _timedelta,
}
