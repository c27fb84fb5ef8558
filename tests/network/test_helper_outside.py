"""Names that are not ours: asked of resolvers outside, in order, and believed only from them."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import dnslib
import pytest
from helperroom import RESOLVER, SECONDS, Box, Room, member

from ipycontainer_runtime.linux.netns import entered
from ipycontainer_runtime.network.helper.machine import MachineResolvers
from support import leftovers

pytestmark = pytest.mark.needs("root")
Reply = Callable[[bytes], list[bytes]]
"""What a resolver sends for a question: nothing, one answer, or several."""
SILENT = "127.53.0.9"


class Outside:
    """A resolver at port 53 of an address of the machine's; remembers what it was asked."""

    def __init__(self, address: str, reply: Reply, by_stream: Reply | None = None) -> None:
        self.address = address
        self.asked: list[dnslib.DNSRecord] = []
        self.senders: list[tuple[str, int]] = []
        self.raw: list[bytes] = []
        self._reply = reply
        self._by_stream = by_stream
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for sock in (self._udp, self._tcp):
            sock.bind((address, 53))
        self._tcp.listen()
        self._threads = [threading.Thread(target=run) for run in (self._datagrams, self._streams)]
        for thread in self._threads:
            thread.start()

    def _datagrams(self) -> None:
        while True:
            message, sender = self._udp.recvfrom(65535)
            if not message:
                return
            self._note(message, sender)
            for answer in self._reply(message):
                self._udp.sendto(answer, sender)

    def _note(self, message: bytes, sender: tuple[str, int]) -> None:
        self.raw.append(message)
        self.asked.append(dnslib.DNSRecord.parse(message))
        self.senders.append(sender)

    def _streams(self) -> None:
        while True:
            sock, sender = self._tcp.accept()
            with sock, sock.makefile("rb") as file:
                length = file.read(2)
                if not length:
                    return
                message = file.read(*struct.unpack(">H", length))
                self._note(message, sender)
                for answer in (self._by_stream or self._reply)(message):
                    sock.sendall(struct.pack(">H", len(answer)) + answer)

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.sendto(b"", (self.address, 53))
        socket.create_connection((self.address, 53), SECONDS).close()
        for thread in self._threads:
            thread.join(SECONDS)
        self._udp.close()
        self._tcp.close()

    @property
    def names(self) -> list[str]:
        return [str(question.q.qname) for question in self.asked]


Outsides = Callable[..., Outside]


@pytest.fixture
def outside() -> Iterator[Outsides]:
    with contextlib.ExitStack() as stack:

        def make(number: int, reply: Reply, by_stream: Reply | None = None) -> Outside:
            made = Outside(f"127.53.0.{number}", reply, by_stream)
            stack.callback(made.close)
            return made

        yield make


def answer(address: str, count: int = 1) -> Reply:
    def reply(message: bytes) -> list[bytes]:
        record = dnslib.DNSRecord.parse(message).reply()
        for _ in range(count):
            record.add_answer(dnslib.RR(record.q.qname, rdata=dnslib.A(address), ttl=5))
        return [bytes(record.pack())]

    return reply


def says(code: str) -> Reply:
    def reply(message: bytes) -> list[bytes]:
        record = dnslib.DNSRecord.parse(message).reply()
        record.header.rcode = getattr(dnslib.RCODE, code)
        return [bytes(record.pack())]

    return reply


def silent(message: bytes) -> list[bytes]:
    return []


def cut(message: bytes) -> list[bytes]:
    record = dnslib.DNSRecord.parse(message).reply()
    record.header.tc = 1
    return [bytes(record.pack())]


def asker(room: Room, *upstreams: Outside | str, internal: bool = False) -> Box:
    box = room.box("web")
    addresses = tuple(one if isinstance(one, str) else one.address for one in upstreams)
    network = member(box, "front", "10.9.0.2", internal=internal)
    room.serve(box, network, upstreams=addresses)
    return box


def test_a_name_of_the_world_is_asked_outside_and_ours_never(room: Room, outside: Outsides) -> None:
    world = outside(1, answer("192.0.2.1"))
    web = asker(room, world)
    assert web.addresses("example.com") == ["192.0.2.1"]
    for name, kind in (("web", "A"), ("WEB.front.", "AAAA"), ("web", "MX"), ("web", "ANY")):
        web.ask(name, kind)
    web.ask("2.0.9.10.in-addr.arpa", "PTR")
    assert world.names == ["example.com."]


def test_the_next_resolver_is_asked_when_one_cannot_answer(room: Room, outside: Outsides) -> None:
    broken, refusing = outside(1, says("SERVFAIL")), outside(2, says("REFUSED"))
    good = outside(3, answer("192.0.2.3"))
    web = asker(room, SILENT, broken, refusing, good)  # nobody listens at the first
    assert web.addresses("example.com") == ["192.0.2.3"]


def test_the_next_resolver_is_asked_when_one_is_silent(room: Room, outside: Outsides) -> None:
    web = asker(room, outside(1, silent), outside(2, answer("192.0.2.2")))
    assert web.addresses("example.com") == ["192.0.2.2"]


def test_a_name_that_does_not_exist_is_asked_of_one(room: Room, outside: Outsides) -> None:
    first, second = outside(1, says("NXDOMAIN")), outside(2, answer("192.0.2.2"))
    web = asker(room, first, second)
    assert web.ask("nobody.example").header.rcode == dnslib.RCODE.NXDOMAIN
    assert second.asked == []


def test_what_no_resolver_answers_has_failed(room: Room, outside: Outsides) -> None:
    web = asker(room, SILENT, outside(1, says("SERVFAIL")))
    assert web.ask("example.com").header.rcode == dnslib.RCODE.SERVFAIL


