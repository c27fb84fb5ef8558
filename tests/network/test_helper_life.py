"""The helper outlives engines, is replaced when it is killed, and leaves when nothing needs it."""

import asyncio
import contextlib
import os
import select
import signal
import socket

import pytest
from helperroom import SECONDS, Box, Room, member

from ipycontainer_runtime.linux.netns import entered
from ipycontainer_runtime.network.helper.presence import Membership, Wanted

pytestmark = pytest.mark.needs("root")
WANTED = (Wanted("tcp", 80, "127.0.0.1"),)


def front(box: Box, last: int = 2) -> Membership:
    return member(box, "front", f"10.9.0.{last}")


def ended(pidfd: int) -> None:
    """Wait for the end of a process, and close its descriptor."""
    try:
        assert select.select([pidfd], [], [], SECONDS)[0]
    finally:
        os.close(pidfd)


def test_names_and_ports_stay_when_the_engine_is_gone(room: Room) -> None:
    web = room.box("web")
    port = room.serve(web, front(web), wanted=WANTED)[0].host_port
    room.helper.close()
    assert web.addresses("web") == ["10.9.0.2"]
    with web.listening(socket.SOCK_STREAM, 80) as listener:
        with socket.create_connection(("127.0.0.1", port), SECONDS):
            listener.accept()[0].close()
    room.helper = room.engine()
    assert room.do(room.helper.held()) == [web.id]


def test_the_next_engine_goes_on_with_the_same_helper(room: Room) -> None:
    web, db = room.box("web"), room.box("db")
    ports = room.serve(web, front(web), wanted=WANTED)
    before = room.helper_pid()
    room.helper.close()
    room.helper = room.engine()
    room.serve(db, front(db, 3))
    # An engine that knows the port from its records, and one that knows only what was wanted.
    pinned = (WANTED[0]._replace(first=ports[0].host_port, last=ports[0].host_port),)
    assert room.serve(web, front(web), wanted=pinned) == ports
    assert room.change(web, front(web), wanted=WANTED) == ports
    assert web.addresses("db") == ["10.9.0.3"]
    assert room.helper_pid() == before


def test_a_helper_that_is_killed_is_replaced_and_has_the_same_names_and_ports(room: Room) -> None:
    web, db = room.box("web"), room.box("db")
    ports = room.serve(web, front(web), wanted=WANTED)
    room.serve(db, front(db, 3))
    killed = room.helper_pid()
    os.kill(killed, signal.SIGKILL)
    assert set(room.do(room.helper.held())) == {web.id, db.id}
    assert room.helper_pid() != killed
    assert web.addresses("db") == ["10.9.0.3"]
    assert room.change(web, front(web), wanted=WANTED) == ports


def test_nobody_needs_to_ask_for_a_helper_that_is_killed_to_be_replaced(room: Room) -> None:
    web = room.box("web")
    room.serve(web, front(web))
    os.kill(room.helper_pid(), signal.SIGKILL)

    def found() -> list[str]:
        while True:
            try:
                return web.addresses("web", seconds=0.2)
            except TimeoutError:  # nobody answered
                continue

    assert room.do(asyncio.to_thread(found)) == ["10.9.0.2"]


def test_a_container_whose_process_ends_is_dropped_without_an_engine(room: Room) -> None:
    web, db = room.box("web"), room.box("db")
    port = room.serve(web, front(web), wanted=WANTED)[0].host_port
    room.serve(db, front(db, 3))
    room.helper.close()
    web.end()
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), SECONDS).close()
        except ConnectionResetError:  # taken, and then given up with the port
            continue
        except ConnectionRefusedError:
            break
    assert db.addresses("web") == []


def test_it_leaves_with_the_last_container_when_there_is_no_engine(room: Room) -> None:
    web = room.box("web")
    room.serve(web, front(web))
    helper = os.pidfd_open(room.helper_pid())
    room.helper.close()
    web.end()
    ended(helper)
    assert list(room.folder.iterdir()) == []


