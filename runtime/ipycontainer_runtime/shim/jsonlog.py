"""Docker's `json-file` log format: one JSON object per line, or per 16 KB piece of a long line.

Written as Docker's encoder writes it, byte for byte, so that whatever reads Docker's logs reads
ours. Many lines become JSON by a few passes over all of them, not line by line.
"""

import json
import os
from collections.abc import Iterator
from typing import BinaryIO

PARTIAL = 16 * 1024  # bytes after which Docker's copier breaks a line
NAMES = {1: "stdout", 2: "stderr"}
NUMBERS = {b"stdout": 1, b"stderr": 2}

_BEGIN = b'{"log":"'
_STREAM = b'","stream":"'
_PLAIN = bytes(b for b in range(0x20, 0x7F) if b not in b'\\"<>&') + b"\n"
# The backslash first, since every escape has one. Go escapes what could end a script element, too.
_ESCAPES = (
    (b"\\", b"\\\\"),
    (b'"', b'\\"'),
    (b"\r", b"\\r"),
    *((b"%c" % code, b"\\u%04x" % code) for code in (*range(0x20), *b"<>&") if code not in b"\r\n"),
)
_SEPARATORS = (("\u2028".encode(), b"\\u2028"), ("\u2029".encode(), b"\\u2029"))


def whole(data: bytes) -> int:
    """Return how much of the data can be written: up to its last newline or full 16 KB piece."""
    end = data.rfind(b"\n") + 1
    return end + (len(data) - end) // PARTIAL * PARTIAL


def encode(stream: int, data: bytes, time: str) -> Iterator[bytes]:
    """Yield the JSON lines of data that starts a line, all with one RFC 3339 time.

    At most 16 KB of data at once, or the next piece of a longer line: larger pieces leave the
    processor's cache and take four times as long.
    """
    start = 0
    while start < len(data):
        newline = data.rfind(b"\n", start, start + PARTIAL)
        end = newline + 1 if newline >= 0 else start + PARTIAL
        yield _encode(stream, data[start:end], time)
        start = end


def _encode(stream: int, data: bytes, time: str) -> bytes:
    if special := data.translate(None, _PLAIN):
        data = _escape(data, special)
    end = b'%s%s","time":"%s"}\n' % (_STREAM, NAMES[stream].encode(), time.encode())
    lines = data.replace(b"\n", b"\\n" + end + _BEGIN)
    if data.endswith(b"\n"):
        return _BEGIN + lines[: -len(_BEGIN)]
    return _BEGIN + lines + end


def _escape(data: bytes, special: bytes) -> bytes:
    """Escape data whose characters to be looked at are `special`: a pass for each that is there."""
    for raw, escaped in _ESCAPES:
        if raw in special:
            data = data.replace(raw, escaped)
    if special.isascii():
        return data
    for raw, escaped in _SEPARATORS:
        data = data.replace(raw, escaped)
    try:
        data.decode()
    except UnicodeDecodeError:
        return _replace_invalid(data)
    return data


def _replace_invalid(data: bytes) -> bytes:
    r"""Write \ufffd for each byte that is not UTF-8, as Go does; what comes is escaped already."""
    # "replace" gives a question mark for each; NUL, which is escaped, stands in for the real ones.
    text = data.replace(b"?", b"\0").decode("utf-8", "surrogateescape")
    return text.encode("utf-8", "replace").replace(b"?", b"\\ufffd").replace(b"\0", b"?")


def decode(line: bytes) -> tuple[str, int, bytes]:
    """Return time, stream and data of one JSON line; raises ValueError if it is none."""
    at = line.rfind(_STREAM)
    body, rest = line[len(_BEGIN) : at], line[at + len(_STREAM) :]
    stream = NUMBERS.get(rest[:6])
    if at < 0 or stream is None or not line.startswith(_BEGIN) or rest[6:16] != b'","time":"':
        return _decode_any(line)
    time = rest[16:-3].decode()
    if b"\\" in body[:-2]:
        return time, stream, json.loads(b'"%s"' % body).encode()
    return time, stream, body[:-2] + b"\n" if body.endswith(b"\\n") else body


def _decode_any(line: bytes) -> tuple[str, int, bytes]:
    try:
        record = json.loads(line)
        return record["time"], NUMBERS[record["stream"].encode()], record["log"].encode()
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a line of a json-file log: {line[:60]!r}") from error


def end_of_lines(file: BinaryIO) -> int:
    """Return where the last whole line ends."""
    size = file.seek(0, os.SEEK_END)
    position = size
    while position:
        start = max(0, position - PARTIAL)
        file.seek(start)
        newline = file.read(position - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        position = start
    return 0
