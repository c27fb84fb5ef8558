"""Names as a container finds them at 127.0.0.11: real sockets in real network namespaces."""

import socket

import dnslib
import pytest
from helperroom import Room, member

from ipycontainer_runtime.linux.netns import entered
from ipycontainer_runtime.network.helper import resolver

pytestmark = pytest.mark.needs("root")


def test_a_name_an_alias_and_a_short_id_lead_to_a_container(room: Room) -> None:
    web, db = room.box("web"), room.box("db")
    room.serve(web, member(web, "front", "10.9.0.2"))
    room.serve(db, member(db, "front", "10.9.0.3", "store"))
    for name in ("db", "DB", "db.", "store", db.id[:12], "db.front", "store.Front"):
        assert web.addresses(name) == ["10.9.0.3"], name


def test_an_alias_of_several_has_all_their_addresses_in_turns(room: Room) -> None:
    web, one, two = room.box("web"), room.box("one"), room.box("two")
    room.serve(web, member(web, "front", "10.9.0.2"))
    room.serve(one, member(one, "front", "10.9.0.3", "worker"))
    room.serve(two, member(two, "front", "10.9.0.4", "worker"))
    assert web.addresses("worker") == ["10.9.0.3", "10.9.0.4"]
    first = {str(web.ask("worker").rr[0].rdata) for _ in range(4)}
    assert first == {"10.9.0.3", "10.9.0.4"}


def test_a_name_of_ours_has_no_other_records_and_is_not_unknown(room: Room) -> None:
    web = room.box("web")
    room.serve(web, member(web, "front", "10.9.0.2"))
    for kind in ("AAAA", "MX", "TXT"):
        answer = web.ask("web", kind)
        assert (answer.header.rcode, answer.rr) == (dnslib.RCODE.NOERROR, [])


def test_an_address_leads_back_to_a_name(room: Room) -> None:
    web, db = room.box("web"), room.box("db")
    room.serve(web, member(web, "front", "10.9.0.2"))
    room.serve(db, member(db, "front", "10.9.0.3"))
    assert web.addresses("3.0.9.10.in-addr.arpa", "PTR") == ["db.front."]


def test_a_server_in_a_container_may_have_port_53_too(room: Room) -> None:
    web = room.box("web")
    room.serve(web, member(web, "front", "10.9.0.2"))
    with web.made() as udp, web.made(socket.SOCK_STREAM) as tcp:
        for sock in (udp, tcp):
            sock.bind(("0.0.0.0", 53))
        tcp.listen()
        assert web.addresses("web") == ["10.9.0.2"]
        assert web.stream(dnslib.DNSRecord.question("web").pack()).short() == "10.9.0.2"
        with web.made() as client:
            client.sendto(b"for the server", ("127.0.0.1", 53))
            assert udp.recv(100) == b"for the server"


def test_where_the_kernel_cannot_redirect_the_resolver_is_port_53_itself(room: Room) -> None:
    web = room.box("web")
    with entered(web.netns):
        sockets = resolver.bound(resolver.PORT)
    with sockets[0] as udp, sockets[1] as tcp, web.made() as server, web.made() as client:
        assert udp.getsockname() == tcp.getsockname() == ("127.0.0.11", 53)
        # As dnsmasq and many others do, so that they may share it.
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("0.0.0.0", 53))
        client.sendto(b"for the resolver", ("127.0.0.11", 53))
        udp.setblocking(True)
        assert udp.recv(100) == b"for the resolver"
