"""The shell kernel as Jupyter has it: its messages, questions, interrupts, and its end."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import jupyter_kernel_test
import nbformat
import pytest

from ipycontainer.cli import main
from support import leftovers
from support.engines import Engine, running_engine
from support.hosts import Host
from support.shells import Console, containers, engine_variables, running

pytestmark = pytest.mark.ordinary_user

PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SHOW = f"echo {PNG} | base64 -d >/tmp/a.png; display /tmp/a.png"


class Served:
    """An engine, its images, and what a kernel needs to find them."""

    def __init__(self, engine: Engine, folder: Path, busybox: str, debian: str) -> None:
        self.engine, self.folder, self.busybox, self.debian = engine, folder, busybox, debian
        self.variables = engine_variables(engine)


@pytest.fixture(scope="module")
def served(
    busybox: str, debian_python: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("shells")
    with running_engine() as engine:
        for name in (busybox, debian_python):
            engine.client.images.pull(name)
        yield Served(engine, folder, busybox, debian_python)


@pytest.fixture(scope="module")
def kernel(served: Served) -> Iterator[Console]:
    """One kernel for the tests that leave it as it was."""
    with running(served.folder, served.busybox, served.variables, notebook="rw") as console:
        yield console


@pytest.fixture(scope="class")
def protocol(served: Served, request: pytest.FixtureRequest) -> Iterator[None]:
    """The kernel of a class of Jupyter's own tests."""
    image = getattr(served, request.cls.kernel_name)
    with running(served.folder, image, served.variables, name="protocol") as console:
        request.cls.km, request.cls.kc = console.manager, console.client
        yield


class Protocol(jupyter_kernel_test.KernelTests):  # type: ignore[misc] # it publishes no types
    """Jupyter's own tests, with every group that a shell has."""

    __test__ = False

    @classmethod
    def setUpClass(cls) -> None:
        """Start nothing: a fixture has, since a kernel needs an engine."""

    @classmethod
    def tearDownClass(cls) -> None:
        """End nothing, for the same reason."""

    language_name = "bash"
    file_extension = ".sh"
    code_hello_world = "echo 'hello, world'"
    code_stderr = "echo oops >&2"
    completion_samples = (
        {"text": "cat /etc/passw", "matches": {"/etc/passwd"}},
        {"text": "echo $PAT", "matches": {"PATH"}},
        {"text": "unali", "matches": {"unalias"}},
    )
    complete_code_samples = ("echo hi", "for i in 1; do echo; done", "cat <<E\nx\nE")
    incomplete_code_samples = ("for i in 1; do", "echo 'a", "cat <<E\nx", "ls |", "ls \\")
    invalid_code_samples = ("fi", "echo (")
    code_generate_error = "false"
    code_display_data = ({"code": SHOW, "mime": "image/png"},)
    code_inspect_sample = "ls"


@pytest.mark.usefixtures("protocol")
class TestBusybox(Protocol):
    __test__ = True
    kernel_name = "busybox"


@pytest.mark.usefixtures("protocol")
class TestDebian(Protocol):
    __test__ = True
    kernel_name = "debian"


def test_output_comes_live_and_in_its_streams(kernel: Console) -> None:
    seen = kernel.run("echo first; sleep 60; echo never", interrupt="first\n")
    assert (seen.out, seen.status) == ("first\n", 130)
    assert "interrupted" in seen.error
    ran = kernel.run("echo out; echo err >&2; printf '\\303'; sleep 0.05; printf '\\251'")
    assert (ran.out, ran.err, ran.reply["status"]) == ("out\né", "err\n", "ok")


def test_an_interrupt_of_a_busy_cell_leaves_the_state(kernel: Console) -> None:
    kernel.run("x=kept; f() { echo in f; }; cd /tmp")
    assert kernel.run("echo go; while :; do :; done", interrupt="go\n").status == 130
    assert kernel.run("f; echo $x $?; pwd").out == "in f\nkept 0\n/tmp\n"


def test_a_failing_cell_says_its_status_and_how_long_it_took(kernel: Console) -> None:
    ran = kernel.run("nosuchcommand")
    assert ran.status == 127
    assert "status 127 (command not found) after 0." in ran.error
    assert kernel.run("echo $?").out == "127\n"


def test_programs_ask_the_person_and_their_input_can_end(kernel: Console) -> None:
    ran = kernel.run("printf 'name? '; read -r a; echo got $a", "Ada")
    assert (ran.out, ran.asked) == ("got Ada\n", ["name? "])
    ran = kernel.run("cat; echo end", "one", "two", "^D")
    assert ran.out == "one\ntwo\nend\n"
    assert {*ran.asked} <= {"", "(^D ends the input) "}
    assert kernel.run("head -n 1", "again").out == "again\n"


