"""The shell of a shell kernel, of each kind, without Jupyter."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from ipycontainer_kernel.container import KernelContainer
from ipycontainer_kernel.settings import Settings
from ipycontainer_kernel.shell import completion, looking, own, script
from ipycontainer_kernel.shell.held import held
from ipycontainer_kernel.shell.output import CellOutput
from ipycontainer_kernel.shell.shell import Shell
from ipycontainer_kernel.shell.turn import Cell, Outcome
from support.engines import Engine, running_engine

pytestmark = pytest.mark.ordinary_user

KINDS = (script.ASH, script.BASH, script.SH)


class Ran(NamedTuple):
    out: str
    err: str
    outcome: Outcome

    @property
    def status(self) -> int:
        return self.outcome.status


class Room:
    """A shell, and the container in which others can be had."""

    def __init__(self, container: KernelContainer, kind: str) -> None:
        self.container, self.kind = container, kind
        self.shell = self.another()

    def another(self) -> Shell:
        made = Shell(self.container.session, self.container.id, self.kind)
        made.start()
        return made

    def run(self, code: str, at: str = "", do: Callable[[], object] = lambda: None) -> Ran:
        """Run a cell, and `do` something when it has printed `at`."""
        said = {"stdout": "", "stderr": ""}
        done = False

        def send(stream: str, text: str) -> None:
            nonlocal done
            said[stream] += text
            if at and at in said["stdout"] and not done:
                done = True
                threading.Thread(target=do).start()

        output = CellOutput(send)
        outcome = self.shell.run(Cell(code, output, None, lambda *_shown: None))
        output.finish()
        return Ran(said["stdout"], said["stderr"], outcome)


@pytest.fixture(scope="module")
def images(busybox: str, debian_python: str) -> Iterator[tuple[Engine, dict[str, str]]]:
    with running_engine() as engine:
        for name in (busybox, debian_python):
            engine.client.images.pull(name)
        yield engine, {script.ASH: busybox, script.BASH: debian_python, script.SH: debian_python}


@pytest.fixture(scope="module", params=KINDS)
def served(request: pytest.FixtureRequest, images: tuple[Engine, dict[str, str]]) -> Iterator[Room]:
    engine, names = images
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DOCKER_HOST", raising=False)
        patch.setenv("IPYCONTAINER_ROOT", str(engine.paths.root))
        patch.setenv("IPYCONTAINER_RUN", str(engine.paths.run))
        container = held(Settings(image=names[request.param], kind="shell"), None)
    try:
        yield Room(container, request.param)
    finally:
        container.remove()


@pytest.fixture
def room(served: Room) -> Iterator[Room]:
    """A shell that no other test has used."""
    served.shell.close()
    served.shell = served.another()
    return served


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def twice() -> None:
    """Interrupt, and again when that has been heard: two at once are one."""
    interrupt()
    threading.Timer(0.5, interrupt).start()


def test_variables_functions_folder_and_status_are_kept_between_cells(room: Room) -> None:
    room.run('x=5; f() { echo "f$x"; }; alias g="f; f"; cd /tmp; umask 027; (exit 7)')
    assert room.run("echo $?; f; g; pwd; umask") == ("7\nf5\nf5\nf5\n/tmp\n0027\n", "", Outcome(0))


def test_streams_are_apart_and_hold_what_was_printed_to_the_last_byte(room: Room) -> None:
    assert room.run("printf out; printf err >&2") == ("out", "err", Outcome(0))


def test_exit_ends_the_cell_alone(room: Room) -> None:
    room.run("x=kept; h() { echo in h; }")
    for end in ("exit 3", "f() { exit 3; }; f", "eval 'exit 3'", "false || exit 3"):
        ran = room.run(f"echo a; {end}; echo b")
        assert (ran.out, ran.status, ran.outcome.died) == ("a\n", 3, False), end
        assert room.run("echo $?; h; echo $x").out == "3\nin h\nkept\n"
    assert room.run("(exit 4); echo $?; exit").out == "4\n"


@pytest.mark.parametrize("before", ["command() { :; }", "trap '' INT", "trap 'echo caught' INT"])
def test_exit_ends_a_cell_whatever_that_has_made_of_commands_and_signals(
    room: Room, before: str
) -> None:
    assert room.run(f"{before}; x=kept; exit 3; echo never") == ("", "", Outcome(3))
    assert room.run("echo $x").out == "kept\n"


def test_an_error_of_the_shell_ends_the_cell_alone(room: Room) -> None:
    room.run("x=kept")
    for fault in ("if; then", "echo ${none?not set}", "readonly r=1; r=2", "("):
        ran = room.run(f"{fault}; echo after")
        assert ran.status > 0, fault
        assert ran.err, fault
        assert not ran.outcome.died, fault
        assert "after" not in ran.out, fault
    assert room.run("echo $x").out == "kept\n"


def test_errexit_ends_the_cell_and_what_the_shell_can_tell_is_kept(room: Room) -> None:
    room.run(
        "x='a\nb'; export y='\\'; f() {\n  if true; then { echo in f; }; fi\n}; cd /tmp; alias q=f"
    )
    ran = room.run("set -e; false; echo after")
    assert (ran.out, ran.status, ran.outcome.died, ran.outcome.kept) == ("", 1, True, True)
    ran = room.run('echo "$x" "$y"; pwd; f; sh -c \'echo "$y"\'; case $- in *e*) echo e;; esac')
    assert ran.out == "a\nb \\\n/tmp\nin f\n\\\ne\n"
    assert room.run("q").out == "in f\n"


def test_a_shell_that_is_killed_is_followed_by_another(room: Room) -> None:
    room.run("touch /tmp/file; x=lost")
    ran = room.run("kill -9 $$")
    assert (ran.status, ran.outcome.died, ran.outcome.kept) == (137, True, False)
    assert room.run('echo "<$x>" /tmp/file*').out == "<> /tmp/file\n"


def test_an_interrupt_ends_the_foreground_command_alone(room: Room) -> None:
    room.run("x=kept; sleep 61 & echo $! >/tmp/pid")
    for busy in ("sleep 60", "while :; do :; done", "sleep 60 | cat", "(sleep 60)"):
        ran = room.run(f"echo go; {busy}; echo after", "go\n", interrupt)
        assert (ran.out, ran.status, ran.outcome.interrupts) == ("go\n", 130, 1), busy
    ran = room.run('kill -0 "$(cat /tmp/pid)" && echo $x; kill $!')
    assert (ran.out, ran.status) == ("kept\n", 0)


def test_what_ignores_an_interrupt_is_killed_by_the_second(room: Room) -> None:
    ran = room.run("x=kept; (trap '' INT; echo go; sleep 60)", "go\n", twice)
    assert ran.outcome.interrupts == 2
    assert not ran.outcome.died
    assert room.run("echo $x").out == "kept\n"


def test_an_interrupt_continues_a_shell_that_has_stopped_itself(room: Room) -> None:
    ran = room.run("x=kept; echo go; kill -STOP $$; echo never", "go\n", interrupt)
    assert (ran.out, ran.outcome.interrupts, ran.outcome.died) == ("go\n", 1, False)
    assert room.run("echo $x").out == "kept\n"


def test_a_shell_that_ignores_an_interrupt_itself_is_killed_by_the_second(room: Room) -> None:
    script = "trap '' INT; echo go; while :; do :; done"
    ran = room.run(script, "go\n", twice)
    assert (ran.outcome.interrupts, ran.outcome.died) == (2, True)
    assert "It runs nothing" in ran.err
    assert room.run("echo more").out == "more\n"


def test_a_child_that_ends_between_cells_ends_nothing_else(room: Room) -> None:
    room.run("x=kept; (sleep 0.05; echo late) &")
    room.shell.control.expect("")
    ran = room.run("wait; echo $x")
    assert ran.out == "late\nkept\n"


def test_commands_have_three_descriptors_and_those_of_the_person(room: Room) -> None:
    room.run("exec 3</dev/null 9>/dev/null")
    # By its path, or busybox does it in a fork of itself; a shell opens the folder that it lists.
    ran = room.run("/bin/sh -c 'for f in /proc/$$/fd/*; do [ -e $f ] && echo ${f##*/}; done'")
    assert ran.out.split() == ["0", "1", "2", "3", "9"]


def test_nothing_that_is_printed_ends_a_cell(room: Room) -> None:
    said = "echo '__ipycontainer_end x 0'; echo 'dead 1'; set | grep ipycontainer_nonce"
    ran = room.run(f"{said}; {said} >&2; echo last")
    assert ran.out.endswith("last\n")
    assert ran.status == 0


def test_aliases_of_what_the_kernel_uses_are_a_cells_own_affair(room: Room) -> None:
    room.run("x=kept; alias printf='echo no' read=: kill=: cat=: command=: eval=: true=false")
    assert room.run("echo $x") == ("kept\n", "", Outcome(0))
    assert room.run("exit 3").status == 3
    assert completion.complete(room.shell, "ls /et", 6).matches == ["/etc/"]


def test_a_shell_that_can_tell_no_end_is_given_up(served: Room) -> None:
    if served.kind != script.BASH:
        pytest.skip("only bash takes `unset` for a function's name")
    room = Room(served.container, served.kind)
    ran = room.run("unset() { :; }; command() { :; }")
    assert (ran.status, ran.outcome.died) == (137, True)
    assert "does none of it" in ran.err
    assert room.run("echo on").out == "on\n"
    room.shell.close()


def test_a_long_cell_runs(room: Room) -> None:
    text = "y' \\" * 5_000
    quoted = text.replace("'", "'\\''")
    assert room.run(f"v='{quoted}'; echo ${{#v}}").out == f"{len(text)}\n"


def test_words_are_completed_as_the_container_has_them(room: Room) -> None:
    room.run("mkdir -p '/tmp/a dir/sub'; touch '/tmp/a dir/$x'; myvar=1; myfunc() { :; }; cd /tmp")

    def texts(code: str) -> list[str]:
        return completion.complete(room.shell, code, len(code)).matches

    assert texts("cat /etc/pass")[0] == "/etc/passwd"
    assert texts("ls a") == ["a\\ dir/"]
    assert texts("ls a\\ dir/") == ["a\\ dir/\\$x", "a\\ dir/sub/"]
    assert texts("true; myf") == ["myfunc"]
    assert texts('echo "${myv') == ["myvar"]
    assert "sleep" in texts("x=1 | slee")
    assert not [text for text in texts("__ipy") + texts("echo $__ipy") if "ipycontainer" in text]


def test_a_cell_that_goes_on_is_recognised(served: Room) -> None:
    goes_on = (
        "for i in 1; do",
        "echo 'a",
        'echo "$(ls',
        "cat <<END\nhey",
        "echo \\",
        "a |",
        "f() {",
        "cat <<'E O'\nE",
    )
    whole = (
        "cat <<END\nhey\nEND",
        "echo hi",
        "if true; then echo; fi",
        "cat <<-END\n\tEND",
        "x=$((1<<2))",
        'echo "a <<b"',
        "echo # it's <<b",
    )
    told = {code: looking.completeness(served.shell, code) for code in (*goes_on, *whole, "fi")}
    assert {code for code in told if told[code]["status"] == "incomplete"} == {*goes_on}
    assert told["fi"]["status"] == "invalid"
    assert told["f() {"]["indent"] == "  "


def test_a_cell_that_takes_long_to_look_at_is_neither(
    served: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "_WITHIN", 0.0)
    assert looking.completeness(served.shell, "echo")["status"] == "unknown"


def test_a_line_of_a_here_document_or_a_string_is_none_of_the_kernels(served: Room) -> None:
    def whole(code: str) -> bool:
        return looking.completeness(served.shell, code)["status"] != "incomplete"

    for code in ("cat <<END\n%container info\nEND", "echo '\n%container info\n'"):
        assert [*own.parts(code, whole)] == [(code, None)]
    cell = "x=$((1<<2))\n%container info\necho"
    assert [*own.parts(cell, whole)] == [("x=$((1<<2))\n", None), ("", " info"), ("\necho", None)]


@pytest.mark.parametrize("end", ["²", "9" * 5000, "-1", ""])
def test_an_end_that_is_no_number_is_none(room: Room, end: str) -> None:
    told = f'echo "$__ipycontainer_nonce end {end}" >/proc/$__ipycontainer_holder/fd/1'
    assert room.run(f"{told}; echo more; exit 3").status == 3


def test_words_are_explained(room: Room) -> None:
    room.run("v='a b'; fu() { :; }")
    assert looking.inspected(room.shell, "echo $v", 6) == "v='a b'"
    assert "function" in looking.inspected(room.shell, "fu x", 1)
    assert "Usage" in looking.inspected(room.shell, "ls -l", 1)
    assert looking.inspected(room.shell, "nosuchcommand", 1) == ""


def test_a_question_of_the_kernel_that_does_not_end_is_stopped(room: Room) -> None:
    room.run("x=kept")
    assert room.shell.ask("while :; do :; done", 0.3) == b""
    assert room.run("echo $x").out == "kept\n"


def test_two_shells_of_one_container_know_nothing_of_each_other(room: Room) -> None:
    room.run("x=one")
    other = Room(room.container, room.kind)
    assert other.run('echo "<$x>"').out == "<>\n"
    other.shell.close()
