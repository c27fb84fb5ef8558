"""Blobs over connections that break, lie and stall."""

import random
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import pytest

from ipycontainer_runtime.errors import Corrupt, Unavailable
from ipycontainer_runtime.registry import retry
from ipycontainer_runtime.registry.blobs import Abandoned, Download
from ipycontainer_runtime.registry.client import Registry
from ipycontainer_runtime.registry.errors import RegistryError
from support.made import digest
from support.scripted import Answer, Scripted, Seen, in_turn, ranged

CONTENT = random.Random(7).randbytes(3_000_000)


class Blob(NamedTuple):
    digest: str
    size: int


BLOB = Blob(digest(CONTENT), len(CONTENT))


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_PAUSE", 0.001)


def cut(after: int) -> Callable[[Seen], Answer]:
    def script(seen: Seen) -> Answer:
        answer = ranged(seen, CONTENT)
        answer.cut_after = after
        return answer

    return script


def whole(seen: Seen) -> Answer:
    return ranged(seen, CONTENT)


def fetch(server: Scripted, script: Callable[[Seen], Answer]) -> bytes:
    server.on("/v2/x/blobs/", script)
    with Registry(server.address) as registry:
        return b"".join(Download(registry, "x", BLOB))


def test_a_blob_comes_whole(server: Scripted) -> None:
    assert fetch(server, whole) == CONTENT
    assert len(server.requests) == 1


def test_a_cut_download_resumes_where_it_broke(server: Scripted) -> None:
    assert fetch(server, in_turn(cut(1_000_000), cut(500_000), whole)) == CONTENT
    starts = [seen.headers.get("Range") for seen in server.requests]
    assert starts[0] is None
    assert starts[1] is not None
    assert 0 < int(starts[1][6:-1]) <= 1_000_000


def test_many_cuts_are_no_matter_while_bytes_come(server: Scripted) -> None:
    scripts = [cut(300_000)] * 9
    assert fetch(server, in_turn(*scripts, whole)) == CONTENT


def test_a_registry_without_ranges_sends_all_again_and_the_rest_is_taken(server: Scripted) -> None:
    assert fetch(server, in_turn(cut(1_234_567), lambda _: Answer(CONTENT))) == CONTENT


def test_a_range_that_begins_earlier_is_skipped_to_where_it_broke(server: Scripted) -> None:
    early = Answer(CONTENT[100:], 206, {"Content-Range": f"bytes 100-{BLOB.size - 1}/{BLOB.size}"})
    assert fetch(server, in_turn(cut(1_000_000), lambda _: early)) == CONTENT


def test_a_range_that_begins_later_is_refused(server: Scripted) -> None:
    late = Answer(
        CONTENT[2_000_000:], 206, {"Content-Range": f"bytes 2000000-{BLOB.size - 1}/{BLOB.size}"}
    )
    with pytest.raises(Corrupt, match="resumed"):
        fetch(server, in_turn(cut(1_000_000), lambda _: late))


def test_a_connection_that_always_breaks_is_given_up_by_name(server: Scripted) -> None:
    with pytest.raises(Unavailable, match=f"{server.address} cut the connection 5 times at byte 0"):
        fetch(server, cut(0))
    assert len(server.requests) == 5


def test_a_busy_registry_is_asked_again(server: Scripted) -> None:
    busy = Answer(b"", 503)
    assert fetch(server, in_turn(lambda _: busy, lambda _: Answer(b"", 429), whole)) == CONTENT


def test_a_registry_says_when_to_ask_again(
    server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Waits for ever where the registry is not heard.
    monkeypatch.setattr(retry, "FIRST_PAUSE", 1e6)
    now = Answer(b"", 429, {"Retry-After": "0"})
    assert fetch(server, in_turn(lambda _: now, whole)) == CONTENT


def test_a_missing_blob_is_not_asked_for_again(server: Scripted) -> None:
    body = b'{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry"}]}'
    with pytest.raises(RegistryError, match="blob unknown: blob unknown to registry"):
        fetch(server, lambda _: Answer(body, 404))
    assert len(server.requests) == 1


# security: fails without the check in Download._counted.
def test_more_bytes_than_declared_are_refused(server: Scripted) -> None:
    with pytest.raises(Corrupt, match="longer than the 3000000 bytes"):
        fetch(server, lambda _: Answer(CONTENT + b"more"))


def test_a_body_is_taken_as_it_is_whatever_encoding_it_claims(server: Scripted) -> None:
    claimed = Answer(CONTENT, headers={"Content-Encoding": "gzip"})
    assert fetch(server, lambda _: claimed) == CONTENT


def test_a_download_that_waits_for_the_registry_is_cancelled_at_once(server: Scripted) -> None:
    hold = threading.Event()
    server.on("/v2/x/blobs/", Answer(CONTENT, hold=hold))
    with Registry(server.address) as registry:
        download = Download(registry, "x", BLOB)
        reading = threading.Event()
        caught: list[BaseException] = []

        def read() -> None:
            try:
                reading.set()
                list(download)
            except BaseException as error:
                caught.append(error)

        thread = threading.Thread(target=read)
        thread.start()
        reading.wait()
        while download._response is None:
            time.sleep(0.001)
        begun = time.monotonic()
        download.cancel()
        thread.join(5)
        assert not thread.is_alive()
        assert time.monotonic() - begun < 1
    hold.set()
    assert isinstance(caught[0], Abandoned)
