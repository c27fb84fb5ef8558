"""Layers of captures stay as they are: what is installed later is one layer more."""

import io
from pathlib import Path

import pytest
from captureroom import Environment, capture, layers, messages, run, wheel
from docker.errors import NotFound

from ipycontainer_runtime.capture.grouping import ADDED, LARGE, MOST_ADDED, Group, group
from ipycontainer_runtime.oci.platform import Platform, host
from support.engines import Engine, running_engine

pytestmark = pytest.mark.needs("root")


def test_a_second_capture_of_the_same_is_the_same_image(
    engine: Engine, environment: Environment, tmp_path: Path
) -> None:
    environment.install(wheel(tmp_path, "first"))
    before = capture(engine, "same", environment.python)
    again = capture(engine, "same", environment.python)
    assert {layer["State"] for layer in again["Layers"]} == {"reused"}
    assert again["ID"] == before["ID"]


def test_what_was_built_on_a_capture_does_not_change_the_next_one(
    engine: Engine, environment: Environment
) -> None:
    before = capture(engine, "grounds", environment.python)
    dockerfile = io.BytesIO(b"FROM grounds\nENV A=1\n")
    engine.client.images.build(fileobj=dockerfile, tag="built")  # and has the same layers
    assert capture(engine, "grounds", environment.python)["ID"] == before["ID"]


@pytest.mark.skipif(host() == Platform("linux", "arm64"), reason="that is this machine")
def test_what_is_captured_here_is_not_given_out_as_another_machine_s(engine: Engine) -> None:
    with pytest.raises(NotFound, match="no matching manifest for linux/arm64"):
        engine.client.images.pull("host", tag="latest", platform="linux/arm64")
    with pytest.raises(NotFound, match="no matching manifest for linux/arm64"):
        engine.client.images.build(fileobj=io.BytesIO(b"FROM host\n"), platform="linux/arm64")
    assert not engine.client.images.list("host")


def test_with_a_time_of_its_own_it_is_the_same_image_on_every_machine(
    engine: Engine, environment: Environment, tmp_path: Path
) -> None:
    # https://reproducible-builds.org/docs/source-date-epoch/
    environment.install(wheel(tmp_path, "first"))
    capture(engine, "before", environment.python)  # whose layers keep the time they were made at
    here = capture(engine, "dated", environment.python, epoch="1700000000")
    with running_engine() as other:
        there = capture(other, "dated", environment.python, epoch="1700000000")
        told = other.client.images.get("dated").attrs
    assert here["ID"] == there["ID"]
    assert told["Created"] == "2023-11-14T22:13:20Z"
    refused = messages(engine, "dated", environment.python, epoch="today")[-1]
    assert "SOURCE_DATE_EPOCH='today' is no time" in refused["message"]


def test_what_is_installed_later_is_one_small_layer_more(
    engine: Engine, environment: Environment, tmp_path: Path
) -> None:
    environment.install(wheel(tmp_path, "first"), wheel(tmp_path, "second"))
    capture(engine, "grown", environment.python)
    before = layers(engine, "grown")
    environment.install(wheel(tmp_path, "third", third_data="DATA = '" + "x" * 100_000 + "'\n"))
    told = capture(engine, "grown", environment.python)
    after = layers(engine, "grown")
    assert after[:-1] == before
    assert [layer["Title"] for layer in told["Layers"] if layer["State"] == "new"] == ["third 1.0"]
    size = engine.client.images.get("grown").history()[0]["Size"]
    assert 200_000 < size < 250_000  # the module and its bytecode
    script = "import first, second, third; print(len(third_data.DATA))"
    assert run(engine, "grown", "python", "-c", f"import third_data; {script}") == "100000"
    lock = run(engine, "grown", "cat", "/usr/share/ipycontainer/requirements.txt")
    assert [line.split(" ")[0] for line in lock.splitlines()] == ["first", "second", "third"]


