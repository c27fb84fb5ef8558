"""`run --explain`, `explain` and `layers`, on our engine and on Docker's, which knows less."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from subprocess import CompletedProcess

import pytest
from cells import IMAGE, Box, Kernel, Shell

from ipycontainer.explain.scale import Scale
from ipycontainer.explain.timeline import Timeline
from ipycontainer.failures import Failure

pytestmark = pytest.mark.needs("docker", "busybox")

HOSTILE = "<script>alert(1)</script>\x1b[31m'\"&"


class Page(HTMLParser):
    """What an HTML text is made of: its elements, and its words."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.words = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.words += data


def only(box: Box, name: str) -> None:
    if box.name != name:
        pytest.skip(f"of {name} alone")


def test_a_run_is_explained_beside_its_output(box: Box, shell: Shell) -> None:
    ran = shell.run(f"%container run --rm --explain --network none {IMAGE} echo hello")
    assert ran.error is None
    assert ran.out.startswith("hello")
    (shown,) = ran.displayed
    assert f"{IMAGE} echo hello" in shown
    if box.name == "engine":
        assert re.search(r"client: .*\n.*POST /containers/create", shown)
        assert "mount a new proc at /proc" in shown
        assert "the first byte of output came after" in shown
    else:
        assert "This engine keeps no timeline" in shown


def test_parties_follow_each_other(box: Box, shell: Shell) -> None:
    only(box, "engine")
    shell.run(f"%container run --name told --explain --network none {IMAGE} echo hello")
    timeline = shell.magic("explain told")
    assert isinstance(timeline, Timeline)
    begun = {who: min(s.begin for s in steps) for who, steps in timeline.parties.items()}
    assert list(begun) == ["engine", "shim", "launcher", "program"]
    assert list(begun.values()) == sorted(begun.values())


def test_the_clients_steps_enclose_the_engines(box: Box, shell: Shell) -> None:
    only(box, "engine")
    displayed: list[Timeline] = []
    shell.names["displayed"] = displayed
    shell.run(
        "import ipycontainer.explain.watching as w, ipycontainer.explain.timeline as t\n"
        "class Kept(t.Timeline):\n"
        "    def __init__(self, *given): super().__init__(*given); displayed.append(self)\n"
        "w.Timeline = Kept\n"
    )
    shell.run(f"%container run --rm --explain --network none {IMAGE} echo hello")
    shell.run("w.Timeline = t.Timeline")
    (timeline,) = displayed
    create, start, spoken = timeline.parties["client"]
    engine = timeline.parties["engine"]
    assert create.begin < engine[0].begin < engine[2].end < create.end
    assert start.begin < engine[3].begin < engine[5].end < start.end
    first = next(s for s in timeline.parties["program"] if "first byte" in s.what)
    assert first.end < spoken.begin


def test_a_run_that_fails_is_explained_and_fails_the_cell(box: Box, shell: Shell) -> None:
    ran = shell.run(f"%container run --rm --explain --network none {IMAGE} no-such-command")
    assert isinstance(ran.error, Failure)
    assert "no-such-command" in ran.displayed[0]
    if box.name == "engine":
        assert "it was not started" in ran.displayed[0]


def test_a_run_that_is_not_explained_shows_nothing(box: Box, shell: Shell) -> None:
    assert shell.run(f"%container run --rm --network none {IMAGE} true").displayed == []


def test_a_detached_run_is_explained(box: Box, shell: Shell) -> None:
    ran = shell.run(f"c = %container run -d --explain --network none {IMAGE} sleep 1000")
    assert shell.names["c"].id in ran.out
    assert "sleep 1000" in ran.displayed[0]


def test_an_ordinary_container_can_be_explained(box: Box, shell: Shell) -> None:
    shell.run(f"%container run --name plain --network none {IMAGE} echo hello")
    text = shell.magic("explain plain").text()
    assert f"{IMAGE} echo hello" in text
    assert "it ended with exit code 0" in text
    why = "run --explain" if box.name == "engine" else "This engine keeps no timeline"
    assert why in text


