"""Pulls: from a real registry, from one that lies, side by side, cut short."""

import asyncio
import random
import subprocess
import threading
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from ipycontainer_runtime.errors import ContainerError, Corrupt, InvalidParameter, NotFound
from ipycontainer_runtime.registry import retry
from support import made
from support.imageroom import Room
from support.made import ARCHITECTURE, OTHER, image, index, tar
from support.registry import Registry
from support.scripted import Answer, Scripted, Seen

pytestmark = pytest.mark.needs("root")

LOWER, UPPER = tar({"lower": b"1", "both": b"1"}), tar({"upper": b"2", "both": b"2"})


def said(messages: list[dict[str, Any]]) -> list[str]:
    """Return what a person reads, without the many updates of a bar."""
    lines: list[str] = []
    for message in messages:
        line = f"{message.get('id', '')} {message['status']}".strip()
        if line not in lines:
            lines.append(line)
    return lines


def files(room: Room, name: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for chain_id in room.store.resolve(name).chain_ids:
        for path in room.layers.diff(chain_id).iterdir():
            found[path.name] = path.read_bytes()
    return found


def unchanged(registry: Registry, layout: Path, repository: str) -> str:
    """Copy an image, or an index with all of its images, as it is: skopeo would compress layers."""
    name = registry.name(repository)
    options = ["--quiet", "--all", "--preserve-digests", "--dest-tls-verify=false"]
    copy = ["skopeo", "copy", "--insecure-policy", *options, f"oci:{layout}:latest"]
    subprocess.run([*copy, f"docker://{name}"], check=True, capture_output=True)
    return name


@pytest.mark.parametrize("compression", ["gzip", "zstd", "plain"])
@pytest.mark.needs("docker-registry", "skopeo")
def test_layers_of_each_compression_come_from_a_real_registry(
    room: Room, registry: Registry, tmp_path: Path, compression: str
) -> None:
    wanted = image(LOWER, UPPER, compression=compression)
    name = unchanged(registry, made.write_layout(wanted, tmp_path / "layout"), f"of-{compression}")
    room.do(room.pull(name))
    assert files(room, name) == {"lower": b"1", "both": b"2", "upper": b"2"}
    assert room.store.resolve(name).descriptor.digest == wanted.digest
    assert room.store.resolve(name).id == wanted.config_digest


@pytest.mark.needs("docker-registry", "skopeo")
def test_an_image_for_several_platforms_comes_from_a_real_registry(
    room: Room, registry: Registry, tmp_path: Path
) -> None:
    ours = image(LOWER)
    both = index((OTHER, image(UPPER, architecture=OTHER)), (ARCHITECTURE, ours))
    name = unchanged(registry, made.write_layout(both, tmp_path / "layout"), "several")
    room.do(room.pull(name))
    assert room.store.resolve(name).id == ours.config_digest


@pytest.mark.needs("docker-registry", "skopeo")
def test_dockers_schema_2_comes_from_a_real_registry(
    room: Room, registry: Registry, tmp_path: Path
) -> None:
    layout = made.write_layout(image(LOWER, UPPER), tmp_path / "layout")
    name = registry.name("schema2")
    options = ["--quiet", "--format", "v2s2", "--dest-tls-verify=false"]
    copy = ["skopeo", "copy", "--insecure-policy", *options, f"oci:{layout}:latest"]
    subprocess.run([*copy, f"docker://{name}"], check=True, capture_output=True)
    room.do(room.pull(name))
    assert room.store.resolve(name).descriptor.media_type.startswith("application/vnd.docker.")
    assert files(room, name) == {"lower": b"1", "both": b"2", "upper": b"2"}


def test_messages_are_those_of_docker(room: Room, server: Scripted) -> None:
    wanted = image(LOWER, UPPER)
    name = server.serve(wanted, "team/app", "v1")
    lower, upper = (digest[7:19] for digest in wanted.layer_digests)
    lines = said(room.do(room.pull(name)))
    assert lines[0] == "v1 Pulling from team/app"
    assert lines[1:3] == [f"{lower} Pulling fs layer", f"{upper} Pulling fs layer"]
    for short in (lower, upper):
        own = [line.removeprefix(f"{short} ") for line in lines if line.startswith(short)]
        assert own == [
            "Pulling fs layer",
            "Downloading",
            "Verifying Checksum",
            "Download complete",
            "Extracting",
            "Pull complete",
        ]
    assert lines.index(f"{lower} Pull complete") < lines.index(f"{upper} Pull complete")
    assert lines[-2:] == [
        f"Digest: {wanted.digest}",
        f"Status: Downloaded newer image for {name}",
    ]


def test_what_is_here_is_not_fetched_again(room: Room, server: Scripted) -> None:
    first, second = image(LOWER), image(LOWER, UPPER)
    room.do(room.pull(server.serve(first, "x", "1")))
    again = said(room.do(room.pull(f"{server.address}/x:1")))
    assert again[1:] == [
        f"Digest: {first.digest}",
        f"Status: Image is up to date for {server.address}/x:1",
    ]
    lines = said(room.do(room.pull(server.serve(second, "x", "2"))))
    assert f"{first.layer_digests[0][7:19]} Already exists" in lines
    assert len(server.asked(f"blobs/{first.layer_digests[0]}")) == 1


def test_a_tag_that_moved_names_the_new_image(room: Room, server: Scripted) -> None:
    old, new = image(LOWER), image(UPPER)
    name = server.serve(old, "x")
    room.do(room.pull(name))
    server.serve(new, "x")
    assert said(room.do(room.pull(name)))[-1] == f"Status: Downloaded newer image for {name}"
    assert room.store.resolve(name).id == new.config_digest
    assert room.store.resolve(old.config_digest).names == ()


def test_a_digest_names_exactly_one_image(room: Room, server: Scripted) -> None:
    wanted = image(LOWER)
    server.serve(wanted, "x")
    name = f"{server.address}/x@{wanted.digest}"
    lines = said(room.do(room.pull(name)))
    assert lines[0] == f"{wanted.digest} Pulling from x"
    assert lines[-1] == f"Status: Downloaded newer image for {name}"
    assert room.store.resolve(name).names == ()


def test_the_digest_of_an_index_is_remembered(room: Room, server: Scripted) -> None:
    ours = image(LOWER)
    both = index((OTHER, image(UPPER, architecture=OTHER)), (ARCHITECTURE, ours))
    name = server.serve(both, "x")
    room.do(room.pull(name))
    record = room.store.resolve(name)
    assert record.id == ours.config_digest
    assert record.repo_digests == (f"{server.address}/x@{both.digest}",)


def test_the_platform_can_be_chosen(room: Room, server: Scripted) -> None:
    theirs = image(UPPER, architecture=OTHER)
    name = server.serve(index((ARCHITECTURE, image(LOWER)), (OTHER, theirs)), "x")
    room.do(room.pull(name, f"linux/{OTHER}"))
    assert room.store.resolve(name).id == theirs.config_digest


@pytest.mark.parametrize("platform", [None, f"linux/{ARCHITECTURE}"])
def test_an_image_for_another_platform_than_was_chosen_is_refused(
    room: Room, server: Scripted, platform: str | None
) -> None:
    wrong = image(LOWER, architecture=OTHER)
    name = server.serve(wrong if platform else index((ARCHITECTURE, wrong)), "x")
    with pytest.raises(NotFound, match=f"linux/{OTHER}.*does not match"):
        room.do(room.pull(name, platform))
    assert room.content == set()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("{a}/none", "manifest for {a}/none:latest not found: manifest unknown: manifest unknown"),
        ("127.0.0.1:1/x", "cannot reach the registry 127.0.0.1:1: connection refused; start it"),
        ("no.such.invalid/x", "cannot reach the registry no.such.invalid: "),
    ],
)
def test_what_is_not_there_is_named_with_the_cure(
    room: Room, server: Scripted, name: str, words: str
) -> None:
    with pytest.raises(ContainerError) as caught:
        room.do(room.pull(name.format(a=server.address)))
    assert str(caught.value).startswith(words.format(a=server.address))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["x/UPPER", "x:", "a b", "x@sha256:1", "http://x/y", ""])