def test_a_container_of_internal_networks_alone_asks_nobody_outside(
    room: Room, outside: Outsides
) -> None:
    world = outside(1, answer("192.0.2.1"))
    web = asker(room, world, internal=True)
    assert web.ask("secret.example").header.rcode == dnslib.RCODE.SERVFAIL
    assert web.addresses("web") == ["10.9.0.2"]
    assert world.asked == []
    room.change(web, member(web, "back", "10.9.1.2"), upstreams=(world.address,))
    assert web.addresses("example.com") == ["192.0.2.1"]


def test_a_long_answer_is_fetched_by_tcp_and_cut_for_who_takes_little(
    room: Room, outside: Outsides
) -> None:
    web = asker(room, outside(1, cut, answer("192.0.2.1", 100)))
    plain = web.ask("many.example")
    assert (plain.header.tc, plain.rr) == (1, [])
    question = dnslib.DNSRecord.question("many.example")
    question.add_ar(dnslib.EDNS0(udp_len=4096))
    assert len(dnslib.DNSRecord.parse(web.ask_raw(question.pack())).rr) == 100
    assert len(web.stream(dnslib.DNSRecord.question("many.example").pack()).rr) == 100


def test_what_a_client_adds_to_its_question_is_passed_on(room: Room, outside: Outsides) -> None:
    world = outside(1, answer("192.0.2.1"))
    question = dnslib.DNSRecord.question("Example.COM", "SRV")
    option = dnslib.EDNSOption(8, b"\0\1\x18\0\xc0\0\2")
    question.add_ar(dnslib.EDNS0(flags="do", udp_len=1232, opts=[option]))
    asker(room, world).ask_raw(question.pack())
    assert world.raw[0][2:] == question.pack()[2:]  # but for the id


def test_an_answer_must_have_the_id_the_question_and_come_from_who_was_asked(
    room: Room, outside: Outsides
) -> None:
    def forged(message: bytes) -> list[bytes]:
        right = answer("192.0.2.1")(message)[0]
        wrong = answer("192.0.2.66")(message)[0]
        other_id = bytes((wrong[0] ^ 1,)) + wrong[1:]
        other_name = wrong.replace(b"example", b"exomple")
        as_question = wrong[:2] + bytes((wrong[2] & 0x7F,)) + wrong[3:]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(wrong, world.senders[-1])
        return [other_id, other_name, as_question, b"", b"\0" * 11, right]

    world = outside(1, forged)
    assert asker(room, world).addresses("example.com") == ["192.0.2.1"]


def test_ids_and_ports_cannot_be_foreseen(room: Room, outside: Outsides) -> None:
    world = outside(1, answer("192.0.2.1"))
    web = asker(room, world)
    question = dnslib.DNSRecord.question("example.com").pack()
    for _ in range(32):
        assert web.ask_raw(question)[:2] == question[:2]
    assert len({asked.header.id for asked in world.asked}) > 28
    assert len({port for _, port in world.senders}) > 28


def test_the_machines_resolvers_are_read_again_when_they_change(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    resolvers = MachineResolvers(str(file))
    assert resolvers() == ("127.0.0.1",)
    file.write_text("# a comment\nsearch example.com\nnameserver 192.0.2.1\n nameserver ::1 \n")
    assert resolvers() == ("192.0.2.1", "::1")
    new = tmp_path / "new"
    new.write_text("nameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n" * 2)
    new.rename(file)
    assert resolvers() == ("192.0.2.2", "192.0.2.3", "192.0.2.4")
    file.unlink()
    assert resolvers() == ("127.0.0.1",)


def test_a_resolver_that_is_a_container_is_asked_where_containers_are(room: Room) -> None:
    """Here that is the box's own namespace; the machine has nobody at this address."""
    web, names = room.box("web"), room.box("names")
    room.serve(names, member(names, "front", SILENT))
    room.serve(web, member(web, "front", "10.9.0.2"), upstreams=(SILENT,))
    with entered(web.netns), contextlib.closing(socket.socket(type=socket.SOCK_DGRAM)) as sock:
        sock.bind((SILENT, 53))
        sock.settimeout(SECONDS)

        def answer() -> None:
            message, sender = sock.recvfrom(512)
            reply = dnslib.DNSRecord.parse(message).reply()
            reply.add_answer(*dnslib.RR.fromZone("far.example A 10.9.8.7"))
            sock.sendto(reply.pack(), sender)

        thread = threading.Thread(target=answer)
        thread.start()
        assert web.addresses("far.example") == ["10.9.8.7"]
        thread.join()


def test_questions_of_a_container_that_has_gone_are_given_up(room: Room, outside: Outsides) -> None:
    heard = threading.Event()

    def hear(message: bytes) -> list[bytes]:
        heard.set()
        return []

    outside(30, hear)
    web, other = room.box("web"), room.box("other")
    room.serve(other, member(other, "front", "10.9.0.3"))
    descriptors = Path(f"/proc/{room.helper_pid()}/fd")
    room.do(room.helper.held())  # the connection of what came before is closed by then
    before = len(list(descriptors.iterdir()))
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        room.serve(web, member(web, "front", "10.9.0.2"), upstreams=("127.53.0.30",))
        with web.made(kind) as sock:
            question = dnslib.DNSRecord.question("gone.example").pack()
            sock.connect(RESOLVER)
            framed = kind == socket.SOCK_STREAM
            sock.send(struct.pack(">H", len(question)) + question if framed else question)
            assert heard.wait(SECONDS)
            heard.clear()
            room.do(room.helper.drop(web.id))
        room.do(room.helper.held())  # what the drop let go of is closed by then
        assert not leftovers.eventually(lambda: sorted(map(str, descriptors.iterdir()))[before:])
    assert other.addresses("other") == ["10.9.0.3"]
