"""`ipycontainer VERB`: the same verbs in a process of their own, with pipes or a terminal."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest
from cells import COMMAND, SECONDS, Box

# What these are about needs no network, and takes the machine none.
ALONE = ("--network", "none")
Command = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        (["run", *ALONE, "--rm", "busybox", "sh", "-c", "exit 3"], 3, ""),
        (["run", *ALONE, "--rm", "busybox", "nosuch"], 127, "nosuch"),
        (["run", *ALONE, "--rm", "busybox", "/etc"], 126, "/etc"),
        (["run", *ALONE, "--nosuch", "busybox"], 125, "--nosuch"),
        (["run", *ALONE, "--pull", "never", "nosuch:1"], 125, "nosuch:1"),
        (["run", *ALONE, "--rm", "-it", "busybox"], 1, "TTY"),
        (["run", *ALONE, "--rm", "--out", "x", "busybox"], 125, "--out"),
        (["frobnicate"], 1, "frobnicate"),
        (["rm", "nosuch"], 1, "nosuch"),
        (["exec", "nosuch", "true"], 1, "nosuch"),
    ],
)
def test_exit_codes_are_dockers_and_errors_one_line(
    box: Box, command: Command, line: list[str], code: int, told: str
) -> None:
    done = command(*line)
    assert done.returncode == code, done.stderr
    assert told in done.stderr.decode()
    assert len(done.stderr.splitlines()) == (1 if told else 0)
    assert done.stdout == b""


def test_standard_input_is_piped_through_byte_for_byte(box: Box, command: Command) -> None:
    data = bytes(range(256)) * 40_000
    assert command("run", *ALONE, "--rm", "-i", "busybox", "cat", stdin=data).stdout == data


def test_lines_may_stand_in_for_standard_input(box: Box, command: Command) -> None:
    done = command("run", *ALONE, "--rm", "--input", "one", "--input", "@@two", "busybox", "cat")
    assert (done.stdout, done.stderr) == (b"one\n@two\n", b"")


def test_a_regular_file_may_be_standard_input(box: Box, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"hello\n")
    with (tmp_path / "in").open("rb") as file:
        done = subprocess.run(
            [*COMMAND, "run", *ALONE, "--rm", "-i", "busybox", "cat"],
            stdin=file, capture_output=True, timeout=SECONDS, check=False,
        )  # fmt: skip
    assert done.stdout == b"hello\n"


def test_output_and_errors_are_apart(box: Box, command: Command) -> None:
    done = command("run", *ALONE, "--rm", "busybox", "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")


def test_detached_run_prints_the_id_alone(box: Box, command: Command) -> None:
    done = command("run", *ALONE, "-d", "--name", "web", "busybox", "sleep", "600")
    assert done.stdout.decode().strip() == box.client.containers.get("web").id
    assert command("ps", "-q").stdout.decode().strip() == done.stdout.decode()[:12]
    assert command("exec", "web", "sh", "-c", "exit 4").returncode == 4


def test_json_and_templates_are_printed_a_line_each(box: Box, command: Command) -> None:
    command("create", *ALONE, "--name", "web", "busybox")
    assert command("ps", "-a", "--format", "{{.Names}}").stdout == b"web\n"
    assert command("ps", "-a", "--format", "json").stdout.startswith(b'{"ID": "')
    assert command("inspect", "-f", "{{.Name}}", "web").stdout == b"/web\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_signals_reach_the_container(box: Box, number: signal.Signals) -> None:
    script = f"trap 'echo got; exit 9' {number.name[3:]}; echo ready; while :; do sleep 0.1; done"
    with subprocess.Popen(
        [*COMMAND, "run", *ALONE, "--rm", "busybox", "sh", "-c", script], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.stdout.read() == b"got\n"
        assert process.wait(SECONDS) == 9


def test_a_reader_that_leaves_is_no_defect(box: Box) -> None:
    with subprocess.Popen(
        [*COMMAND, "run", *ALONE, "--rm", "--name", "web", "busybox", "yes"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"y\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(SECONDS) == 141


class Screen:
    """The command line with a terminal of its own."""

    def __init__(self, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        self.resize(101, 31)
        self.before = termios.tcgetattr(slave)
        self._slave = slave
        self.process = subprocess.Popen(
            [*COMMAND, *arguments], stdin=slave, stdout=slave, stderr=slave
        )
        self._seen = b""

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def type(self, text: bytes) -> None:
        os.write(self._master, text)

    def expect(self, text: bytes) -> None:
        """Read until `text` has come; what follows it is kept."""
        while text not in self._seen:
            ready, _, _ = select.select([self._master], [], [], SECONDS)
            assert ready, self._seen
            self._seen += os.read(self._master, 65536)
        self._seen = self._seen.partition(text)[2]

    def end(self) -> int:
        """Wait for the end; the terminal must be as it was."""
        code = self.process.wait(SECONDS)
        assert termios.tcgetattr(self._slave) == self.before
        os.close(self._slave)
        os.close(self._master)
        return code


def test_a_terminal_is_raw_has_its_size_and_is_restored(box: Box) -> None:
    screen = Screen("run", *ALONE, "--rm", "-it", "busybox", "sh")
    screen.expect(b"# ")
    screen.type(b"until [ \"$(stty size)\" = '31 101' ]; do sleep 0.05; done; echo si''zed\r")
    screen.expect(b"sized")
    screen.resize(90, 20)
    screen.process.send_signal(signal.SIGWINCH)
    screen.type(b"until [ \"$(stty size)\" = '20 90' ]; do sleep 0.05; done; echo re''sized\r")
    screen.expect(b"resized")
    screen.type(b"exit 4\r")
    assert screen.end() == 4


def test_keys_go_to_the_container_as_they_are(box: Box) -> None:
    # A shell that is interrupted between two commands keeps the signal for its trap and goes on
    # with the next one, so the trap itself must end it.
    script = "trap 'echo int; exit 9' INT; echo on; while :; do sleep 0.1; done"
    screen = Screen("run", *ALONE, "--rm", "-it", "busybox", "sh", "-c", script)
    screen.expect(b"on")
    screen.type(b"\x03")
    screen.expect(b"int")
    assert screen.end() == 9


def test_detach_keys_leave_the_container_running(box: Box) -> None:
    screen = Screen("run", *ALONE, "--name", "web", "-it", "busybox", "sh")
    screen.expect(b"# ")
    screen.type(b"\x10\x11")
    assert screen.end() == 0
    assert box.state("web")["Running"] is True


def test_exec_has_a_terminal_too(box: Box, command: Command) -> None:
    command("run", *ALONE, "-d", "--name", "web", "busybox", "sleep", "600")
    screen = Screen("exec", "-it", "web", "sh")
    screen.expect(b"# ")
    screen.type(b"tty; exit 5\r")
    screen.expect(b"/dev/pts/")
    assert screen.end() == 5


def test_the_engine_group_tells_how_the_engine_is(box: Box, command: Command) -> None:
    if box.name != "engine":
        pytest.skip("only ipycontainer's own engine has one")
    assert command("engine", "url").stdout.startswith(b"unix:///")
    assert b"Socket:" in command("engine", "status").stdout
    assert int(command("engine", "pid").stdout) > 0


def test_another_engine_says_that_it_cannot_capture(box: Box, command: Command) -> None:
    if box.name == "engine":
        pytest.skip("ipycontainer's own engine can")
    done = command("capture", "mine")
    assert done.returncode == 1
    assert b"cannot capture 'mine'" in done.stderr
    assert b"unset DOCKER_HOST" in done.stderr


def test_a_shell_gets_completion_from_the_same_declarations(box: Box, command: Command) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from ipycontainer.cli import main; main()"],
        env={**os.environ, "_IPYCONTAINER_COMPLETE": "bash_source"},
        capture_output=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert b"_IPYCONTAINER_COMPLETE=bash_complete" in done.stdout
