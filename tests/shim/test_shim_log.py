"""Container logs: the lines as Docker writes them, our frames, and reading both."""

import contextlib
import gzip
import json
import os
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from ipycontainer_runtime.shim import jsonlog
from ipycontainer_runtime.shim.clock import nanoseconds, rfc3339
from ipycontainer_runtime.shim.log import Entry, NoLog, Reader, read
from ipycontainer_runtime.shim.logwriter import open_writer, parse_size

DRIVERS = ["local", "json-file"]


def write(path: Path, driver: str, *writes: tuple[int, bytes], **options: str) -> None:
    writer = open_writer(driver, str(path), {k.replace("_", "-"): v for k, v in options.items()})
    for stream, data in writes:
        writer.write(stream, data)
    writer.close()


def lines(path: Path, driver: str, **choice: object) -> list[bytes]:
    return [entry.data for entry in read(path, driver, **choice)]  # type: ignore[arg-type] # each of its own type


@pytest.mark.parametrize(
    ("data", "written"),
    [
        (b"plain\n", r"plain\n"),
        (b'"quoted" \\ back\n', r"\"quoted\" \\ back\n"),
        (b"tab\there\r\n", r"tab\u0009here\r\n"),
        (b"<a>&</a>\n", r"\u003ca\u003e\u0026\u003c/a\u003e\n"),
        ("é ✓ 𝄞\n".encode(), r"é ✓ 𝄞\n"),
        (b"\xff\xe2\x82\n", r"\ufffd\ufffd\ufffd\n"),
        ("\u2028\u2029\n".encode(), r"\u2028\u2029\n"),
        (b"\x00\x1b[0m\x7f\n", "\\u0000\\u001b[0m\x7f\\n"),
    ],
)
def test_json_lines_are_those_of_docker_s_encoder(data: bytes, written: str) -> None:
    (line,) = jsonlog.encode(1, data, "2026-01-02T03:04:05.6Z")
    end = r'","stream":"stdout","time":"2026-01-02T03:04:05.6Z"}'
    assert line.decode() == '{"log":"' + written + end + "\n"
    time, stream, decoded = jsonlog.decode(line)
    assert (time, stream) == ("2026-01-02T03:04:05.6Z", 1)
    assert decoded.decode() == json.loads(line)["log"]


def test_any_bytes_are_json_of_what_is_text_in_them() -> None:
    chance = random.Random(1)
    pieces = [bytes([number]) for number in range(256) if number != 0x0A]
    pieces += [
        text.encode() for text in ("é", "\ufffd", "\u2028", "\u2029", "😀", "?", "\\ufffd")
    ] * 40
    for _ in range(1000):
        data = b"".join(chance.choices(pieces, k=chance.randrange(100)))
        (line,) = jsonlog.encode(2, data + b"\n", "2026-01-02T03:04:05.6Z")
        text = data.decode("utf-8", "surrogateescape")
        readable = "".join("\ufffd" if "\udc80" <= each <= "\udcff" else each for each in text)
        assert json.loads(line)["log"] == readable + "\n"
        assert not re.search(rb"[<>&\x00-\x1f]|\xe2\x80[\xa8\xa9]", line[:-1])