def test_a_malformed_name_is_refused_before_any_request(room: Room, name: str) -> None:
    with pytest.raises(InvalidParameter, match="invalid"):
        room.do(room.pull(name))


def test_a_denied_pull_says_so_in_dockers_words(room: Room, server: Scripted) -> None:
    body = b'{"errors":[{"code":"DENIED","message":"requested access is denied"}]}'
    server.on("/v2/", Answer(body, 403))
    with pytest.raises(NotFound) as caught:
        room.do(room.pull(f"{server.address}/x"))
    assert str(caught.value) == (
        f"pull access denied for {server.address}/x, repository does not exist or may require "
        "'docker login': denied: requested access is denied"
    )


# security: the store would keep what does not match its digest, size or diff id.
def test_a_layer_with_another_digest_is_refused_and_nothing_stays(
    room: Room, server: Scripted
) -> None:
    wanted, other = image(LOWER, UPPER), image(tar({"evil": b"3"}), LOWER)
    name = server.serve(wanted, "x")
    evil = next(iter(other.blobs.values()))
    size = len(wanted.blobs[wanted.layer_digests[1]])
    server.on(f"/v2/x/blobs/{wanted.layer_digests[1]}", Answer(evil[:size].ljust(size, b"\0")))
    with pytest.raises(Corrupt):
        room.do(room.pull(name))
    assert room.content == set()
    assert room.store.list() == ()