def test_a_new_version_changes_the_layer_of_the_old_one_alone(
    engine: Engine, environment: Environment, tmp_path: Path
) -> None:
    environment.install(wheel(tmp_path, "first"))
    capture(engine, "newer", environment.python)
    environment.install(wheel(tmp_path, "second"))
    capture(engine, "newer", environment.python)
    environment.pip("uninstall", "-y", "first")
    environment.install(wheel(tmp_path, "first", "2.0"))
    told = capture(engine, "newer", environment.python)
    changed = [layer["Name"] for layer in told["Layers"] if layer["State"] == "new"]
    # The layer of `second` says the old version in its lock, so the lock has one of its own.
    assert changed[0].startswith("packages-")
    assert changed[1:] == ["lock"]
    assert run(engine, "newer", "python", "-c", "import first; print(first.VERSION)") == "2.0"


def test_what_is_uninstalled_is_nowhere_in_the_image(
    engine: Engine, environment: Environment, tmp_path: Path
) -> None:
    environment.install(wheel(tmp_path, "first"), wheel(tmp_path, "second"))
    capture(engine, "smaller", environment.python)
    environment.pip("uninstall", "-y", "second")
    told = capture(engine, "smaller", environment.python)
    assert "second" not in " ".join(layer["Title"] for layer in told["Layers"])
    assert "second" not in told["Lock"]


def test_two_environments_of_one_python_share_its_layers(engine: Engine, tmp_path: Path) -> None:
    one, other = Environment(tmp_path / "one"), Environment(tmp_path / "other")
    capture(engine, "one", one.python)
    capture(engine, "other", other.python)
    assert layers(engine, "one")[:2] == layers(engine, "other")[:2]
    assert layers(engine, "one")[2] != layers(engine, "other")[2]


def test_the_same_wheel_gives_the_same_layer_whenever_it_is_installed(
    engine: Engine, environment: Environment, tmp_path: Path
) -> None:
    # Off where files keep the time at which they were installed.
    made = wheel(tmp_path, "again")
    environment.install(made)
    capture(engine, "again", environment.python)
    before = layers(engine, "again")
    environment.pip("uninstall", "-y", "again")
    environment.install(made)
    capture(engine, "again", environment.python)
    assert layers(engine, "again") == before


def test_history_tells_what_each_layer_is(
    engine: Engine, environment: Environment, tmp_path: Path
) -> None:
    environment.install(wheel(tmp_path, "first"))
    capture(engine, "told", environment.python)
    steps = [entry["CreatedBy"] for entry in engine.client.images.get("told").history()]
    assert steps[0].endswith(": first 1.0")
    assert steps[-1].startswith("capture system: a shell")


def test_only_what_was_asked_for_and_what_it_needs_is_taken(
    engine: Engine, environment: Environment, tmp_path: Path
) -> None:
    environment.install(
        wheel(tmp_path, "app", requires='library; python_version > "3"'),
        wheel(tmp_path, "library"),
        wheel(tmp_path, "unrelated"),
    )
    capture(engine, "only", environment.python, include=["App"])
    listing = run(engine, "only", "ls", str(environment.site)).split()
    assert {"app.py", "library.py"} <= set(listing)
    assert "unrelated.py" not in listing
    capture(engine, "only", environment.python, exclude=["library"])
    listing = run(engine, "only", "ls", str(environment.site)).split()
    assert {"app.py", "unrelated.py"} <= set(listing)
    assert "library.py" not in listing


def test_large_ones_have_a_layer_each_and_small_ones_share() -> None:
    found = group({"big": LARGE, "a": 1, "b": 2})
    assert found[0] == Group("big", ("big",))
    assert {name for one in found[1:] for name in one.members} == {"a", "b"}
    assert all(one.name.startswith("packages-") for one in found[1:])


def test_what_was_grouped_stays_and_what_is_new_is_one_group() -> None:
    before = group({"a": 1, "b": 2})
    after = group({"a": 1, "b": 2, "new": 5 * LARGE, "newer": 1}, before)
    assert after == [*before, Group(f"{ADDED}1", ("new", "newer"))]
    assert group({"a": 1, "newer": 1}, after)[-1] == Group(f"{ADDED}1", ("newer",))


def test_after_many_additions_all_is_dealt_out_anew() -> None:
    sizes = {"a": 1, "b": 2}
    found = group(sizes)
    for number in range(MOST_ADDED + 1):
        sizes[f"n{number}"] = 1
        found = group(sizes, found)
    assert not any(one.name.startswith(ADDED) for one in found)
    assert sorted(name for one in found for name in one.members) == sorted(sizes)
