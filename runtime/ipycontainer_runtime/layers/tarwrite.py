"""Writing tar: ustar headers, with a pax header for what they cannot hold.

The same entries give the same bytes: no names of users, no time but the file's own.
"""

from collections.abc import Callable

from ipycontainer_runtime.layers.tarread import BLOCK, REGULAR, Entry

# Pieces are gathered to this many bytes: a chunk costs a lock and a wake-up.
_GATHER = 1 << 20
_OCTAL_7, _OCTAL_11 = 1 << 21, 1 << 33


class TarWriter:
    """Write entries and their content; `put` is given the archive in large chunks."""

    def __init__(self, put: Callable[[bytes], None]) -> None:
        self._put = put
        self._pieces: list[bytes] = []
        self._size = 0

    def entry(self, entry: Entry, sparse: list[tuple[int, int]] | None = None) -> None:
        """Begin an entry; `entry.stored` bytes of content follow by `content`.

        With `sparse`, the offset and length of each piece that is stored, its map goes first
        (GNU's version 1.0), and the content is those pieces one after the other.
        """
        records = _pax_records(entry)
        stored, name, sparse_map = entry.stored, entry.name, b""
        if sparse is not None:
            sparse_map = _sparse_map(sparse)
            stored += len(sparse_map)
            records += [
                (b"GNU.sparse.major", b"1"),
                (b"GNU.sparse.minor", b"0"),
                (b"GNU.sparse.name", name),
                (b"GNU.sparse.realsize", b"%d" % entry.size),
            ]
        if stored >= _OCTAL_11:
            records.append((b"size", b"%d" % stored))
        if records:
            body = b"".join(_record(key, value) for key, value in sorted(records))
            self._add(_header(b"PaxHeaders/" + _last(name), entry, b"x", len(body)))
            self._add(body + bytes(-len(body) % BLOCK))
        self._add(_header(name, entry, entry.type, stored) + sparse_map)

    def content(self, piece: bytes) -> None:
        """Add content of the last entry."""
        self._add(piece)

    def end_content(self, size: int) -> None:
        """Pad the content, `size` bytes long, to whole blocks."""
        if size % BLOCK:
            self._add(bytes(-size % BLOCK))

    def close(self) -> None:
        """Write the end of the archive."""
        self._add(bytes(2 * BLOCK))
        self._flush()

    def _add(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size >= _GATHER:
            self._flush()

    def _flush(self) -> None:
        chunk = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces, self._size = [], 0
        self._put(chunk)


def _last(name: bytes) -> bytes:
    return name.rstrip(b"/").rpartition(b"/")[2][:80]


def _header(name: bytes, entry: Entry, kind: bytes, size: int) -> bytes:
    header = (
        b"%-100b%07o\0%07o\0%07o\0%011o\0%011o\0        %b%-100bustar\x0000%64b%07o\0%07o\0"
        % (
            _null_padded(name, 100),
            entry.mode,
            entry.uid if entry.uid < _OCTAL_7 else 0,
            entry.gid if entry.gid < _OCTAL_7 else 0,
            size if size < _OCTAL_11 else 0,
            min(max(entry.mtime // 1_000_000_000, 0), _OCTAL_11 - 1),
            kind,
            _null_padded(entry.link if kind != b"x" else b"", 100),
            bytes(64),
            entry.device[0],
            entry.device[1],
        )
    )
    header += bytes(BLOCK - len(header))
    return b"%b%06o\0 %b" % (header[:148], sum(header), header[156:])


def _null_padded(text: bytes, width: int) -> bytes:
    return text[:width].ljust(width, b"\0")


def _pax_records(entry: Entry) -> list[tuple[bytes, bytes]]:
    records = []
    if len(entry.name) > 100:
        records.append((b"path", entry.name))
    if len(entry.link) > 100:
        records.append((b"linkpath", entry.link))
    if entry.mtime % 1_000_000_000 or entry.mtime < 0:
        records.append((b"mtime", _time(entry.mtime)))
    if entry.uid >= _OCTAL_7:
        records.append((b"uid", b"%d" % entry.uid))
    if entry.gid >= _OCTAL_7:
        records.append((b"gid", b"%d" % entry.gid))
    for name, value in (entry.xattrs or {}).items():
        records.append((b"SCHILY.xattr." + name, value))
    return records


def _time(nanoseconds: int) -> bytes:
    sign = b"-" if nanoseconds < 0 else b""
    seconds, fraction = divmod(abs(nanoseconds), 1_000_000_000)
    return b"%b%d.%09d" % (sign, seconds, fraction) if fraction else b"%b%d" % (sign, seconds)


def _record(key: bytes, value: bytes) -> bytes:
    """Return `LENGTH KEY=VALUE\\n`, whose length counts its own digits."""
    length = len(key) + len(value) + 3
    digits = len(b"%d" % length)
    if len(b"%d" % (length + digits)) > digits:
        digits += 1
    return b"%d %b=%b\n" % (length + digits, key, value)


def _sparse_map(pieces: list[tuple[int, int]]) -> bytes:
    lines = b"%d\n" % len(pieces) + b"".join(b"%d\n%d\n" % piece for piece in pieces)
    return lines + bytes(-len(lines) % BLOCK)


def whiteout(name: bytes) -> Entry:
    """Return the entry that hides `name`, or with `.wh..wh..opq` all that a folder held below."""
    return Entry(name, REGULAR, 0, 0, 0, 0, b"", 0, 0)
