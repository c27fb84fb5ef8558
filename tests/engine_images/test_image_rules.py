"""Lists, inspection, history, tags and removal, by Docker's rules."""

import time

import pytest

from ipycontainer_runtime.engine import imagelist
from ipycontainer_runtime.engine.images import Use
from ipycontainer_runtime.errors import Conflict, InvalidParameter, NotFound
from ipycontainer_runtime.oci.reference import Reference
from support.imageroom import Room
from support.made import image, tar
from support.scripted import Scripted

pytestmark = pytest.mark.needs("root")

LOWER, UPPER = tar({"lower": b"1"}), tar({"upper": b"22"})
CONTAINER = "c" * 64


@pytest.fixture
def two(room: Room, server: Scripted) -> Room:
    """A room with `old:1` and `new:1` `new:2`, which share a layer."""
    old = image(LOWER, config={"Labels": {"a": "b"}}, created="2020-01-01T00:00:00.5Z")
    room.do(room.pull(server.serve(old, "old")))
    new = image(
        LOWER, UPPER, config={"Cmd": ["sh"], "Env": ["A=1"], "Healthcheck": {"Test": ["X"]}}
    )
    room.do(room.pull(server.serve(new, "new")))
    for source, names in ((old, ["old:1"]), (new, ["new:1", "new:2"])):
        for name in names:
            room.images.tag(source.config_digest, name)
    for name in ("old", "new"):
        room.images.remove(f"{server.address}/{name}:latest")
    return room


def names(room: Room, show_all: bool = False, **filters: list[str]) -> list[str]:
    found = room.images.list(filters, show_all=show_all)
    return [name for entry in found for name in entry["RepoTags"]]


def test_the_newest_comes_first(two: Room) -> None:
    assert names(two) == ["new:1", "new:2", "old:1"]
    [new, old] = two.images.list(shared_size=True)
    assert (new["Size"], old["Size"], old["SharedSize"], new["Containers"]) == (3, 1, 1, 0)
    assert old["Created"] == 1577836800
    assert (old["Labels"], new["Labels"]) == ({"a": "b"}, None)


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"reference": ["new"]}, ["new:1", "new:2"]),
        ({"reference": ["n*:2"]}, ["new:2"]),
        ({"reference": ["*:1"]}, ["new:1", "old:1"]),
        ({"reference": ["o?d", "new:[^12]"]}, ["old:1"]),
        ({"label": ["a"]}, ["old:1"]),
        ({"label": ["a=c"]}, []),
        ({"before": ["new:1"]}, ["old:1"]),
        ({"since": ["old:1"]}, ["new:1", "new:2"]),
        ({"until": ["1h"]}, ["new:1", "new:2", "old:1"]),
        ({"until": ["2000-01-01T00:00:00Z"]}, []),
        ({"dangling": ["true"]}, []),
        ({"dangling": ["0"]}, ["new:1", "new:2", "old:1"]),
    ],
)
def test_filters(two: Room, filters: dict[str, list[str]], found: list[str]) -> None:
    assert names(two, **filters) == found


def test_what_no_filter_is_is_refused(two: Room) -> None:
    for filters in ({"nam": ["x"]}, {"dangling": ["maybe"]}):
        with pytest.raises(InvalidParameter, match="invalid filter"):
            names(two, **filters)
    with pytest.raises(NotFound, match="No such image: none:latest"):
        names(two, before=["none"])


@pytest.mark.parametrize(
    "pattern", ["[", "[^", "*" * 5000, "(a+)+$", "\\", "a|.*", "*a" * 400 + "b"]
)
def test_a_strange_pattern_matches_nothing_quickly(pattern: str) -> None:
    begun = time.monotonic()
    assert not imagelist.matches(pattern, Reference.parse("x/" + "a" * 200))
    assert time.monotonic() - begun < 1


def test_a_star_stays_within_its_part_of_the_name() -> None:
    assert imagelist.matches("*/x", Reference.parse("team/x:1"))
    assert not imagelist.matches("*", Reference.parse("team/x:1"))


def test_inspection_has_the_fields_of_its_version(two: Room) -> None:
    now, before = two.images.inspect("new:1"), two.images.inspect("new:1", (1, 41))
    assert "VirtualSize" not in now
    assert "ContainerConfig" not in now
    assert before["VirtualSize"] == before["Size"] == now["Size"] == 3
    assert before["Config"].hostname == ""
    assert now["RepoTags"] == ["new:1", "new:2"]
    assert len(now["RootFS"]["Layers"]) == 2
    assert now["GraphDriver"]["Data"]["LowerDir"].startswith(str(two.root))


def test_an_older_version_lists_virtual_sizes_and_none_names(two: Room) -> None:
    two.store.untag(Reference.parse("old:1"))
    for reference in two.store.list()[-1].references:
        two.store.untag(reference)
    entry = two.images.list(version=(1, 41))[-1]
    assert (entry["RepoTags"], entry["VirtualSize"]) == (["<none>:<none>"], 1)
    assert two.images.list()[-1]["RepoTags"] == []


