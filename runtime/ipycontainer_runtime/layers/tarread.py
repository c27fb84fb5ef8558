"""Reading tar: ustar, GNU and pax headers from a stream of chunks, with bounds on all of them.

The standard library's tarfile is five times too slow for the pull of an image, and keeps every
entry. Formats: POSIX.1-2008 pax(1), and GNU tar's manual, "Tar Internals".
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ipycontainer_runtime.errors import Corrupt

BLOCK = 512
REGULAR, HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, FOLDER, FIFO = (
    b"0",
    b"1",
    b"2",
    b"3",
    b"4",
    b"5",
    b"6",
)  # fmt: skip - the POSIX order of the digits
_GNU_SPARSE, _GNU_NAME, _GNU_LINK, _PAX, _PAX_GLOBAL = b"S", b"L", b"K", b"x", b"g"
# v7's regular file, and POSIX's contiguous one, which nobody has told apart since.
_AS_REGULAR = {b"\0": REGULAR, b"7": REGULAR}
_TYPES = frozenset({REGULAR, HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, FOLDER, FIFO})
_EXTENSIONS = frozenset({_GNU_NAME, _GNU_LINK, _PAX, _PAX_GLOBAL})

# name mode uid gid size mtime checksum type link magic major minor prefix
_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s32x32x8s8s155s12x")
_LARGEST_ID = (1 << 32) - 2
_LATEST = (1 << 63) - 1
"""Nanoseconds: about the year 2262."""
_POSIX_MAGIC = b"ustar\0"
_XATTR = b"SCHILY.xattr."
# Overlay's marks are made from whiteouts alone: in an archive they could hide what lies below, or
# redirect it to any folder.
OVERLAY_MARKS = (b"trusted.overlay.", b"user.overlay.")
# The last are ours: see layers/ownership.
PRIVATE_XATTRS = (*OVERLAY_MARKS, b"user.ipycontainer.")
_SPARSE = b"GNU.sparse."


@dataclass(frozen=True)
class Limits:
    """What an archive may ask for before it is taken for a bomb."""

    entries: int = 2_000_000
    header: int = 1 << 20
    """Bytes of one extended header."""
    file: int = 1 << 40
    """Bytes of one file as it looks, holes included."""
    unpacked: int = 256 << 30
    """Bytes of the whole archive."""
    free: int = 2 << 30
    """Bytes it may have whatever its compressed size."""
    ratio: int = 200
    """How many times its compressed size it may have beyond that."""


DEFAULT_LIMITS = Limits()


@dataclass(slots=True)
class Entry:
    """One member of an archive; times in nanoseconds, sizes in bytes."""

    name: bytes
    type: bytes
    mode: int
    uid: int
    gid: int
    mtime: int
    link: bytes
    stored: int
    """Bytes that follow the header."""
    size: int
    """Bytes the file has, holes included."""
    device: tuple[int, int] = (0, 0)
    xattrs: dict[bytes, bytes] | None = None
    holes: list[tuple[int, int]] | None = None
    """For a sparse file: offset and length of each piece that is stored."""


class TarReader:
    """Give the entries of an archive in their order, and the content of the last one given."""

    def __init__(self, chunks: Iterable[bytes], limits: Limits = DEFAULT_LIMITS) -> None:
        self._chunks = iter(chunks)
        self._limits = limits
        self._chunk = b""
        self._view = memoryview(b"")
        self._position = 0
        self._left = 0
        self._padding = 0
        self._count = 0
        self._numbers: dict[bytes, int] = {}

    def entries(self) -> Iterator[Entry]:
        """Yield each entry; content that was not read is skipped. The stream is read to its end."""
        while (entry := self._next()) is not None:
            self.count()
            yield entry
        while self._refill():
            pass

    def count(self) -> None:
        """Count one more thing that the archive makes; Corrupt beyond the bound."""
        self._count += 1
        if self._count > self._limits.entries:
            raise Corrupt(f"the archive has more than {self._limits.entries} entries")

    def content(self, length: int | None = None) -> Iterator[memoryview]:
        """Yield the bytes stored for the last entry, or the next `length` of them, uncopied."""
        stop = 0 if length is None else self._left - length
        while self._left > stop:
            if self._position == len(self._chunk) and not self._refill():
                raise Corrupt("the archive ends in the middle of a file: fetch it again")
            end = min(self._position + self._left - stop, len(self._chunk))
            piece = self._view[self._position : end]
            self._left -= end - self._position
            self._position = end
            yield piece

    def take(self, length: int) -> bytes:
        """Return exactly `length` bytes of the last entry's content."""
        if length > self._left:
            raise Corrupt("the archive has a sparse file whose map is cut")
        self._left -= length
        return self._take(length)

    def _refill(self) -> bool:
        self._chunk = next(self._chunks, b"")
        while not self._chunk:
            following = next(self._chunks, None)
            if following is None:
                return False
            self._chunk = following
        self._view = memoryview(self._chunk)
        self._position = 0
        return True

    def _take(self, length: int) -> bytes:
        end = self._position + length
        if end <= len(self._chunk):
            taken = self._chunk[self._position : end]
            self._position = end
            return taken
        parts = [self._chunk[self._position :]]
        missing = length - len(parts[0])
        while missing:
            if not self._refill():
                raise Corrupt("the archive ends in the middle of an entry: fetch it again")
            part = self._chunk[:missing]
            self._position = len(part)
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _skip(self, length: int) -> None:
        while length:
            step = min(length, len(self._chunk) - self._position)
            self._position += step
            length -= step
            if length and not self._refill():
                raise Corrupt("the archive ends in the middle of an entry: fetch it again")

    def _header(self) -> bytes | None:
        """Return the next header; None at the end, marked by a block of zeros or by nothing."""
        if self._position == len(self._chunk) and not self._refill():
            return None
        header = self._take(BLOCK)
        return header if header[0] or header.count(0) != BLOCK else None

    def _next(self) -> Entry | None:
        self._skip(self._left + self._padding)
        self._left = self._padding = 0
        pax: list[tuple[bytes, bytes]] = []
        name = link = None
        while (header := self._header()) is not None:
            fields = _HEADER.unpack(header)
            self._verify(header, fields[6])
            kind, size = fields[7], _parse_number(fields[4])
            if size < 0:
                raise Corrupt("the archive has an entry of negative size")
            if kind in _EXTENSIONS:
                self.count()
                value = self._extension(size)
                if kind == _PAX:
                    pax = _parse_pax(value)
                elif kind == _GNU_NAME:
                    name = value.split(b"\0", 1)[0]
                elif kind == _GNU_LINK:
                    link = value.split(b"\0", 1)[0]
                # A global header holds comments; Docker's engine takes nothing from it either.
                continue
            return self._entry(header, fields, size, name, link, pax)
        return None

    def _extension(self, size: int) -> bytes:
        if size > self._limits.header:
            raise Corrupt(
                f"the archive has an extended header of {size} bytes,"
                f" more than the {self._limits.header} it may have"
            )
        value = self._take(size)
        self._skip(-size % BLOCK)
        return value

    def _verify(self, header: bytes, field: bytes) -> None:
        # adler32's low half is one more than the sum of the bytes modulo 65521: a sum at C's speed.
        total = ((zlib.adler32(header) & 0xFFFF) - 1 - sum(field) + 8 * 0x20) % 65521
        if total != _parse_number(field[:7]) % 65521:
            raise Corrupt("this is no tar archive: a header's checksum is wrong")

    def _number(self, field: bytes) -> int:
        # The same few modes and ids come again and again.
        value = self._numbers.get(field)
        if value is None:
            value = _identity(_parse_number(field))
            if len(self._numbers) < 4096:
                self._numbers[field] = value
        return value

    def _entry(
        self,
        header: bytes,
        fields: tuple[bytes, ...],
        size: int,
        name: bytes | None,
        link: bytes | None,
        pax: list[tuple[bytes, bytes]],
    ) -> Entry:
        number = self._number
        kind = _AS_REGULAR.get(fields[7], fields[7])
        if name is None:
            name = fields[0].split(b"\0", 1)[0]
            if fields[9].startswith(_POSIX_MAGIC) and fields[12][0]:
                name = fields[12].split(b"\0", 1)[0] + b"/" + name
        if link is None:
            link = fields[8].split(b"\0", 1)[0]
        entry = Entry(
            name,
            kind,
            number(fields[1]) & 0o7777,
            number(fields[2]),
            number(fields[3]),
            _storable(_parse_number(fields[5]) * 1_000_000_000),
            link,
            size,
            size,
        )
        if kind in (CHARACTER, BLOCK_DEVICE):
            entry.device = number(fields[10]), number(fields[11])
        self._left = size
        if pax:
            self._apply_pax(entry, pax)
        if fields[7] == b"\0" and entry.name.endswith(b"/"):
            # How v7 tar wrote folders. Asked of the whole name: one cut to 100 bytes may end so.
            kind = entry.type = FOLDER
        # Only files have content: a link's size says what it points to in some archives.
        has_content = kind in (REGULAR, _GNU_SPARSE)
        self._left = entry.stored if has_content else 0
        self._padding = -self._left % BLOCK
        if kind == _GNU_SPARSE:
            entry.type = REGULAR
            self._gnu_sparse(entry, header)
        elif kind not in _TYPES:
            raise Corrupt(f"the archive has an entry of type {kind!r}")
        if entry.holes is not None:
            self._check_holes(entry)
        if entry.size > self._limits.file:
            raise Corrupt(
                f"the archive's file {entry.name[:200]!r} has {entry.size} bytes,"
                f" more than the {self._limits.file} it may have"
            )
        return entry

    def _apply_pax(self, entry: Entry, records: list[tuple[bytes, bytes]]) -> None:
        sparse: list[tuple[bytes, bytes]] = []
        for key, value in records:
            if key == b"path":
                entry.name = value
            elif key == b"linkpath":
                entry.link = value
            elif key == b"mtime":
                entry.mtime = _parse_time(value)
            elif key == b"size":
                entry.size = entry.stored = _decimal(value)
            elif key == b"uid":
                entry.uid = _identity(_decimal(value))
            elif key == b"gid":
                entry.gid = _identity(_decimal(value))
            elif key.startswith(_XATTR):
                if entry.xattrs is None:
                    entry.xattrs = {}
                entry.xattrs[key[len(_XATTR) :]] = value
            elif key.startswith(_SPARSE):
                sparse.append((key[len(_SPARSE) :], value))
        if sparse:
            self._left = entry.stored
            self._padding = -entry.stored % BLOCK
            self._pax_sparse(entry, sparse)

    def _pax_sparse(self, entry: Entry, records: list[tuple[bytes, bytes]]) -> None:
        """Read GNU's sparse formats 0.0, 0.1 and 1.0 (GNU tar manual, "PAX Format, Version …")."""
        last = dict(records)
        if last.get(b"major") == b"1":
            entry.holes = self._sparse_map_in_content(entry)
        elif b"map" in last:
            numbers = [_decimal(n) for n in last[b"map"].split(b",") if n]
            entry.holes = list(zip(numbers[::2], numbers[1::2], strict=False))
        else:
            offsets = [_decimal(v) for k, v in records if k == b"offset"]
            lengths = [_decimal(v) for k, v in records if k == b"numbytes"]
            entry.holes = list(zip(offsets, lengths, strict=False))
        entry.name = last.get(b"name", entry.name)
        entry.size = _decimal(last.get(b"realsize", last.get(b"size", b"%d" % entry.size)))

    def _sparse_map_in_content(self, entry: Entry) -> list[tuple[int, int]]:
        """Read version 1.0's map: decimal lines at the start of the content, padded to blocks."""
        blocks: list[bytes] = []
        lines, wanted = 0, 1
        while lines < wanted:
            if len(blocks) * BLOCK > self._limits.header:
                raise Corrupt(
                    f"the archive has a sparse map of more than {self._limits.header} bytes"
                )
            blocks.append(self.take(BLOCK))
            lines += blocks[-1].count(b"\n")
            if len(blocks) == 1:
                wanted = 1 + 2 * _decimal(blocks[0].partition(b"\n")[0])
        entry.stored -= len(blocks) * BLOCK
        numbers = b"".join(blocks).split(b"\n")
        values = [_decimal(n) for n in numbers[1:wanted]]
        return list(zip(values[::2], values[1::2], strict=True))

    def _gnu_sparse(self, entry: Entry, header: bytes) -> None:
        """Read old GNU's map: four pieces in the header, twenty-one in each block after it."""
        entry.size = _parse_number(header[483:495])
        pieces = _old_pieces(header[386:482])
        more = header[482]
        while more:
            if len(pieces) > self._limits.header // 24:
                raise Corrupt(
                    f"the archive has a sparse map of more than {self._limits.header} bytes"
                )
            block = self._take(BLOCK)
            pieces += _old_pieces(block[:504])
            more = block[504]
        entry.holes = pieces

    def _check_holes(self, entry: Entry) -> None:
        end = stored = 0
        for offset, length in entry.holes or ():
            if offset < end or length < 0 or offset + length > entry.size:
                raise Corrupt(
                    f"the archive's sparse file {entry.name[:200]!r} has an impossible map"
                )
            end = offset + length
            stored += length
        if stored > entry.stored:
            raise Corrupt(f"the archive's sparse file {entry.name[:200]!r} has an impossible map")


