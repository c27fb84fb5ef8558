"""A kernel in a container through jupyter_client, by its provisioner and by its argv."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from jupyter_client import KernelManager
from kernelroom import SECONDS, Room, Running, running

pytestmark = pytest.mark.ordinary_user

SLEEP = "import time\nprint('begun', flush=True)\ntime.sleep(600)"
BUSY = "print('begun', flush=True)\nwhile True: pass"


@pytest.fixture(scope="module", params=["provisioner", "argv"])
def kernel(room: Room, request: pytest.FixtureRequest) -> Iterator[Running]:
    folder = room.folder / request.param
    folder.mkdir()
    (folder / "data.txt").write_text("beside the notebook")
    name = room.install(memory="512m", env={"GIVEN": "yes"})
    with running(name, argv=request.param == "argv", cwd=str(folder)) as made:
        yield made
    assert not room.left()


def test_a_cell_runs_in_the_container(kernel: Running, room: Room) -> None:
    assert kernel.run("1 + 1") == ("ok", "2")
    code = "import os; print(os.getpid() < 10, os.environ['GIVEN'], os.getcwd())"
    assert kernel.run(code) == ("ok", "True yes /notebook\n")
    (entry,) = room.containers()
    assert entry["Names"][0].startswith("/kernel-contained-")


def test_there_is_no_network_where_none_is_asked_for(kernel: Running) -> None:
    code = "import socket; print([name for _, name in socket.if_nameindex()])"
    assert kernel.run(code) == ("ok", "['lo']\n")


def test_the_notebooks_folder_is_there_to_be_read(kernel: Running) -> None:
    assert kernel.run("print(open('data.txt').read())") == ("ok", "beside the notebook\n")
    assert kernel.run("open('new.txt', 'w')") == ("error", "OSError")


@pytest.mark.parametrize("code", [SLEEP, BUSY], ids=["sleeping", "busy"])
def test_a_cell_is_interrupted_and_the_kernel_lives(kernel: Running, code: str) -> None:
    kernel.run("x = 3")
    ident = kernel.begin(code)
    kernel.manager.interrupt_kernel()
    assert kernel.until(ident, "error")["content"]["ename"] == "KeyboardInterrupt"
    assert kernel.run("x") == ("ok", "3")


def test_input_is_asked_for_and_given(kernel: Running) -> None:
    asked: list[str] = []

    def answer(message: dict[str, dict[str, str]]) -> None:
        asked.append(message["content"]["prompt"])
        kernel.client.input("Ada")

    kernel.client.execute_interactive(
        "name = input('who? ')", allow_stdin=True, stdin_hook=answer, timeout=60
    )
    assert asked == ["who? "]
    assert kernel.run("name") == ("ok", "'Ada'")


def test_the_heart_beats(kernel: Running) -> None:
    heart = kernel.client.connect_hb()
    try:
        for beat in (b"one", b"two"):
            heart.send(beat)
            assert heart.poll(SECONDS * 1000)
            assert heart.recv() == beat
    finally:
        heart.close(linger=0)


def test_a_message_with_another_key_is_not_listened_to(kernel: Running) -> None:
    other = kernel.manager.client()
    other.session.key, other.session.session = b"another", "somebody"
    other.start_channels(stdin=False, hb=False)
    try:
        other.execute("forged = True")
        assert kernel.run("'forged' in globals()") == ("ok", "False")
    finally:
        other.stop_channels()


def test_a_restart_is_a_fresh_container_for_the_same_client(kernel: Running, room: Room) -> None:
    (before,) = room.containers()
    kernel.run("x = 3; open('/tmp/left', 'w').close()")
    kernel.manager.restart_kernel()
    kernel.client.wait_for_ready(timeout=60)
    assert kernel.run("import os; 'x' in globals() or os.path.exists('/tmp/left')")[1] == "False"
    (after,) = room.containers()
    assert after["Id"] != before["Id"]


@pytest.mark.parametrize("argv", [False, True], ids=["provisioner", "argv"])
def test_an_immediate_shutdown_leaves_nothing(room: Room, argv: bool) -> None:
    manager = KernelManager(kernel_name=room.install("hasty"))
    assert manager.kernel_spec is not None
    if argv:
        del manager.kernel_spec.metadata["kernel_provisioner"]
    manager.start_kernel()
    manager.shutdown_kernel(now=True)
    assert not [entry for entry in room.containers() if "hasty" in entry["Names"][0]]


def test_several_kernels_of_one_image_are_apart(kernel: Running, room: Room) -> None:
    name = room.install("second", notebook="rw")
    folder = room.folder / "written"
    folder.mkdir(exist_ok=True)
    with running(name, cwd=str(folder)) as other:
        kernel.run("x = 'first'")
        assert other.run("'x' in globals()") == ("ok", "False")
        assert other.run("open('file', 'w').write('by the kernel')") == ("ok", "13")
    assert (folder / "file").read_text() == "by the kernel"


def test_ten_kernels_at_once_answer(room: Room, pytestconfig: pytest.Config) -> None:
    number = 10 if pytestconfig.getoption("--long") else 3
    name = room.install("many")
    answers: list[tuple[str, str]] = []

    def one(value: int) -> None:
        with running(name) as kernel:
            answers.append(kernel.run(f"{value} * 2"))

    threads = [threading.Thread(target=one, args=(value,)) for value in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == sorted(("ok", str(value * 2)) for value in range(number))
