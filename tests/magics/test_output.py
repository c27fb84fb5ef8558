"""What a container prints, as a cell shows it: plain, bounded, and all of it to be had."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ipycontainer.bounded import BYTES, LAST_LINES, Bounded
from ipycontainer.kept import Output
from ipycontainer.plain import Plain, settled


def plain(*parts: str) -> str:
    stream = Plain()
    return "".join(stream.feed(part) for part in parts)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb\nc", "a\tb\nc"),
        ("\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m"),
        ("10%\r50%\r100%\n", "10%\r50%\r100%\n"),
        ("abc\b\bx", "abc\b\bx"),
        ("longer\r\x1b[Kab", "longer\r      \b\b\b\b\b\bab"),
        ("abc\x1b[2K\rx", "abc\rx"),
        ("\x1b]8;;http://e.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;ZXZpbA==\x07ok", "ok"),
        ("\x1b[2J\x1b[H\x1b[?25lx\x1bc\x07\x00\x9b", "x"),
        ("<b onclick=x>", "<b onclick=x>"),
    ],
)
def test_a_stream_is_text_and_colours(text: str, shown: str) -> None:
    assert plain(text) == shown
    assert plain(*text) == shown


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a\nb\n", "a\nb\n"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("10%\r50%\r100%\nnext", "100%\nnext"),
        ("longer\r      \b\b\b\b\b\bab", "ab    "),
        ("abc\b\bx\r\n\b", "axc\n"),
    ],
)
def test_a_form_without_colours_has_what_a_terminal_would_leave(text: str, left: str) -> None:
    assert settled(text) == left


def test_a_bar_that_is_drawn_over_is_one_of_the_last_lines() -> None:
    bounded = Bounded(2)
    bounded.shown("1\n2\n3\n4\n" + "".join(f"{n}%\r" for n in range(100)) + "\x1b[32mdone\x1b[0m\n")
    assert bounded.ending() == "3\n4\ndone"


def test_a_widget_keeps_no_escapes_and_no_bars_drawn_over() -> None:
    from ipycontainer.widgets.parts import Output as Part

    part = Part()
    for text in ("10%\r50", "%\r\x1b[3", "2mdone\x1b[0m\n", "\x1b]0;title\x07last"):
        part.add(text)
    assert part.text == "done\nlast"
    part.close()


def test_a_button_that_is_pressed_when_the_verb_has_ended_does_nothing() -> None:
    import os

    from ipycontainer.widgets.desk import Desk

    desk = Desk(lambda _text: None)
    desk.close()
    reader, writer = os.pipe()  # has the numbers that the desk had
    desk.interrupt()
    desk.type_line("late")
    desk.end_input()
    os.close(writer)
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_pages_are_right_whoever_else_reads() -> None:
    output = Output()
    output.append("".join(f"{n}\n" for n in range(20_000)))

    def read(start: int) -> bool:
        return output.lines(start, 300) == [str(n) for n in range(start, start + 300)]

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(read, list(range(0, 19_000, 97)) * 4))


def test_a_form_says_that_there_is_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    from ipycontainer.widgets import Run

    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/engine.sock")
    form = Run()
    form._image.value = "busybox"
    form._output.summary = {}
    form._ask_image("busybox")
    assert form._output.summary["bad"]
    assert "/nowhere/engine.sock" in form.text()
    form.close()


def test_more_flags_of_a_form_are_those_that_run_takes() -> None:
    from ipycontainer.failures import Usage
    from ipycontainer.widgets import Run

    form = Run("busybox", "id")
    form._flags.value = "--user 1000 -v '/a b:/c'"
    assert form.arguments()[-6:] == ["--user", "1000", "-v", "/a b:/c", "busybox", "id"]
    for flags, told in (
        ("--usr 1", "did you mean '--user'"),
        ("--cpus x", "not a valid float"),
        ("alpine", "'alpine' is none"),
        ("-d", "leave it out"),
        ("--user 'x", "close the quote"),
    ):
        form._flags.value = flags
        with pytest.raises(Usage, match=told):
            form.arguments()
    form.close()


def test_more_flags_are_completed_by_the_verb(monkeypatch: pytest.MonkeyPatch) -> None:
    from ipycontainer.widgets.flags import offered

    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/engine.sock")
    assert offered(["run"], "--memory-s") == ["--memory-swap"]
    assert offered(["run", "--network"], "ho") == ["host"]


def test_lines_for_a_container_that_does_not_read_are_kept_and_then_end() -> None:
    from ipycontainer.widgets.desk import Desk

    desk = Desk(lambda _text: None)
    source = desk.source(tty=False, listening=None)
    for _ in range(3):
        desk.type_line("x" * 100_000)
    assert not source.ready
    desk.end_input()
    desk.type_line("too late")
    assert source.ready
    assert source.read() == (b"x" * 100_000 + b"\n") * 3
    assert source.ready
    assert source.read() == b""
    desk.close()


def test_an_escape_without_end_is_not_kept_back_for_ever() -> None:
    assert "end of it" in plain("\x1b]52;c;", *["1" * 1000] * 20, "\nend of it")


def test_the_beginning_is_shown_and_the_end_and_all_of_it_is_kept() -> None:
    bounded = Bounded(1000)
    lines = [f"{n}\n" for n in range(100_000)]
    shown = "".join(bounded.shown("".join(lines[i : i + 70])) for i in range(0, len(lines), 70))
    assert shown == "".join(lines[:1000])
    assert bounded.told().startswith("[99,000 more lines")
    assert bounded.ending().splitlines() == [str(n) for n in range(100_000 - LAST_LINES, 100_000)]
    assert bounded.output is not None
    assert bounded.output.text() == "".join(lines)
    assert len(bounded.output) == 100_000
    assert bounded.output.lines(54_321, 3) == ["54321", "54322", "54323"]
    assert bounded.output.lines(99_999, 3) == ["99999"]


def test_one_line_without_end_is_bounded_too() -> None:
    bounded = Bounded(1000)
    shown = sum(len(bounded.shown("x" * 10_000)) for _ in range(300))
    assert BYTES // 2 < shown <= BYTES
    assert bounded.hidden_bytes == 3_000_000 - shown


def test_what_is_hidden_is_counted_in_bytes() -> None:
    bounded = Bounded(1)
    bounded.shown("a\n")
    bounded.shown("äöü\n")
    assert (bounded.hidden_lines, bounded.hidden_bytes) == (1, 7)


def test_what_is_short_is_shown_as_it_is() -> None:
    bounded = Bounded(1000)
    assert bounded.shown("a\n" * 999) == "a\n" * 999
    assert bounded.output is None


def test_only_so_much_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipycontainer.kept.KEPT", 100)
    output = Output()
    for _ in range(30):
        output.append("12345678\n")
    output.append("")
    output.append("x")
    assert output.text() == "12345678\n" * 11
    assert output.lost == 271 - output.size


def test_one_huge_piece_of_output_leaves_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    from ipycontainer.widgets.parts import Output

    part = Output()
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(part, "send", sent.append)
    part.add("before\n")
    part.add("x" * 3_000_000 + "\nafter\n")
    assert part.cut
    assert part.text.endswith("x\nafter\n")
    assert len(part.text) == 400_000
    assert sent[-1]["end"] - sent[-1]["at"] == len(sent[-1]["text"]) == 400_000
    assert sent[-2]["at"] == sent[-1]["at"]
    part.close()