def _parse_number(field: bytes) -> int:
    """Parse octal digits, or GNU's base 256 for what they cannot hold (first bit set)."""
    digits = field[:-1]
    if digits.isdigit() and not digits.strip(b"01234567"):
        return int(digits, 8)  # how nearly every writer has it
    if field[0] & 0x80:
        value = int.from_bytes(field, "big", signed=True)
        # The mark is the field's first bit: a sign only where the next one is set as well.
        return value if field[0] & 0x40 else value + (1 << (8 * len(field) - 1))
    text = field.split(b"\0", 1)[0].strip(b" ")
    if not text:
        return 0
    if not text.isdigit() or text.strip(b"01234567"):
        raise Corrupt(f"this is no tar archive: a header has {text!r} for an octal number")
    return int(text, 8)


def _old_pieces(block: bytes) -> list[tuple[int, int]]:
    pieces = []
    for start in range(0, len(block), 24):
        if block[start + 12] == 0:
            break
        offset = _parse_number(block[start : start + 12])
        pieces.append((offset, _parse_number(block[start + 12 : start + 24])))
    return pieces


def _parse_pax(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return the records `LENGTH KEY=VALUE\\n` of a pax header."""
    records = []
    position = 0
    try:
        while position < len(data):
            space = data.index(b" ", position, position + 20)
            end = position + _decimal(data[position:space])
            equals = data.index(b"=", space + 1, end)
            if end > len(data) or data[end - 1] != 0x0A:
                raise Corrupt("the archive has a malformed pax header")
            records.append((data[space + 1 : equals], data[equals + 1 : end - 1]))
            position = end
    except ValueError as error:
        raise Corrupt("the archive has a malformed pax header") from error
    return records


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 20:
        raise Corrupt(f"the archive has a header with {text[:40]!r} where a number is wanted")
    return int(text)


def _parse_time(text: bytes) -> int:
    """Return nanoseconds; a fraction is cut to nine digits, and goes upwards from a floor."""
    whole, _, fraction = text.partition(b".")
    negative = whole.startswith(b"-")
    seconds = _decimal(whole.lstrip(b"-") or b"0")
    nanoseconds = seconds * 1_000_000_000 + _decimal((fraction + b"0" * 9)[:9])
    return _storable(-nanoseconds if negative else nanoseconds)


def _storable(nanoseconds: int) -> int:
    """Return the nearest time that a file can have."""
    return max(-_LATEST, min(nanoseconds, _LATEST))


def _identity(number: int) -> int:
    """Return an id, or refuse one that no file has; the last means "none" to chown(2)."""
    if not 0 <= number <= _LARGEST_ID:
        raise Corrupt(f"the archive has the id {number}, which is outside of 0-{_LARGEST_ID}")
    return number