def test_nothing_of_an_image_or_command_becomes_markup(box: Box, shell: Shell) -> None:
    shell.names["word"] = HOSTILE
    shell.run(f"%container run --name hostile --explain --network none {IMAGE} echo {{word}}")
    timeline = shell.magic("explain hostile")
    page = Page(timeline.html())
    assert "script" not in page.elements
    assert "<script>alert(1)</script>" in page.words
    for text in (timeline.html(), timeline.text()):
        assert "\x1b" not in text


def test_the_figure_has_a_real_table_and_folds_that_keys_open(box: Box, shell: Shell) -> None:
    shell.run(f"%container run --name drawn --explain --network none {IMAGE} echo hello")
    page = Page(shell.magic("explain drawn").html())
    assert page.elements.count("details") == page.elements.count("summary") > 3
    assert {"table", "th", "svg"} <= set(page.elements)
    assert "script" not in page.elements


def test_format_json_is_the_engines_document(box: Box, shell: Shell) -> None:
    shell.run(f"%container run --name data --explain --network none {IMAGE} echo hello")
    (line,) = shell.magic("explain --format json data")
    assert json.loads(line)["Command"] == ["echo", "hello"]
    assert shell.magic("explain --format '{{.Image.Name}}' data") == [IMAGE]


def test_a_container_that_is_not_there_is_named(box: Box, shell: Shell) -> None:
    with pytest.raises(Failure, match="nowhere"):
        shell.magic("explain nowhere")


def test_the_command_line_explains_on_standard_error(
    box: Box, command: Callable[..., CompletedProcess[bytes]]
) -> None:
    done = command("run", "--rm", "--explain", "--network", "none", IMAGE, "echo", "hello")
    assert done.returncode == 0
    assert done.stdout == b"hello\n"
    assert b"echo hello" in done.stderr


def test_completion_offers_containers_and_images(box: Box, kernel: Kernel) -> None:
    kernel.run(f"%container create --name completed --network none {IMAGE} true")
    assert "completed" in kernel.complete("%container explain comp")["matches"]
    assert IMAGE in kernel.complete("%container layers bus")["matches"]


def test_layers_are_told_by_command_and_size(box: Box, shell: Shell) -> None:
    shell.run(f"%container run --name writer --network none {IMAGE} sh -c 'echo words > /new'")
    shell.run("%container commit writer written")
    try:
        layers = shell.magic("layers written")
        assert [layer["Size"] for layer in layers][-1] == 6
        assert "echo words" in layers[-1]["CreatedBy"]
        text, page = layers.text(), Page(layers.html())
        assert "LAYER" in text
        assert "echo words" in page.words
        if box.name == "engine":
            assert layers[-1]["Added"] == {"Files": 1, "Size": 6}
            found = shell.magic("layers --find new --layer 2 written")
            assert [(entry["Kind"], entry["Path"]) for entry in found] == [("A", "/new")]
            assert "/new" in found.text()
            assert "/new" in Page(found.html()).words
        else:
            assert "cannot be seen here" in text
            with pytest.raises(Failure, match="cannot be listed"):
                shell.magic("layers --layer 1 written")
    finally:
        box.client.api.remove_container("writer", force=True)
        box.client.api.remove_image("written", force=True)


def test_an_image_that_is_not_there_is_named(box: Box, shell: Shell) -> None:
    with pytest.raises(Failure, match="no-such-image"):
        shell.magic("layers no-such-image")


def test_a_pause_is_cut_short_and_the_rest_in_proportion() -> None:
    scale = Scale([(0, 100), (1_000_000, 1_000_100)], 9_000_000)
    assert scale.at(0) == 0
    assert scale.at(9_000_000) == pytest.approx(1)
    first, second = scale.at(100), scale.at(1_000_100) - scale.at(1_000_000)
    assert first == pytest.approx(second)
    assert first > 0.4
    assert len(scale.cuts) == 2


def test_a_scale_of_nothing_is_one() -> None:
    assert Scale([], 0).at(0) == 0
    assert 0 <= Scale([(5, 5)], 5).at(5) <= 1
