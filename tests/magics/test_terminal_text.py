"""A terminal's bytes as the text that a person has seen."""

import pytest

from ipycontainer.transcript import LINES, Transcript


def seen(*parts: bytes, columns: int = 80, rows: int = 24) -> str:
    transcript = Transcript(columns, rows)
    for part in parts:
        transcript.feed(part)
    return transcript.text()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"a\r\nb\r\n", "a\nb"),
        (b"10%\r50%\r100%\r\ndone", "100%\ndone"),
        (b"longer\rab", "abnger"),
        (b"abc\b\b\x1b[Kd", "ad"),
        (b"abc\x1b[2D\x1b[1P.", "a."),
        (b"ac\x1b[D\x1b[@b", "abc"),
        (b"a\tb", "a       b"),
        (b"l1\r\nl2\r\n\x1b[2A\x1b[2KL1\x1b[2B\rend", "L1\nl2\nend"),
        (b"one\r\ntwo\x1b[H\x1b[Jthree", "one\ntwo\nthree"),
        (b"one\x1b[H\x1b[2J\x1b[3Jtwo", "one\ntwo"),
        (b"a\x1b[s123\x1b[ub", "ab23"),
        (b"\x1b[31;1mred\x1b[0m", "red"),
        (b"\x1b]0;title\x07\x1b]8;;http://e.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"\x1b]52;c;ZXZpbA==\x07\x1bP+q\x1b\\\x1b_x\x1b\\ok", "ok"),
        (b"$ vi\r\n\x1b[?1049h\x1b[2J~ a file\x1b[?1049l$ ", "$ vi\n$"),
        (b"\x1b(B\x1b=\x1b7x\x1b8\x07\x00y", "xy"),
        ("é€😀".encode(), "é€😀"),
        (b"\xff!", "\ufffd!"),
    ],
)
def test_what_is_seen(data: bytes, text: str) -> None:
    assert seen(data) == text
    assert seen(*(data[i : i + 1] for i in range(len(data)))) == text


def test_a_line_that_the_terminal_wraps_is_one_line() -> None:
    assert seen(b"x" * 100, columns=40) == "x" * 100
    assert seen(b"x" * 45 + b"\x1b[A\r" + b"y", columns=40) == "y" + "x" * 44


def test_only_the_last_lines_are_kept() -> None:
    text = seen(*(b"%d\r\n" % n for n in range(3 * LINES)))
    assert text.startswith("[")
    assert "earlier lines are not kept]" in text
    assert text.endswith(str(3 * LINES - 1))
    assert len(text.splitlines()) < 1.2 * LINES


@pytest.mark.parametrize("bomb", [b"\x1b[9999999999B", b"\x1b[99999;99999Hx", b"\x1b[99999999@x"])
def test_a_move_stays_on_the_screen(bomb: bytes) -> None:
    assert len(seen(*[bomb] * 50)) < 80 * 25


@pytest.mark.parametrize("endless", [b"\x1b]52;c;", b"\x1b[", b"\x1bP"])
def test_an_escape_without_end_keeps_nothing_back(endless: bytes) -> None:
    assert "end of it" in seen(endless, *[b"1" * 1000] * 20, b"\r\nend of it")