def test_a_diff_id_that_lies_is_refused_and_nothing_stays(room: Room, server: Scripted) -> None:
    lying = image(LOWER, UPPER, diff_ids=[made.digest(LOWER), made.digest(b"other")])
    with pytest.raises(Corrupt, match=made.digest(UPPER)):
        room.do(room.pull(server.serve(lying, "x")))
    assert room.content == set()


def test_a_config_for_other_layers_is_refused(room: Room, server: Scripted) -> None:
    lying = image(LOWER, UPPER, diff_ids=[made.digest(LOWER)])
    with pytest.raises(Corrupt, match="2 layers and diff ids for 1"):
        room.do(room.pull(server.serve(lying, "x")))
    assert room.content == set()


def test_a_layer_that_is_no_archive_is_refused_and_nothing_stays(
    room: Room, server: Scripted
) -> None:
    broken = image(random.Random(1).randbytes(100_000))
    with pytest.raises(Corrupt):
        room.do(room.pull(server.serve(broken, "x")))
    assert room.content == set()


def test_a_failure_keeps_what_another_image_needs(room: Room, server: Scripted) -> None:
    room.do(room.pull(server.serve(image(LOWER), "x", "good")))
    before = room.content
    lying = image(LOWER, UPPER, diff_ids=[made.digest(LOWER), made.digest(b"other")])
    with pytest.raises(Corrupt):
        room.do(room.pull(server.serve(lying, "x", "bad")))
    assert room.content == before


def test_a_cut_connection_does_not_fail_a_pull(
    room: Room, server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "FIRST_PAUSE", 0.001)
    wanted = image(tar({"big": random.Random(3).randbytes(2_000_000)}))
    name = server.serve(wanted, "x")
    content = wanted.blobs[wanted.layer_digests[0]]
    served = {"first": True}

    def script(seen: Seen) -> Answer:
        from support.scripted import ranged

        answer = ranged(seen, content)
        if served.pop("first", False):
            answer.cut_after = 700_000
        return answer

    server.on(f"/v2/x/blobs/{wanted.layer_digests[0]}", script)
    room.do(room.pull(name))
    assert len(files(room, name)["big"]) == 2_000_000
    assert len(server.asked(f"blobs/{wanted.layer_digests[0]}")) == 2


def held(server: Scripted, wanted: made.Image, name: str) -> threading.Event:
    """Make the registry stop after the first byte of the top layer, until the event is set."""
    hold = threading.Event()
    top = wanted.layer_digests[-1]
    server.on(f"/v2/{name}/blobs/{top}", Answer(wanted.blobs[top], hold=hold))
    return hold


def test_a_pull_that_is_given_up_stops_at_once_and_leaves_nothing(
    room: Room, server: Scripted
) -> None:
    wanted = image(LOWER, UPPER)
    name = server.serve(wanted, "x")
    hold = held(server, wanted, "x")

    async def give_up() -> None:
        lower = wanted.layer_digests[0][7:19]
        async with aclosing(room.pulls.pull(name)) as pulled:
            async for message in pulled:
                if message.get("id") == lower and message["status"] == "Pull complete":
                    break

    room.do(asyncio.wait_for(give_up(), 5))
    hold.set()
    assert room.content == set()
    assert room.pulls.layers == set()