def test_history_tells_each_step_newest_first(two: Room) -> None:
    steps = two.images.history("new:1")
    assert [step["CreatedBy"] for step in steps] == ["step 1", "step 0"]
    assert [step["Size"] for step in steps] == [2, 1]
    assert steps[0]["Id"] == two.store.resolve("new:1").id
    assert steps[0]["Tags"] == ["new:1", "new:2"]
    assert (steps[1]["Id"], steps[1]["Tags"]) == ("<missing>", None)


def test_a_tag_moves_and_a_bad_one_is_refused(two: Room) -> None:
    two.images.tag("old:1", "new", "1")
    assert two.store.resolve("new:1").id == two.store.resolve("old:1").id
    with pytest.raises(NotFound, match="No such image: none:latest"):
        two.images.tag("none", "x")
    with pytest.raises(InvalidParameter, match="digest reference"):
        two.images.tag("old:1", "x@" + two.store.resolve("old:1").id)
    for bad in ("UPPER", "x:y:z", "-", "a b"):
        with pytest.raises(InvalidParameter):
            two.images.tag("old:1", bad)


def test_a_tag_that_is_not_the_last_is_only_taken_away(two: Room) -> None:
    assert two.images.remove("new:1") == [{"Untagged": "new:1"}]
    assert names(two) == ["new:2", "old:1"]


async def removed(room: Room, name: str, **options: bool) -> list[dict[str, str]]:
    return room.images.remove(name, **options)


def test_the_last_tag_takes_the_image_and_its_own_layers_along(two: Room) -> None:
    two.images.remove("new:1")
    record = two.store.resolve("new:2")
    report = two.do(removed(two, "new:2"))
    assert report[0] == {"Untagged": "new:2"}
    assert report[-2:] == [{"Deleted": record.id}, {"Deleted": record.chain_ids[1]}]
    assert two.layers.has(record.chain_ids[0])
    two.do(removed(two, "old:1"))
    assert two.content == set()


def test_an_id_with_several_names_wants_force(two: Room) -> None:
    image_id = two.store.resolve("new:1").id
    with pytest.raises(Conflict) as caught:
        two.images.remove(image_id[7:19])
    assert str(caught.value) == (
        f"conflict: unable to delete {image_id[7:19]} (must be forced) - "
        "image is referenced in multiple repositories"
    )
    report = two.do(removed(two, image_id, force=True))
    assert {"Untagged": "new:1"} in report
    assert {"Untagged": "new:2"} in report
    assert {"Deleted": image_id} in report


def test_an_image_with_a_stopped_container_wants_force_and_leaves_its_layers(two: Room) -> None:
    record = two.store.resolve("old:1")
    for reference in record.references:
        if reference.digest:
            two.store.untag(reference)
    two.uses[record.id] = [Use(CONTAINER, False)]
    two.held = set(record.chain_ids)
    with pytest.raises(Conflict) as caught:
        two.images.remove("old:1")
    short = record.id[7:19]
    assert str(caught.value) == (
        'conflict: unable to remove repository reference "old:1" (must force) - '
        f"container {CONTAINER[:12]} is using its referenced image {short}"
    )
    with pytest.raises(Conflict, match=rf"unable to delete {short} \(must be forced\).*stopped"):
        two.images.remove(short)
    assert {"Deleted": record.id} in two.do(removed(two, "old:1", force=True))
    assert two.layers.has(record.chain_ids[0])


def test_an_image_with_a_running_container_cannot_be_forced_by_id(two: Room) -> None:
    record = two.store.resolve("old:1")
    two.uses[record.id] = [Use(CONTAINER, True)]
    with pytest.raises(Conflict) as caught:
        two.images.remove(record.id, force=True)
    assert str(caught.value) == (
        f"conflict: unable to delete {record.id[7:19]} (cannot be forced) - "
        f"image is being used by running container {CONTAINER[:12]}"
    )
    assert names(two, reference=["old"]) == ["old:1"]


def test_an_image_that_another_was_committed_from_stays(two: Room) -> None:
    parent, child = two.store.resolve("old:1"), two.store.resolve("new:1")
    two.store.add(child.descriptor, [Reference.parse("child:1")], parent=parent.id)
    with pytest.raises(Conflict, match=r"cannot be forced.*image has dependent child images"):
        two.images.remove(parent.id, force=True)
    assert [step["Id"] for step in two.images.history("child:1")] == [child.id, parent.id]


def test_removal_is_told_as_events(two: Room) -> None:
    image_id = two.store.resolve("old:1").id
    two.do(removed(two, image_id, force=True))
    actions = [e.Action for e in two.events._backlog if image_id == e.Actor.ID]
    assert actions[-2:] == ["untag", "delete"]


def test_what_is_not_here_is_named(room: Room) -> None:
    for work in (room.images.inspect, room.images.history, room.images.remove):
        with pytest.raises(NotFound, match="No such image: none:latest"):
            work("none")