def test_it_leaves_with_an_engine_that_leaves_nothing_behind(room: Room) -> None:
    web = room.box("web")
    room.serve(web, front(web))
    helper = os.pidfd_open(room.helper_pid())
    room.do(room.helper.drop(web.id))
    room.helper.close()
    ended(helper)


def test_a_helper_that_has_left_is_started_again(room: Room) -> None:
    web = room.box("web")
    room.serve(web, front(web))
    room.do(room.helper.drop(web.id))
    room.helper.close()
    room.serve(web, front(web))
    assert web.addresses("web") == ["10.9.0.2"]


def test_another_run_of_a_container_is_answered_in_its_own_namespace(room: Room) -> None:
    web, again = room.box("web"), room.box("web")
    room.serve(web, front(web))
    room.serve(again, front(again, 5))
    assert again.addresses("web") == ["10.9.0.5"]
    web.end()
    assert again.addresses("web") == ["10.9.0.5"]
    assert room.do(room.helper.held()) == [web.id]


def test_names_are_resolved_from_when_they_are_first_wanted(room: Room) -> None:
    web = room.box("web")
    room.serve(web, front(web), resolves=False)
    with pytest.raises(TimeoutError):
        web.addresses("web", seconds=0.2)
    room.change(web, front(web))
    assert web.addresses("web") == ["10.9.0.2"]
    room.change(web, front(web), resolves=False)
    with pytest.raises(TimeoutError):
        web.addresses("web", seconds=0.2)


def test_a_helper_that_was_killed_without_an_engine_is_told_by_the_next(room: Room) -> None:
    web = room.box("web")
    ports = room.serve(web, front(web), wanted=WANTED)
    pinned = (WANTED[0]._replace(first=ports[0].host_port, last=ports[0].host_port),)
    room.helper.close()
    os.kill(room.helper_pid(), signal.SIGKILL)
    room.helper = room.engine()
    assert room.change(web, front(web), wanted=pinned) == ports
    assert web.addresses("web") == ["10.9.0.2"]


def test_what_changed_of_a_container_that_has_ended_is_nothing(room: Room) -> None:
    web = room.box("web")
    web.end()
    assert room.change(web, front(web), wanted=WANTED) == []
    assert room.do(room.helper.held()) == []


def test_nobody_else_reaches_its_socket(room: Room) -> None:
    web = room.box("web")
    room.serve(web, front(web))
    (path,) = room.folder.glob("helper-*")
    assert path.stat().st_mode & 0o777 == 0o600
    assert room.folder.stat().st_mode & 0o077 == 0


def test_nobody_else_is_obeyed_who_reaches_its_socket_all_the_same(room: Room) -> None:
    web = room.box("web")
    room.serve(web, front(web))
    (path,) = room.folder.glob("helper-*")
    room.folder.chmod(0o755)
    path.chmod(0o666)
    text = b'{"do":"held","id":1}'
    for user, answered in ((0, True), (65534, False)):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(SECONDS)
            os.seteuid(user)
            try:
                sock.connect(str(path))
            finally:
                os.seteuid(0)
            with contextlib.suppress(ConnectionError):
                sock.sendall(len(text).to_bytes(4, "big") + text)
                assert (web.id.encode() in sock.recv(1000)) is answered


def test_it_is_small(room: Room) -> None:
    boxes = [room.box(f"box{number}") for number in range(4)]
    for number, box in enumerate(boxes):
        room.serve(box, front(box, 10 + number), wanted=(Wanted("tcp", 80),))
        assert box.addresses("box0") == ["10.9.0.10"]
    with open(f"/proc/{room.helper_pid()}/smaps_rollup") as file:
        private = sum(int(line.split()[1]) for line in file if line.startswith("Private_"))
    assert private < 14 << 10  # kB; the C library and the interpreter's code are shared


def test_its_sockets_are_where_they_belong(room: Room) -> None:
    web = room.box("web")
    room.serve(web, front(web), wanted=WANTED)
    with entered(web.netns), open("/proc/net/tcp") as file:
        inside = [line.split()[1].split(":")[0] for line in file.readlines()[1:]]
    assert inside == ["0B00007F"]  # 127.0.0.11