def test_two_pulls_fetch_a_layer_once(room: Room, server: Scripted) -> None:
    wanted = image(LOWER, UPPER)
    name = server.serve(wanted, "x")
    hold = held(server, wanted, "x")

    async def both() -> None:
        first = asyncio.create_task(room.pull(name))
        while not server.asked(f"blobs/{wanted.layer_digests[1]}"):
            await asyncio.sleep(0.001)
        lines = []
        async with aclosing(room.pulls.pull(name)) as second:
            async for message in second:
                lines.append(message["status"])
                if lines.count("Pulling fs layer") == 1:
                    hold.set()
        assert f"{wanted.layer_digests[1][7:19]} Pull complete" in said(await first)
        assert lines.count("Pull complete") + lines.count("Already exists") == 2

    room.do(asyncio.wait_for(both(), 10))
    for digest in wanted.layer_digests:
        assert len(server.asked(f"blobs/{digest}")) == 1


def test_a_pull_goes_on_when_the_one_that_began_it_is_given_up(
    room: Room, server: Scripted
) -> None:
    wanted = image(LOWER, UPPER)
    name = server.serve(wanted, "x")
    hold = held(server, wanted, "x")

    async def handed_over() -> None:
        first = asyncio.create_task(room.pull(name))
        while not server.asked(f"blobs/{wanted.layer_digests[1]}"):
            await asyncio.sleep(0.001)
        async with aclosing(room.pulls.pull(name)) as second:
            async for message in second:
                if message["status"] == "Pulling fs layer" and not first.done():
                    first.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await first
                    hold.set()

    room.do(asyncio.wait_for(handed_over(), 10))
    assert len(server.asked(f"blobs/{wanted.layer_digests[1]}")) == 1
    assert room.store.resolve(name).id == wanted.config_digest


def test_an_image_removed_during_a_pull_does_not_take_its_layers_along(
    room: Room, server: Scripted
) -> None:
    lower, wanted = image(LOWER), image(LOWER, UPPER)
    room.do(room.pull(server.serve(lower, "x", "lower")))
    name = server.serve(wanted, "x", "both")
    hold = held(server, wanted, "x")

    async def removed() -> None:
        pulling = asyncio.create_task(room.pull(name))
        while not server.asked(f"blobs/{wanted.layer_digests[1]}"):
            await asyncio.sleep(0.001)
        room.images.remove(f"{server.address}/x:lower")
        hold.set()
        await pulling

    room.do(asyncio.wait_for(removed(), 10))
    assert files(room, name) == {"lower": b"1", "both": b"2", "upper": b"2"}
    assert all(map(room.blobs.has, wanted.layer_digests))
    assert room.store.unreferenced() == set()


def test_more_layers_than_are_fetched_at_once_wait_their_turn(room: Room, server: Scripted) -> None:
    wanted = image(*(tar({f"f{i}": bytes([i]) * 100_000}) for i in range(9)))
    lines = said(room.do(room.pull(server.serve(wanted, "x"))))
    assert sum(line.endswith("Waiting") for line in lines) >= 1
    done = [line.split()[0] for line in lines if line.endswith("Pull complete")]
    assert done == [digest[7:19] for digest in wanted.layer_digests]


def test_one_blob_may_be_two_layers(room: Room, server: Scripted) -> None:
    wanted = image(LOWER, UPPER, LOWER)
    name = server.serve(wanted, "x")
    statuses = [message["status"] for message in room.do(room.pull(name))]
    assert statuses.count("Pull complete") == 2
    assert len(server.asked(f"blobs/{wanted.layer_digests[0]}")) == 1
    assert len(room.store.resolve(name).chain_ids) == 3
    assert room.store.unreferenced() == set()


def test_a_pull_is_an_event(room: Room, server: Scripted) -> None:
    name = server.serve(image(LOWER, config={"Labels": {"a": "b"}}), "x")
    room.do(room.pull(name))
    [event] = room.events._backlog
    assert (event.Type, event.Action, event.Actor.ID) == ("image", "pull", name)
    assert event.Actor.Attributes == {"a": "b", "name": f"{server.address}/x"}
