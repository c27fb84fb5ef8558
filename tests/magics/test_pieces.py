"""The pure pieces: frames, units, templates, tables, failures."""

import re
import select
import signal

import pytest
from docker.errors import APIError
from requests.exceptions import ChunkedEncodingError
from requests.exceptions import ConnectionError as RequestsConnectionError

from ipycontainer import units
from ipycontainer.failures import ContainerExit, Failure, Usage, explain, one_line
from ipycontainer.listing import Table
from ipycontainer.progress import Bars, Transfer
from ipycontainer.signals import Signals
from ipycontainer.streams import Demux
from ipycontainer.templates import formatted, render


def test_a_signal_is_noted_once_and_a_second_ends_what_hangs() -> None:
    signals = Signals()
    before = signal.getsignal(signal.SIGUSR1)
    with signals.catching([signal.SIGUSR1]):
        signal.raise_signal(signal.SIGUSR1)
        assert select.select([signals.wake], [], [], 0)[0] == [signals.wake]
        assert signals.take() == [signal.SIGUSR1]
        assert select.select([signals.wake], [], [], 0)[0] == []
        signal.raise_signal(signal.SIGUSR1)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGUSR1)
    assert signals.wake is None
    assert signal.getsignal(signal.SIGUSR1) is before


FRAMES = b"".join(
    bytes([stream, 0, 0, 0]) + len(text).to_bytes(4, "big") + text
    for stream, text in [(1, b"one"), (2, b"two"), (1, b""), (1, b"x" * 300), (3, b"oops")]
)


@pytest.mark.parametrize("cut", [1, 2, 7, 8, 9, 11, 100, 10_000])
def test_frames_are_taken_apart_wherever_reads_cut_them(cut: int) -> None:
    demux, found = Demux(), {1: b"", 2: b""}
    for start in range(0, len(FRAMES), cut):
        for stream, part in demux.feed(memoryview(FRAMES[start : start + cut])):
            found[stream] += part
    assert found == {1: b"one" + b"x" * 300, 2: b"twooops"}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (61 * 60, "About an hour"),
        (47 * 3600, "47 hours"),
        (3 * 86400, "3 days"),
        (20 * 86400, "2 weeks"),
        (90 * 86400, "3 months"),
        (3 * 365 * 86400, "3 years"),
    ],
)
def test_durations_read_as_dockers(seconds: float, text: str) -> None:
    assert units.duration(seconds) == text


def test_sizes_read_as_dockers() -> None:
    assert units.decimal_size(77_100_000) == "77.1MB"
    assert units.decimal_size(0) == "0B"
    assert units.binary_size(16 << 20) == "16MiB"


def test_times_are_read_with_nanoseconds_zones_and_as_durations() -> None:
    assert units.parse_time("2026-01-31T12:00:00.123456789Z") == pytest.approx(1769860800.123456)
    assert units.parse_time("2026-01-31T12:00:00.5+01:00") == pytest.approx(1769857200.5)
    assert units.instant("1700000000") == 1700000000
    assert units.instant("1h30m") == pytest.approx(units.instant("90m"), abs=1)
    with pytest.raises(Usage, match="'soon' is no time"):
        units.instant("soon")


def test_templates_know_fields_paths_json_and_tables() -> None:
    row = {"ID": "1", "State": {"Pid": 7, "Ok": True}, "Names": "a"}
    assert (
        render(r"{{.ID}}\t{{ .State.Pid }} {{json .State}}", row) == '1\t7 {"Pid": 7, "Ok": true}'
    )
    assert formatted(r"table {{.ID}}\t{{.Names}}", [row]) == ["ID   NAMES", "1    a"]
    assert formatted("json", [{"ID": "1"}]) == ['{"ID": "1"}']
    with pytest.raises(Usage, match="no field 'Nope'"):
        render("{{.Nope}}", row)
    with pytest.raises(Usage, match=re.escape("{{range .X}} is not supported")):
        render("{{range .X}}", row)


