"""Names and ports while much goes on: a hundred containers come and go, fifty ports are used."""

import contextlib
import random
import socket
import threading

import dnslib
import pytest
from helperroom import RESOLVER, SECONDS, Box, Room, member

from ipycontainer_runtime.network.helper.presence import Membership, Wanted

pytestmark = pytest.mark.needs("root")
CONTAINERS = 100
PORTS = 50
ASKERS = 6
CONSTANT = 10  # containers that stay, and are asked for throughout


def place(box: Box, number: int) -> Membership:
    return member(box, "front", f"10.9.{number // 200}.{number % 200 + 2}", "all")


class Asking:
    """Asks for names from one container's namespace until it is told to stop."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._stop = threading.Event()
        self.asked = 0
        self.wrong: list[str] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        rng = random.Random(self._box.name)
        with self._box.made() as sock:
            sock.connect(RESOLVER)
            while not self._stop.is_set():
                number = rng.randrange(CONSTANT)
                question = dnslib.DNSRecord.question(f"box{number}")
                sock.send(question.pack())
                answer = dnslib.DNSRecord.parse(sock.recv(65535))
                self.asked += 1
                if (
                    answer.header.id != question.header.id
                    or answer.short() != f"10.9.0.{number + 2}"
                ):
                    self.wrong.append(str(answer))

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(SECONDS)
        assert not self._thread.is_alive(), "a question was not answered"


def test_no_question_is_lost_while_a_hundred_containers_come_and_go(room: Room) -> None:
    boxes = [room.box(f"box{number}") for number in range(CONTAINERS)]
    for number, box in enumerate(boxes[:CONSTANT]):
        room.serve(box, place(box, number))
    askers = [Asking(box) for box in boxes[:ASKERS]]
    try:
        for number, box in enumerate(boxes[CONSTANT:], CONSTANT):
            wanted = (Wanted("tcp", 80, "127.0.0.1"),) if number < CONSTANT + PORTS else ()
            published = room.serve(box, place(box, number), wanted=wanted)
            assert len(published) == len(wanted)
        assert len(boxes[0].stream(dnslib.DNSRecord.question("all").pack()).rr) == CONTAINERS
        for box in boxes[: CONSTANT - 1 : -2]:
            room.do(room.helper.drop(box.id))
        assert len(boxes[0].stream(dnslib.DNSRecord.question("all").pack()).rr) == 55
    finally:
        for asker in askers:
            asker.stop()
    assert [asker.wrong for asker in askers] == [[]] * ASKERS
    assert all(asker.asked for asker in askers)


def test_fifty_published_ports_lead_each_to_its_container(room: Room) -> None:
    with contextlib.ExitStack() as stack:
        ports, listeners = [], []
        for number in range(PORTS):
            box = room.box(f"box{number}")
            listeners.append(stack.enter_context(box.listening(socket.SOCK_STREAM, 80)))
            ports.append(room.publish(box, 80)[0].host_port)
        assert len(set(ports)) == PORTS
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), SECONDS))
            for port in ports
        ]
        for number, listener in enumerate(listeners):
            sock, _ = listener.accept()
            with sock:
                sock.sendall(b"%d" % number)
        assert [int(client.recv(100)) for client in clients] == list(range(PORTS))


def test_a_name_that_thousands_share_is_answered_with_some_of_them(room: Room) -> None:
    web, many = room.box("web"), room.box("many")
    addresses = tuple(f"10.8.{number // 250}.{number % 250 + 1}" for number in range(5000))
    network = member(many, "front", "10.9.0.3")._replace(addresses=addresses)
    room.serve(web, member(web, "front", "10.9.0.2"))
    room.serve(many, network)
    answer = web.stream(dnslib.DNSRecord.question("many").pack())
    assert 1000 < len(answer.rr) < 5000
