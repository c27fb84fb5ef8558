"""Values as data: JSON and blobs of bytes.

Nothing that is decoded runs code, unless the one who decodes asks for pickles. A packet is four
bytes of length, the head as JSON `{"fields": …, "blobs": [lengths]}`, and the blobs. What JSON has
no word for is an object whose key "$" names its kind.
"""

import datetime
import decimal
import json
import pickle
import struct
from typing import Any

from . import arrays
from .arrays import BadData, NotData

DEEPEST = 100
LONGEST_HEAD = 32 << 20
"""JSON takes many times its length in memory when it is read."""
_SAFE_INTEGER = 1 << 62
_PICKLE_PROTOCOL = 4  # Python 3.6's highest
_ZONE = datetime.timezone
_DAY, _CLOCK = ("year", "month", "day"), ("hour", "minute", "second", "microsecond")
_TIMES = {
    datetime.date: _DAY,
    datetime.time: _CLOCK,
    datetime.datetime: _DAY + _CLOCK,
}  # type: dict[Any, tuple[str, ...]]

__all__ = ["BadData", "Decoder", "Encoder", "NotData", "pack", "unpack"]


def pack(fields: Any, blobs: "list[Any]") -> "list[Any]":
    """Return the pieces of a packet; raises NotData where its head is too long."""
    head = json.dumps({"fields": fields, "blobs": [len(blob) for blob in blobs]}).encode("ascii")
    if len(head) > LONGEST_HEAD:
        raise NotData(
            "there are {} MB of single values, more than {}: use arrays or bytes".format(
                len(head) >> 20, LONGEST_HEAD >> 20
            )
        )
    return [struct.pack(">I", len(head)), head, *blobs]


def unpack(packet: bytes) -> "tuple[dict[str, Any], list[memoryview]]":
    """Take a packet apart; raises BadData for one that is none."""
    view = memoryview(packet)
    try:
        (length,) = struct.unpack_from(">I", view)
        if length > LONGEST_HEAD:
            raise BadData("a message's head has {} bytes".format(length))
        head = json.loads(bytes(view[4 : 4 + length]).decode("ascii"))
        fields, sizes = head["fields"], head["blobs"]
        if type(fields) is not dict or not all(type(n) is int and n >= 0 for n in sizes):
            raise BadData("a message's head is malformed")
    except (struct.error, ValueError, TypeError, KeyError, RecursionError) as error:
        raise BadData("a message's head is malformed") from error
    if 4 + length + sum(sizes) != len(view):
        raise BadData("a message's blobs are cut")
    blobs, position = [], 4 + length
    for size in sizes:
        blobs.append(view[position : position + size])
        position += size
    return fields, blobs


class Encoder:
    """Makes trees of values, and gathers their blobs; `pickles` what is no data otherwise."""

    def __init__(self, pickles: bool) -> None:
        self.blobs = []  # type: list[Any]
        self._pickles = pickles
        self._depth = 0

    def encode(self, value: Any) -> Any:
        """Return a value's tree; raises NotData, which leaves no blob of it behind."""
        kept = len(self.blobs)
        try:
            return self._one(value)
        except NotData as reason:
            del self.blobs[kept:]
            if not self._pickles:
                raise
            try:
                data = pickle.dumps(value, _PICKLE_PROTOCOL)
            except Exception as error:  # whatever the value's own methods raise
                raise NotData("it cannot be pickled: {}".format(error)) from reason
            return {"$": "pickle", "blob": self.keep(data)}
        finally:
            self._depth = 0

    def keep(self, blob: Any) -> int:
        """Take a blob and return its number."""
        self.blobs.append(blob)
        return len(self.blobs) - 1

    def _one(self, value: Any) -> Any:
        kind = type(value)
        if value is None or kind in (bool, str, float):
            return value
        if kind is int:
            within = -_SAFE_INTEGER < value < _SAFE_INTEGER
            return value if within else {"$": "int", "hex": hex(value)}
        self._depth += 1
        if self._depth > DEEPEST:
            raise NotData("it is nested deeper than {} levels".format(DEEPEST))
        tree = self._container(value, kind) or self._other(value, kind)
        self._depth -= 1
        return tree

    def _container(self, value: Any, kind: type) -> Any:
        if kind is list:
            # In an object, so that an empty one is not taken for "none of these".
            return {"$": "list", "items": [self._one(item) for item in value]}
        if kind in (tuple, set, frozenset):
            return {"$": kind.__name__, "items": [self._one(item) for item in value]}
        if kind is dict:
            keys = [self._one(key) for key in value]
            return {"$": "dict", "keys": keys, "values": [self._one(v) for v in value.values()]}
        return None

    def _other(self, value: Any, kind: type) -> Any:
        if kind in (bytes, bytearray):
            return {"$": kind.__name__, "blob": self.keep(bytes(value))}
        if kind is complex:
            return {"$": "complex", "parts": [value.real, value.imag]}
        if kind is decimal.Decimal:
            return {"$": "decimal", "text": str(value)}
        if kind in _TIMES and type(getattr(value, "tzinfo", None)) in (type(None), _ZONE):
            parts = [getattr(value, name) for name in _TIMES[kind]]
            zone = getattr(value, "tzinfo", None)
            offset = None if zone is None else zone.utcoffset(None).total_seconds()
            return {"$": kind.__name__, "parts": parts, "offset": offset}
        if kind is datetime.timedelta:
            return {"$": "timedelta", "parts": [value.days, value.seconds, value.microseconds]}
        if kind in (range, slice):
            return {"$": kind.__name__, "parts": [value.start, value.stop, value.step]}
        tree = arrays.encode(value, self._one, self.keep)
        if tree is None:
            raise NotData("a {} is no plain data".format(type_name(value)))
        return tree


