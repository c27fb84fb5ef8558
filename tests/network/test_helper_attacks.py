"""Root of a container, as a client of the resolver: hostile messages, floods, others' names."""

import contextlib
import os
import random
import socket
import struct
from pathlib import Path

import dnslib
import pytest
from helperroom import RESOLVER, Box, Room, member

from ipycontainer_runtime.network.helper import client
from ipycontainer_runtime.network.helper.presence import Wanted

pytestmark = pytest.mark.needs("root")
QUESTION = dnslib.DNSRecord.question("db").pack()
HEADER = struct.pack(">6H", 7, 0x0100, 1, 0, 0, 0)
TYPE_AND_CLASS = struct.pack(">2H", 1, 1)
GROWTH = 4 << 10  # kB that a helper may grow by under attack
# Each pointer leads to the one before it: followed to the beginning, they are a deep recursion.
LADDER = b"".join(struct.pack(">H", 0xC000 | max(12, 10 + 2 * step)) for step in range(1, 2000))

MALFORMED = {
    "nothing": b"",
    "a byte": b"\0",
    "half a header": HEADER[:7],
    "no question": HEADER,
    "a name that leads to itself": HEADER + b"\xc0\x0c" + TYPE_AND_CLASS,
    "a name that leads ahead": HEADER + b"\xc0\x20" + TYPE_AND_CLASS + bytes(40),
    "a name that ends nowhere": HEADER + b"\x3fabc",
    "a ladder of pointers": HEADER + LADDER + TYPE_AND_CLASS,
    "a name of 4000 bytes": HEADER + b"\x3f" + b"a" * 63 + (b"\x3f" + b"b" * 63) * 60 + b"\0" * 5,
    "a label that is no text": HEADER + b"\x02\xff\xfe\0" + TYPE_AND_CLASS,
    "an odd kind of label": HEADER + b"\x40" + b"a" * 64 + b"\0" + TYPE_AND_CLASS,
    "a name of 254 bytes": (
        HEADER + (b"\x3f" + b"a" * 63) * 3 + b"\x3e" + b"a" * 62 + b"\0" + TYPE_AND_CLASS
    ),
    "65535 questions": struct.pack(">6H", 7, 0x0100, 65535, 0, 0, 0) + QUESTION[12:],
    "two questions": struct.pack(">6H", 7, 0x0100, 2, 0, 0, 0) + QUESTION[12:] * 2,
    "an answer": struct.pack(">6H", 7, 0x8180, 1, 0, 0, 0) + QUESTION[12:],
    "an update": struct.pack(">6H", 7, 0x2800, 1, 0, 0, 0) + QUESTION[12:],
    "64 KB": HEADER + QUESTION[12:] + bytes(65000),
    "records that are not there": struct.pack(">6H", 7, 0x0100, 1, 9, 9, 9) + QUESTION[12:],
}


def pair(room: Room) -> tuple[Box, Box]:
    """Return an attacker and a bystander in one network, with a third's name to ask for."""
    boxes = room.box("web"), room.box("by"), room.box("db")
    for number, box in enumerate(boxes):
        room.serve(box, member(box, "front", f"10.9.0.{number + 2}"), upstreams=("127.53.0.9",))
    return boxes[0], boxes[1]