def test_where_nobody_can_be_asked_the_cell_fails_and_the_shell_stays(kernel: Console) -> None:
    kernel.run("x=kept")
    ran = kernel.run("echo 'who? '; read -r a; echo never", asks=False)
    assert "waits for input" in ran.error
    assert "never" not in ran.out
    assert kernel.run("echo $x").out == "kept\n"


def test_files_are_displayed_where_the_output_is(kernel: Console) -> None:
    kernel.run(
        "cd /tmp; echo '<svg xmlns=\"http://www.w3.org/2000/svg\"/>' >a.svg; echo '# t' >a.md"
        "; echo '<b>b</b>' >a.html; printf '\\377\\330\\377\\340' >a.jpg; echo text >a.txt"
    )
    ran = kernel.run(f"{SHOW} a.svg a.md a.html a.jpg")
    kinds = [next(iter(data)) for data in ran.shown]
    assert kinds == ["image/png", "image/svg+xml", "text/markdown", "text/html", "image/jpeg"]
    ran = kernel.run("display a.txt; head -c 40000000 /dev/zero >big.md; display big.md; rm big.md")
    assert not ran.shown
    assert "a.txt is no PNG, JPEG, SVG, HTML or Markdown" in ran.err
    assert "too much" in ran.err
    assert kernel.run("display nothing.png").status == 1


def test_much_output_is_bounded_and_its_end_is_shown(kernel: Console) -> None:
    ran = kernel.run("seq 1 100000")
    assert ran.out.startswith("1\n2\n")
    assert ran.out.endswith("99999\n100000\n")
    assert len(ran.out) < 100_000
    assert "more lines" in ran.out


def test_a_line_without_an_end_is_shown_as_it_comes(kernel: Console) -> None:
    ran = kernel.run("head -c 30000000 /dev/zero | tr '\\0' a", asks=True)
    assert ran.reply["status"] == "ok"
    assert ran.out.startswith("a" * 100_000)
    assert len(ran.out) < 2_000_000


def test_what_was_run_can_be_had_again(kernel: Console) -> None:
    kernel.run("echo one")
    kernel.run("echo two")
    asked = kernel.client.history(hist_access_type="tail", n=2, raw=True, output=False)
    assert [entry[2] for entry in kernel.reply(asked)["history"]] == ["echo one", "echo two"]
    asked = kernel.client.history(hist_access_type="search", pattern="*two*", unique=True, n=3)
    assert [entry[2] for entry in kernel.reply(asked)["history"]] == ["echo two"]


def test_the_notebook_folder_is_where_it_begins(kernel: Console, served: Served) -> None:
    kernel.run("echo from the shell >/notebook/made")
    assert (served.folder / "made").read_text() == "from the shell\n"


def test_a_restart_is_a_new_container_and_a_shutdown_leaves_none(served: Served) -> None:
    with running(served.folder, served.busybox, served.variables, name="again") as console:
        first = console.run("touch /tmp/x; hostname").out
        console.manager.restart_kernel(now=False)
        console.client.wait_for_ready(timeout=60)
        second = console.run("ls /tmp; hostname")
        assert second.out.strip()
        assert second.out != first
        names = [entry["Labels"]["org.ipycontainer.kernel"] for entry in containers(served.engine)]
        assert names.count("again") == 1
    left = [entry["Labels"]["org.ipycontainer.kernel"] for entry in containers(served.engine)]
    assert "again" not in left


def test_a_kernel_that_is_killed_leaves_no_container(served: Served) -> None:
    with running(served.folder, served.busybox, served.variables, name="killed") as console:
        console.run("sleep 100 & echo")
        console.manager.provisioner.process.kill()
        assert not leftovers.eventually(lambda: _named(served.engine, "killed"))


def _named(host: Host, name: str) -> list[str]:
    found = containers(host)
    return [entry["Id"] for entry in found if entry["Labels"]["org.ipycontainer.kernel"] == name]


def test_the_engine_can_go_and_come_back(served: Served) -> None:
    with running(served.folder, served.busybox, served.variables, name="engineless") as console:
        console.run("x=kept")
        served.engine.kill()
        assert console.run("echo $x").out == "kept\n"
        ran = console.run("read -r a; echo got $a", "here")
        assert ran.out == "got here\n"
    assert not _named(served.engine, "engineless")


def test_a_container_that_ends_says_why_in_every_cell(served: Served) -> None:
    with running(served.folder, served.busybox, served.variables, name="ended") as console:
        console.run("echo")
        (ident,) = _named(served.engine, "ended")
        served.engine.client.api.kill(ident)
        for _ in range(2):
            assert "restart the kernel" in console.run("echo never").error


@pytest.mark.needs("limits")
def test_a_limit_of_memory_is_told(served: Served) -> None:
    with running(
        served.folder, served.debian, served.variables, name="small", memory="64m"
    ) as console:
        ran = console.run("x=kept; python3 -c 'x = bytearray(200 << 20)'")
        assert ran.status == 137
        assert "out of memory" in ran.error
        assert ran.err == ""
        assert console.run("echo $x").out == "kept\n"