def _time(kind: Any) -> Any:
    def made(_decoder: "Decoder", tree: "dict[str, Any]") -> Any:
        value, offset = kind(*tree["parts"]), tree["offset"]
        if offset is None:
            return value
        return value.replace(tzinfo=_ZONE(datetime.timedelta(seconds=offset)))

    return made


def type_name(value: Any) -> str:
    """Return how a person calls the type of a value."""
    kind = type(value)
    if kind.__module__ in ("builtins", "__main__"):
        return kind.__qualname__
    return "{}.{}".format(kind.__module__, kind.__qualname__)


class Decoder:
    """Makes values of trees; with `pickles` also those that run code."""

    def __init__(self, blobs: "list[memoryview]", pickles: bool) -> None:
        self._blobs = blobs
        self._pickles = pickles
        self._depth = 0

    def decode(self, tree: Any) -> Any:
        """Return the value of a tree.

        Raises BadData for what is none, and for a pickle that was not asked for; ImportError where
        numpy or pandas is missing; with `pickles`, NotData for a pickle that cannot be opened here.
        """
        try:
            return self._one(tree)
        except (BadData, NotData, ImportError):
            raise
        except Exception as error:
            # numpy and pandas have their own ways to refuse what does not fit together.
            raise BadData("a value is malformed: {}".format(str(error)[:200])) from error
        finally:
            self._depth = 0

    def blob(self, number: Any) -> memoryview:
        """Return a blob by its number."""
        if type(number) is not int or not 0 <= number < len(self._blobs):
            raise BadData("a value names no blob")
        return self._blobs[number]

    def _one(self, tree: Any) -> Any:
        if tree is None or type(tree) in (bool, int, float, str):
            return tree
        if type(tree) is not dict or type(tree.get("$")) is not str:
            raise BadData("a value has no kind")
        self._depth += 1
        if self._depth > DEEPEST:
            raise BadData("a value is nested deeper than {} levels".format(DEEPEST))
        value = self._made(tree["$"], tree)
        self._depth -= 1
        return value

    def _made(self, kind: str, tree: "dict[str, Any]") -> Any:
        maker = _CONTAINERS.get(kind)
        if maker is not None:
            return maker([self._one(item) for item in tree["items"]])
        if kind == "dict":
            keys, values = [self._one(key) for key in tree["keys"]], tree["values"]
            if len(keys) != len(values):
                raise BadData("a dict's keys and values do not match")
            return dict(zip(keys, [self._one(value) for value in values]))
        if kind == "pickle":
            return self._opened(self.blob(tree["blob"]))
        scalar = _SCALARS.get(kind)
        if scalar is not None:
            return scalar(self, tree)
        value = arrays.decode(tree, self._one, self.blob)
        if value is None:
            raise BadData("a value is of the unknown kind {!r}".format(kind[:50]))
        return value

    def _opened(self, data: memoryview) -> Any:
        if not self._pickles:
            raise BadData("a pickle, which runs code when it is opened, was not asked for")
        try:
            # The one who decodes trusts the one who encoded: the container its notebook, or a
            # notebook its container by trusted=True.
            return pickle.loads(data)  # noqa: S301 - see above
        except Exception as error:
            raise NotData("its pickle cannot be opened here: {}".format(error)) from error

    def integer(self, tree: "dict[str, Any]") -> int:
        """Return an integer beyond JSON's usual ones."""
        return int(str(tree["hex"]), 16)


_CONTAINERS = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
_SCALARS = {
    "int": Decoder.integer,
    "bytes": lambda decoder, tree: bytes(decoder.blob(tree["blob"])),
    "bytearray": lambda decoder, tree: bytearray(decoder.blob(tree["blob"])),
    "complex": lambda decoder, tree: complex(*tree["parts"]),
    "decimal": lambda decoder, tree: decimal.Decimal(str(tree["text"])),
    "date": _time(datetime.date),
    "time": _time(datetime.time),
    "datetime": _time(datetime.datetime),
    "timedelta": lambda decoder, tree: datetime.timedelta(*tree["parts"]),
    "range": lambda decoder, tree: range(*tree["parts"]),
    "slice": lambda decoder, tree: slice(*tree["parts"]),
}