def memory(room: Room) -> int:
    """Return the helper's memory in kB."""
    with open(f"/proc/{room.helper_pid()}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


def unhurt(room: Room, box: Box, pid: int) -> None:
    assert box.addresses("db") == ["10.9.0.4"]
    assert room.helper_pid() == pid


def test_a_malformed_question_costs_an_answer_at_most(room: Room) -> None:
    web, by = pair(room)
    pid = room.helper_pid()
    for kind, message in MALFORMED.items():
        with web.made() as sock:
            for _ in range(3):
                sock.sendto(message, RESOLVER)
            sock.sendto(QUESTION, RESOLVER)  # handled after those, which it tells the end of
            while (answer := sock.recv(65535))[:2] != QUESTION[:2]:
                assert len(answer) <= 512, kind
                assert answer[:2] == message[:2], kind
                assert answer[2] & 0x80, kind
        unhurt(room, by, pid)


def test_noise_by_datagrams_and_by_streams_harms_nobody(room: Room) -> None:
    web, by = pair(room)
    pid, before = room.helper_pid(), memory(room)
    rng = random.Random(53)
    with web.made() as sock:
        for _ in range(3000):
            noise = bytearray(rng.choice([QUESTION, *MALFORMED.values()])[:600])
            for _ in range(rng.randrange(8)):
                if noise:
                    noise[rng.randrange(len(noise))] = rng.randrange(256)
            sock.sendto(noise, RESOLVER)
    for _ in range(100):
        with web.made(socket.SOCK_STREAM) as sock:
            sock.connect(RESOLVER)
            with contextlib.suppress(OSError):
                sock.sendall(struct.pack(">H", rng.randrange(65536)) + os.urandom(3000))
    unhurt(room, by, pid)
    assert memory(room) - before < GROWTH


def test_a_client_that_asks_and_never_reads_is_let_go(room: Room) -> None:
    web, by = pair(room)
    pid, before = room.helper_pid(), memory(room)
    framed = struct.pack(">H", len(QUESTION)) + QUESTION
    with web.made(socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(RESOLVER)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            sock.sendall(framed * (1 << 20))
    unhurt(room, by, pid)
    assert memory(room) - before < GROWTH


def test_many_idle_connections_are_bounded_and_the_newest_is_served(room: Room) -> None:
    web, by = pair(room)
    pid = room.helper_pid()
    before = len(os.listdir(f"/proc/{pid}/fd"))
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(web.made(socket.SOCK_STREAM)).connect(RESOLVER)
        assert web.stream(QUESTION).short() == "10.9.0.4"
        assert len(os.listdir(f"/proc/{pid}/fd")) - before <= 20
    unhurt(room, by, pid)


def test_a_flood_of_questions_leaves_others_their_answers(room: Room) -> None:
    web, by = pair(room)
    pid, before = room.helper_pid(), memory(room)
    outside = dnslib.DNSRecord.question("flood.example").pack()
    with web.made() as sock:
        for _ in range(50):
            for _ in range(100):
                sock.sendto(QUESTION, RESOLVER)
                sock.sendto(outside, RESOLVER)
            assert by.addresses("db", seconds=5) == ["10.9.0.4"]
    unhurt(room, by, pid)
    assert memory(room) - before < GROWTH


def test_questions_of_one_that_nobody_answers_leave_room_for_others(room: Room) -> None:
    web, by = room.box("web"), room.box("by")
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        answering = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        silent.bind(("127.53.0.20", 53))
        answering.bind(("127.53.0.21", 53))
        room.serve(web, member(web, "front", "10.9.0.2"), upstreams=("127.53.0.20",))
        room.serve(by, member(by, "front", "10.9.0.3"), upstreams=("127.53.0.21",))
        sock = stack.enter_context(web.made())
        question = dnslib.DNSRecord.question("flood.example").pack()
        own = dnslib.DNSRecord.question("web").pack()
        for _ in range(10):
            for _ in range(100):
                sock.sendto(question, RESOLVER)
            sock.sendto(own, RESOLVER)  # handled after those, and answered at once
            while sock.recv(600)[:2] != own[:2]:
                pass
        assert len(os.listdir(f"/proc/{room.helper_pid()}/fd")) < 400
        with by.made() as client:
            client.sendto(question, RESOLVER)
            message, sender = answering.recvfrom(600)
            answering.sendto(dnslib.DNSRecord.parse(message).reply().pack(), sender)
            assert client.recv(600)[:2] == question[:2]


def few_descriptors(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have helpers that are started from now on limited to 200 descriptors."""
    limited = folder / "helper/process.py"
    limited.parent.mkdir()
    limited.write_text(
        "import resource, runpy\nresource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))\n"
        f"runpy.run_path({str(client.PROCESS)!r}, run_name='__main__')\n"
    )
    monkeypatch.setattr(client, "PROCESS", limited)


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_flood_of_clients_of_a_port_leaves_names_their_descriptors(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    few_descriptors(tmp_path, monkeypatch)
    kind = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}[protocol]
    web = room.box("web")
    wanted = (Wanted(protocol, 80),)
    network = member(web, "front", "10.9.0.2")
    port = room.serve(web, network, wanted=wanted, upstreams=("127.53.0.22",))[0].host_port
    with contextlib.ExitStack() as stack:
        answering = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        answering.bind(("127.53.0.22", 53))
        answering.settimeout(5)
        asking = stack.enter_context(web.made())
        stack.enter_context(web.listening(kind, 80))
        for number in range(200):
            flood = stack.enter_context(socket.socket(socket.AF_INET, kind))
            with contextlib.suppress(ConnectionError):
                flood.connect(("127.0.0.1", port))
                flood.send(b"1")
            if number % 20 == 19:
                room.do(room.helper.held())  # what came before it has been handled
        for number in range(20):  # each of which takes a descriptor until it is answered
            asking.sendto(dnslib.DNSRecord.question(f"{number}.example").pack(), RESOLVER)
        for message, sender in [answering.recvfrom(600) for _ in range(20)]:
            answering.sendto(dnslib.DNSRecord.parse(message).reply().pack(), sender)
        codes = [dnslib.DNSRecord.parse(asking.recv(600)).header.rcode for _ in range(20)]
        assert codes == [dnslib.RCODE.NOERROR] * 20


def test_a_port_is_of_use_again_after_a_flood_of_connections(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_descriptors(tmp_path, monkeypatch)
    web = room.box("web")
    port = room.publish(web, 80)[0].host_port
    with contextlib.ExitStack() as stack:
        stack.enter_context(web.listening(socket.SOCK_STREAM, 80))
        for _ in range(100):
            with contextlib.suppress(ConnectionError):
                stack.enter_context(socket.create_connection(("127.0.0.1", port)))
    with web.listening(socket.SOCK_STREAM, 80) as listener:
        heard = b""
        while heard != b"2":  # those of the flood that still waited come before it
            with contextlib.suppress(ConnectionError):
                with socket.create_connection(("127.0.0.1", port)) as welcome:
                    welcome.sendall(b"2")
                    sock, _ = listener.accept()
                    with sock:
                        heard = sock.recv(1)


def test_the_names_and_addresses_of_other_networks_are_not_told(room: Room) -> None:
    web, other = room.box("web"), room.box("secret")
    room.serve(web, member(web, "front", "10.9.0.2", internal=True))
    room.serve(other, member(other, "back", "10.9.1.2", "vault"))
    for name in ("secret", "vault", "secret.back", other.id[:12], "back"):
        answer = web.ask(name)
        assert (answer.header.rcode, answer.rr) == (dnslib.RCODE.SERVFAIL, []), name
    assert web.ask("2.1.9.10.in-addr.arpa", "PTR").rr == []


def test_a_name_is_no_longer_told_to_who_has_left_its_network(room: Room) -> None:
    web, db = room.box("web"), room.box("db")
    front, back = member(web, "front", "10.9.0.2"), member(web, "back", "10.9.1.2", internal=True)
    room.serve(db, member(db, "front", "10.9.0.3"))
    room.serve(web, front, back)
    assert web.addresses("db") == ["10.9.0.3"]
    room.change(web, back)
    assert web.addresses("db") == []


def test_a_network_whose_name_is_none_of_dns_harms_nobody(room: Room) -> None:
    web = room.box("web")
    for name in ("n" * 100, "zwei wörter", "a..b", "é" * 60, "."):
        network = member(web, "front", "10.9.0.2")._replace(network_name=name)
        room.serve(web, network)
        web.ask("2.0.9.10.in-addr.arpa", "PTR")
        assert web.addresses("web") == ["10.9.0.2"]


def test_a_link_is_no_way_into_another_network(room: Room) -> None:
    web, other = room.box("web"), room.box("secret")
    room.serve(other, member(other, "back", "10.9.1.2"))
    room.serve(web, member(web, "front", "10.9.0.2", internal=True), links=(("db", other.id),))
    assert web.addresses("db") == []


def test_whatever_source_address_is_claimed_it_is_the_asker_who_is_answered(room: Room) -> None:
    web, db = room.box("web"), room.box("db")
    room.serve(web, member(web, "front", "10.9.0.2", internal=True))
    room.serve(db, member(db, "back", "10.9.1.2"))
    with web.made() as sock:
        # Root of a container may send from any address that it gives itself: even from another's.
        sock.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND
        sock.setsockopt(socket.IPPROTO_IP, 19, 1)  # IP_TRANSPARENT
        sock.bind(("127.9.1.2", 5353))
        sock.sendto(QUESTION, RESOLVER)
        assert dnslib.DNSRecord.parse(sock.recv(600)).rr == []
