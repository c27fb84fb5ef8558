"""Names as a container finds them at 127.0.0.11: real sockets in real network namespaces."""

import dnslib
import pytest
from helperroom import Room, member

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