def test_what_a_container_named_itself_never_becomes_markup() -> None:
    hostile = "<script>alert(1)</script>\x1b]8;;http://x\x07\n"
    table = Table([1], "<b>caption", {"<i>": "Name"}, [{"Name": hostile}])
    assert "<script" not in table.html()
    assert "<b>" not in table.html()
    assert "<i>" not in table.html()
    assert "\x1b" not in table.text() + table.html()


def test_tables_announce_their_headings() -> None:
    html = Table([1], "1 thing", {"NAME": "Name"}, [{"Name": "x"}]).html()
    assert "<caption" in html
    assert "<th scope='col'" in html


def test_a_hostile_layer_name_never_becomes_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[dict[str, str]] = []
    bars = Bars("Pulling <b>x")
    monkeypatch.setattr(bars, "_draw", drawn.append)
    bars.update(
        {"id": "<img src=x>", "status": "<b>", "progressDetail": {"current": 1, "total": 2}}
    )
    bars.failed("<u>no")
    html = "".join(bundle["text/html"] for bundle in drawn)
    assert not re.search("<img|<b>|<u>", html)


def test_a_transfer_counts_layers_and_their_bytes() -> None:
    transfer = Transfer()
    for entry in (
        {"id": "latest", "status": "Pulling from x"},
        {"id": "a", "status": "Already exists", "progressDetail": {}},
        {"id": "b", "status": "Downloading", "progressDetail": {"current": 1, "total": 2_000_000}},
        {"id": "b", "status": "Extracting", "progressDetail": {"current": 1, "total": 9_000_000}},
        {"id": "b", "status": "Pull complete", "progressDetail": {}},
    ):
        transfer.update(entry)
    assert transfer.totals().startswith("2 layers, 1 already there, 2MB in ")


def test_messages_are_one_line_of_printable_text() -> None:
    assert one_line("a\nb\t\x1b[31mc") == "a b \\x1b[31mc"
    assert str(Failure("a\r\nb")) == "a b"


@pytest.mark.parametrize(
    ("code", "memory", "told"),
    [
        (3, None, "container web exited with code 3"),
        (127, None, "container web exited with code 127 (command not found)"),
        (143, None, "container web exited with code 143 (SIGTERM)"),
        (137, 16 << 20, "was killed (exit code 137): it passed its memory limit of 16MiB"),
        (3, 16 << 20, "exited with code 3: it passed its memory limit of 16MiB"),
    ],
)
def test_an_exit_names_container_code_and_memory(code: int, memory: int | None, told: str) -> None:
    assert told in str(ContainerExit("web", code, memory))


@pytest.mark.parametrize(
    ("exit_", "told"),
    [
        (
            ContainerExit("web", 143, fault="timeout", signal=15, timeout="5"),
            "container web was stopped (exit code 143): it ran longer than its timeout of 5 s",
        ),
        (
            ContainerExit("web", 139, fault="killed", signal=11),
            "container web was killed by signal 11 (SIGSEGV)",
        ),
    ],
)
def test_an_end_from_outside_says_what_ended_it(exit_: ContainerExit, told: str) -> None:
    assert str(exit_).startswith(told)


def test_a_foreign_error_is_told_with_its_cure() -> None:
    missing = APIError("404", explanation="No such image: nope:latest")
    told = explain(missing, "%container")
    assert told is not None
    assert str(told).endswith("`%container pull nope:latest` fetches")
    assert explain(ZeroDivisionError(), "%container") is None


def test_a_lost_engine_is_told_by_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    lost = RequestsConnectionError("aborted", FileNotFoundError(2, "No such file or directory"))
    told = str(explain(lost, "%container"))
    assert "DOCKER_HOST=unix:///nowhere.sock: No such file or directory" in told


def test_an_answer_that_is_cut_is_told_as_the_engine_s_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    cut = ChunkedEncodingError("Connection broken: IncompleteRead(0 bytes read)")
    assert str(explain(cut, "%container")) == (
        "the engine ended in the middle of its answer; `ipycontainer engine logs` may say why"
    )