def test_a_line_over_16_kilobytes_is_broken_as_docker_breaks_it(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writes = [b"a" * 10_000, b"a" * 10_000, b"b\nshort\n", b"c" * 16_384, b"\n", b"rest"]
    write(path, "json-file", *((1, data) for data in writes))
    lengths = [len(json.loads(line)["log"]) for line in path.read_text().splitlines()]
    assert lengths == [16_384, 3_618, 6, 16_384, 1, 4]


@pytest.mark.parametrize("driver", DRIVERS)
def test_lines_are_recovered_from_any_pieces(tmp_path: Path, driver: str) -> None:
    path = tmp_path / "log"
    text = "".join(f"line {n} é\n" for n in range(500)).encode() + b"no end"
    pieces = [text[n : n + 7] for n in range(0, len(text), 7)]
    write(path, driver, *((1, piece) for piece in pieces), (2, b"error\n"))
    found = list(read(path, driver))
    out = [entry.data for entry in found if entry.stream == 1]
    assert b"".join(out) == text
    assert out == text.splitlines(keepends=True)
    assert [entry.data for entry in found if entry.stream == 2] == [b"error\n"]
    assert b"".join(lines(path, driver, lines=False, stderr=False)) == text


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("wanted", [0, 1, 2, 7, 99, 100, 101, 1000])
def test_a_tail_is_the_last_lines(tmp_path: Path, driver: str, wanted: int) -> None:
    path = tmp_path / "log"
    text = "".join(f"line {n} {'x' * (n * 37 % 5000)}\n" for n in range(100)).encode()
    pieces = [text[n : n + 1000] for n in range(0, len(text), 1000)]
    write(path, driver, *((1, piece) for piece in pieces))
    everything = text.splitlines(keepends=True)
    assert lines(path, driver, tail=wanted) == (everything[-wanted:] if wanted else [])


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_tail_counts_both_streams_before_one_is_chosen(tmp_path: Path, driver: str) -> None:
    path = tmp_path / "log"
    write(path, driver, (1, b"o1\no2\n"), (2, b"e1\n"), (1, b"o3\n"), (2, b"e2\n"))
    assert lines(path, driver, tail=3) == [b"e1\n", b"o3\n", b"e2\n"]
    assert lines(path, driver, tail=3, stdout=False) == [b"e1\n", b"e2\n"]


def test_a_tail_leaves_out_the_end_of_a_line_that_began_before(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write(path, "local", (2, b"begun "), (1, b"o1\n"), (2, b"ended\n"), (1, b"o2\no3\n"))
    assert lines(path, "local", tail=2) == [b"o2\n", b"o3\n"]
    assert lines(path, "local", tail=3) == [b"begun ended\n", b"o2\n", b"o3\n"]


@pytest.mark.parametrize("driver", DRIVERS)
def test_since_and_until_choose_by_time(tmp_path: Path, driver: str) -> None:
    path = tmp_path / "log"
    write(path, driver, *((1, f"{n}\n".encode()) for n in range(50)))
    entries = list(read(path, driver))
    assert all(a.time_ns <= b.time_ns for a, b in pairwise(entries))
    early, late = entries[10].time_ns, entries[40].time_ns
    chosen = [entry for entry in entries if early <= entry.time_ns <= late]
    assert list(read(path, driver, since=early, until=late)) == chosen


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_reader_goes_on_where_it_stopped_and_waits_for_what_is_torn(
    tmp_path: Path, driver: str
) -> None:
    path, whole = tmp_path / "log", tmp_path / "whole"
    write(whole, driver, (1, b"one\ntwo\n"), (1, b"three\n"))
    data = whole.read_bytes()
    reader = Reader(path, driver)
    assert list(reader.entries()) == []
    found: list[Entry] = []
    with path.open("ab", buffering=0) as file:
        for n in range(0, len(data), 5):
            file.write(data[n : n + 5])
            found += reader.entries()
    reader.close()
    assert [entry.data for entry in found] == [b"one\n", b"two\n", b"three\n"]


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("cut", [1, 3, 10, 20])
def test_a_torn_end_costs_one_record_and_is_cut_before_the_log_goes_on(
    tmp_path: Path, driver: str, cut: int
) -> None:
    path = tmp_path / "log"
    write(path, driver, (1, b"one\n"), (1, b"two\n"))
    os.truncate(path, path.stat().st_size - cut)
    assert lines(path, driver) == [b"one\n"]
    assert lines(path, driver, tail=5) == [b"one\n"]
    write(path, driver, (1, b"three\n"))
    assert lines(path, driver) == [b"one\n", b"three\n"]


@pytest.mark.parametrize("driver", DRIVERS)
def test_rotated_files_are_read_as_one_log_and_followed(tmp_path: Path, driver: str) -> None:
    path = tmp_path / "log"
    writer = open_writer(driver, str(path), {"max-size": "2k", "max-file": "3"})
    reader, found = Reader(path, driver), []
    for n in range(500):
        writer.write(1, f"line {n:04}\n".encode())
        found += [entry.data for entry in reader.entries()]
    writer.close()
    assert found == [f"line {n:04}\n".encode() for n in range(500)]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log", "log.1", "log.2"]
    assert all(p.stat().st_size <= 2048 for p in tmp_path.iterdir())
    kept = lines(path, driver)
    assert kept == found[-len(kept) :]
    assert 20 < len(kept) < 500
    assert lines(path, driver, tail=len(kept) - 3) == kept[3:]


@pytest.fixture
def children() -> Iterator[None]:
    """Children that compress are taken when they have ended, which the shim does itself."""
    yield
    with contextlib.suppress(ChildProcessError):
        while os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG):
            pass


@pytest.mark.usefixtures("children")
@pytest.mark.parametrize("driver", DRIVERS)
def test_compressed_files_are_read_as_one_log_and_followed(tmp_path: Path, driver: str) -> None:
    path = tmp_path / "log"
    options = {"max-size": "20k", "max-file": "3", "compress": "true"}
    writer = open_writer(driver, str(path), options)
    reader, found = Reader(path, driver), []
    for n in range(3000):
        writer.write(1, f"line {n:04}\n".encode())
        if n % 7 == 0:
            found += [entry.data for entry in reader.entries()]
    writer.close()
    found += [entry.data for entry in reader.entries()]
    assert found == [f"line {n:04}\n".encode() for n in range(3000)]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log", "log.1.gz", "log.2.gz"]
    assert gzip.decompress((tmp_path / "log.1.gz").read_bytes()).count(b"line") > 100
    kept = lines(path, driver)
    assert kept == found[-len(kept) :]
    assert lines(path, driver, tail=len(kept) - 3) == kept[3:]
    assert lines(path, driver, tail=5) == kept[-5:]


@pytest.mark.usefixtures("children")
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_log_that_is_opened_again_goes_on_with_its_compressed_files(
    tmp_path: Path, driver: str
) -> None:
    options = {"max_size": "2k", "max_file": "4", "compress": "true"}
    for start in range(0, 300, 100):
        numbers = range(start, start + 100)
        write(tmp_path / "log", driver, *((1, f"{n}\n".encode()) for n in numbers), **options)
    kept = lines(tmp_path / "log", driver)
    assert kept == [f"{n}\n".encode() for n in range(300)][-len(kept) :]
    assert sum(path.suffix == ".gz" for path in tmp_path.iterdir()) >= 2


@pytest.mark.parametrize("driver", DRIVERS)
def test_one_burst_is_spread_over_files(tmp_path: Path, driver: str) -> None:
    path = tmp_path / "log"
    burst = b"".join(b"line %04d\n" % n for n in range(1000))
    write(path, driver, (1, burst), max_size="5k", max_file="100")
    assert b"".join(lines(path, driver)) == burst
    assert max(p.stat().st_size for p in tmp_path.iterdir()) <= 5 << 10


def test_what_is_wrong_is_named() -> None:
    with pytest.raises(ValueError, match="syslog"):
        open_writer("syslog", "/nowhere", {})
    with pytest.raises(NoLog, match="none"):
        Reader(Path("/nowhere"), "none")
    assert [parse_size(text) for text in ("7", "10k", "10MB", "1g")] == [
        7,
        10_240,
        10_485_760,
        1 << 30,
    ]


@pytest.mark.parametrize("ns", [0, 1, 1_700_000_000_123_456_789, 951_782_400_000_000_100])
def test_times_are_go_s(ns: int) -> None:
    text = rfc3339(ns)
    assert nanoseconds(text) == ns
    assert not text.endswith("0Z") or "." not in text
    asked = subprocess.run(
        ["date", "-u", "-d", text, "+%s"], capture_output=True, text=True, check=True
    )
    assert int(asked.stdout) == ns // 1_000_000_000


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_rotation_looks_at_no_more_names_than_there_are_files(
    tmp_path: Path, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # logwriter.LogFile._rotate: `os.path.exists`
    looked: list[str] = []
    exists = os.path.exists

    def noting(path: str) -> bool:
        looked.append(path)
        assert len(looked) < 1000
        return exists(path)

    monkeypatch.setattr(os.path, "exists", noting)
    options = {"max-size": "2k", "max-file": "9" * 4000}
    writer = open_writer(driver, str(tmp_path / "log"), options)
    for _ in range(5):
        writer.write(1, b"x" * 1500 + b"\n")
    writer.close()
    assert len(list(tmp_path.iterdir())) == 5


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_log_is_read_on_to_its_end_though_it_was_removed(tmp_path: Path, driver: str) -> None:
    path = tmp_path / "container" / "log"
    path.parent.mkdir()
    write(path, driver, (1, b"one\n"), (1, b"two\n"))
    reader = Reader(path, driver)
    first = next(entries := reader.entries())
    shutil.rmtree(path.parent)
    assert [entry.data for entry in (first, *entries, *reader.entries())] == [b"one\n", b"two\n"]
    reader.close()
