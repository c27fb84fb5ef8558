"""Published ports: which are given, which refused, and what is passed on to a container."""

import contextlib
import hashlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from helperroom import SECONDS, Room, member

from ipycontainer_runtime.errors import ContainerError
from ipycontainer_runtime.network.helper.binding import Binding, PortError
from ipycontainer_runtime.network.helper.presence import Wanted

pytestmark = pytest.mark.needs("root")
BULK = 8 << 20


@contextlib.contextmanager
def threaded(serve: object, *arguments: object) -> Iterator[None]:
    assert callable(serve)
    thread = threading.Thread(target=serve, args=arguments)
    thread.start()
    try:
        yield
    finally:
        thread.join(SECONDS)
        assert not thread.is_alive()


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("", 0))
        return int(sock.getsockname()[1])


def connected(port: int, address: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection((address, port), SECONDS)


def received(sock: socket.socket) -> bytes:
    parts = []
    while part := sock.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def count_whole(listener: socket.socket) -> None:
    """Answer what a client has sent until it says that this is all."""
    sock, _ = listener.accept()
    with sock:
        sock.settimeout(SECONDS)
        data = received(sock)
        sock.sendall(b"%d %s" % (len(data), hashlib.sha256(data).hexdigest().encode()))


def test_a_client_that_has_sent_all_still_gets_the_answer(room: Room) -> None:
    web = room.box("web")
    (four, six) = room.publish(web, 80)
    assert (four.host_address, six.host_address) == ("0.0.0.0", "::")
    assert four.host_port == six.host_port
    data = os.urandom(BULK)
    for address in ("127.0.0.1", "::1"):
        with (
            web.listening(socket.SOCK_STREAM, 80) as listener,
            threaded(count_whole, listener),
            connected(four.host_port, address) as client,
        ):
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            assert received(client) == b"%d %s" % (BULK, hashlib.sha256(data).hexdigest().encode())


def test_an_answer_comes_whole_though_its_sender_has_left(room: Room) -> None:
    web = room.box("web")
    port = room.publish(web, 80)[0].host_port
    data = os.urandom(BULK)

    def send(listener: socket.socket) -> None:
        sock, _ = listener.accept()
        with sock:
            sock.settimeout(SECONDS)
            sock.sendall(data)

    with (
        web.listening(socket.SOCK_STREAM, 80) as listener,
        threaded(send, listener),
        connected(port) as client,
    ):
        assert received(client) == data


def test_what_a_container_does_not_read_its_client_cannot_send(room: Room) -> None:
    web = room.box("web")
    port = room.publish(web, 80)[0].host_port
    with web.listening(socket.SOCK_STREAM, 80) as listener, connected(port) as client:
        silent, _ = listener.accept()
        with silent:
            client.setblocking(False)
            sent = 0
            with contextlib.suppress(BlockingIOError):
                while sent < 1 << 30:
                    sent += client.send(bytes(1 << 16))
            assert sent < 1 << 27
            assert len(silent.recv(1 << 10)) == 1 << 10


def test_a_container_s_end_ends_its_connections_and_the_engine_then_frees_its_ports(
    room: Room,
) -> None:
    web, other = room.box("web"), room.box("other")
    port = room.publish(web, 80)[0].host_port
    with web.listening(socket.SOCK_STREAM, 80) as listener, connected(port) as client:
        listener.accept()[0].close()
        client.settimeout(SECONDS)
        web.end()
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""
    with pytest.raises(ContainerError, match="port is already allocated"):
        room.publish(other, 80, first=port, last=port)  # which a rule may lead elsewhere still
    room.do(room.helper.drop(web.id))
    assert room.publish(other, 80, first=port, last=port)[0].host_port == port


def test_datagrams_go_there_and_back_for_each_client(room: Room) -> None:
    web = room.box("web")
    port = room.publish(web, 53, "udp")[0].host_port
    with web.listening(socket.SOCK_DGRAM, 53) as server:
        clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
        seen = {}
        for number, client in enumerate(clients):
            client.settimeout(SECONDS)
            client.connect(("127.0.0.2", port))  # answers come from the address that was asked
            client.send(b"%d" % number)
            data, sender = server.recvfrom(100)
            seen[sender] = data
        assert sorted(seen.values()) == [b"0", b"1", b"2"]
        for sender, data in seen.items():
            server.sendto(data * 2, sender)
        assert [client.recv(100) for client in clients] == [b"00", b"11", b"22"]
        for client in clients:
            client.close()


def test_a_port_that_another_container_has_is_refused_in_dockers_words(room: Room) -> None:
    web, other = room.box("web"), room.box("other")
    port = room.publish(web, 80)[0].host_port
    free = free_port()
    wanted = (Wanted("tcp", 81, "", free, free), Wanted("tcp", 80, "", port, port))
    with pytest.raises(ContainerError) as refusal:
        room.serve(other, wanted=wanted)
    assert str(refusal.value) == (
        f"driver failed programming external connectivity on endpoint other ({'e' * 64}): "
        f"Bind for 0.0.0.0:{port} failed: port is already allocated"
    )
    connected_to_nobody(free)  # nothing is half-bound
    assert room.do(room.helper.held()) == [web.id]


def connected_to_nobody(port: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        connected(port).close()


def test_a_port_of_somebody_else_is_refused(room: Room) -> None:
    web = room.box("web")
    with socket.socket() as theirs:
        theirs.bind(("127.0.0.1", 0))
        theirs.listen()
        port = theirs.getsockname()[1]
        with pytest.raises(
            ContainerError, match=rf"listen tcp 0\.0\.0\.0:{port}: bind: address already in use$"
        ):
            room.publish(web, 80, first=port, last=port)


def test_a_range_gives_the_first_that_is_free(room: Room) -> None:
    first, second, third = (room.box(name) for name in ("one", "two", "three"))
    start = free_port()
    span = {"host_address": "127.0.0.1", "first": start, "last": start + 1}
    assert room.publish(first, 80, **span)[0].host_port == start
    assert room.publish(second, 80, **span)[0].host_port == start + 1
    with pytest.raises(ContainerError, match="all ports are allocated"):
        room.publish(third, 80, **span)


def test_one_address_can_have_what_another_address_has(room: Room) -> None:
    first, second, third = (room.box(name) for name in ("one", "two", "three"))
    port = free_port()
    for box, address in ((first, "127.0.0.1"), (second, "127.0.0.2")):
        published = room.publish(box, 80, host_address=address, first=port, last=port)
        assert [one.host_address for one in published] == [address]
    with pytest.raises(ContainerError, match="port is already allocated"):
        room.publish(third, 80, first=port, last=port)


def test_an_address_that_the_machine_has_not_is_refused(room: Room) -> None:
    web = room.box("web")
    with pytest.raises(ContainerError, match=r"192\.0\.2\.7 is no address of this machine"):
        room.publish(web, 80, host_address="192.0.2.7", first=free_port(), last=65535)


def test_a_low_port_that_an_ordinary_user_may_not_have_is_refused_with_the_cure() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    number = lowest - 1
    os.seteuid(65534)
    try:
        with pytest.raises(PortError, match=f"ip_unprivileged_port_start={number}`$") as refusal:
            Binding([]).bound(Wanted("tcp", 80, "127.0.0.1", number, number))
    finally:
        os.seteuid(0)
    assert not refusal.value.taken


def test_a_change_keeps_the_ports_and_their_connections(room: Room) -> None:
    web = room.box("web")
    wanted = (Wanted("tcp", 80),)
    before = room.serve(web, member(web, "front", "10.9.0.2"), wanted=wanted)
    with (
        web.listening(socket.SOCK_STREAM, 80) as listener,
        connected(before[0].host_port) as client,
    ):
        container, _ = listener.accept()
        with container:
            changed = room.change(web, member(web, "back", "10.9.1.2"), wanted=wanted)
            assert changed == before
            container.sendall(b"still here")
            assert client.recv(100) == b"still here"
    assert room.change(web, wanted=()) == []
    connected_to_nobody(before[0].host_port)


def test_a_thousand_short_connections_leave_nothing_open(room: Room) -> None:
    web = room.box("web")
    port = room.publish(web, 80)[0].host_port

    def serve(listener: socket.socket, count: int) -> None:
        for _ in range(count):
            sock, _ = listener.accept()
            with sock:
                sock.sendall(sock.recv(100))

    def exchange(count: int) -> None:
        for _ in range(count):
            with connected(port) as client:
                client.sendall(b"ping")
                assert received(client) == b"ping"

    def descriptors() -> int:
        room.do(room.helper.held())  # what came before it has been handled
        return len(os.listdir(f"/proc/{room.helper_pid()}/fd"))

    with web.listening(socket.SOCK_STREAM, 80) as listener:
        with threaded(serve, listener, 1000):
            exchange(20)
            before = descriptors()
            exchange(980)
        assert descriptors() <= before + 4