def test_an_image_that_is_not_there_fails_the_first_cell_in_words(served: Served) -> None:
    image = "127.0.0.1:9/no/such:image"
    with running(served.folder, image, served.variables, name="imageless") as console:
        assert "127.0.0.1:9" in console.run("echo never").error


def test_a_container_that_answers_an_interrupt_with_noise_costs_the_shell_alone(
    served: Served,
) -> None:
    with running(served.folder, served.busybox, served.variables, name="noisy") as console:
        noisy = r"rm /bin/sh; printf '#!/bin/busybox yes\n' >/bin/sh; chmod +x /bin/sh"
        ran = console.run(f"{noisy}; echo begun; /bin/busybox sleep 600", interrupt="begun")
        assert "does not answer as a shell" in ran.error
        assert "does not answer as a shell" in console.run("echo never").error


def test_a_cell_that_waits_for_its_image_can_be_interrupted(served: Served) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        image = f"127.0.0.1:{silent.getsockname()[1]}/no:answer"
        with running(served.folder, image, served.variables, name="waiting") as console:
            asked = console.client.execute("echo never")
            while console.client.get_iopub_msg(timeout=60)["msg_type"] != "execute_input":
                pass
            console.manager.interrupt_kernel()
            assert "interrupted" in console.reply(asked)["evalue"]


def test_container_lines_act_on_the_kernels_own_container(served: Served) -> None:
    with running(served.folder, served.busybox, served.variables, name="own") as console:
        console.run("echo one >/tmp/file; x=kept")
        assert "first: " in console.run("%container checkpoint first").out
        assert served.busybox in console.run("%container info").out
        ran = console.run("echo two >/tmp/file\n%container commit made/by-shell\necho $x")
        assert "made/by-shell: " in ran.out
        assert ran.out.endswith("kept\n")
        assert served.engine.client.images.get("made/by-shell")
        console.run("%container restore first")
        assert console.run('cat /tmp/file; echo "<$x>"').out == "one\n<>\n"
        console.run("%container checkpoint --every-cell")
        assert "1 changed" in console.run("echo three >/tmp/file").out
        assert "1 changed" in console.run("echo four >/tmp/file; false").out
        assert "`%container` lists" in console.run("%container frobnicate").error
    assert not _named(served.engine, "own")
    served.engine.client.images.remove("made/by-shell")


@pytest.mark.needs("dockerd")
def test_dockers_engine_serves_it_too_but_sees_no_questions(
    dockerd: Host, busybox: str, tmp_path: Path
) -> None:
    dockerd.client.images.pull(busybox)
    variables = {"DOCKER_HOST": f"unix://{dockerd.socket}"}
    with running(tmp_path, busybox, variables, network="none", notebook="none") as console:
        ran = console.run("x=5; echo hi; cat; echo end")
        assert ran.out == "hi\nend\n"
        assert "cannot see when a program waits for input" in ran.err
        assert console.run("echo go; sleep 60", interrupt="go\n").status == 130
        assert console.run("exit 3").status == 3
        assert console.run("echo $x").out == "5\n"
    assert not containers(dockerd)


def notebook_of(folder: Path, image: str, *cells: str) -> Path:
    sandbox = {"image": image, "kind": "shell", "network": "none"}
    made = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in cells],
        metadata={"ipycontainer": sandbox},
    )
    nbformat.write(made, folder / "x.ipynb")
    return folder / "x.ipynb"


def ran_and_verified(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run a notebook, verify it, and return what its cells printed."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(path.parent / "runtime"))
    assert main(["run", str(path), "-q", "-p", "who=a b"]) == 0
    assert main(["verify", str(path), "-q"]) == 0
    found = nbformat.read(path, as_version=4)
    return ["".join(output.text for output in cell.outputs) for cell in found.cells]


def test_a_notebook_is_run_and_verified_by_whoever_has_the_engine(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in served.variables.items():
        monkeypatch.setenv(name, value)
    path = notebook_of(tmp_path, served.busybox, 'echo "$who"', "ls")
    before = len(containers(served.engine))
    assert ran_and_verified(path, monkeypatch)[1] == "a b\n"
    assert len(containers(served.engine)) == before


@pytest.mark.needs("dockerd")
def test_a_notebook_is_run_and_verified_on_dockers_engine(
    dockerd: Host, busybox: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dockerd.client.images.pull(busybox)
    monkeypatch.setenv("DOCKER_HOST", dockerd.url)
    path = notebook_of(tmp_path, busybox, 'echo "$who"')
    assert ran_and_verified(path, monkeypatch)[1].endswith("a b\n")
    assert not containers(dockerd)
