"""Search: what a registry finds, what filters leave of it, and registries without a search."""

import json
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest

from ipycontainer_runtime.engine.searching import search
from ipycontainer_runtime.errors import Corrupt, InvalidParameter, NotFound
from support.calls import call
from support.engines import Engine
from support.scripted import Answer, Scripted, Seen

RESULTS = [
    {
        "name": "busybox",
        "description": "Busybox base image.",
        "star_count": 3000,
        "is_official": True,
        "is_automated": False,
        "is_trusted": False,
    },
    {"name": "me/busybox", "description": None, "star_count": 2, "is_automated": True},
]

Finder = Callable[..., list[str]]


def answer(seen: Seen) -> Answer:
    limit = int(parse_qs(urlsplit(seen.path).query)["n"][0])
    page = {"num_pages": 1, "num_results": 2, "page": 1, "results": RESULTS[:limit]}
    return Answer(json.dumps(page).encode(), headers={"Content-Type": "application/json"})


@pytest.fixture
def found(server: Scripted) -> Finder:
    """A function that searches a registry and returns the names."""
    server.on("/v1/search", answer)

    def find(limit: int | None = None, **filters: list[str]) -> list[str]:
        given = {name.replace("_", "-"): values for name, values in filters.items()}
        return [r["name"] for r in search(f"{server.address}/busy box", limit, given, None)]

    return find


def test_the_registry_in_the_term_is_asked(server: Scripted, found: Finder) -> None:
    assert found() == ["busybox", "me/busybox"]
    [seen] = server.requests
    assert seen.path == "/v1/search?q=busy+box&n=25"


def test_a_limit_is_the_registrys_to_keep(found: Finder) -> None:
    assert found(limit=1) == ["busybox"]


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({"is_official": ["true"]}, ["busybox"]),
        ({"is_official": ["false"]}, ["me/busybox"]),
        ({"is_automated": ["1"]}, ["me/busybox"]),
        ({"stars": ["3"]}, ["busybox"]),
        ({"stars": ["2", "3001"]}, []),
    ],
)
def test_filters_leave_out(found: Finder, filters: dict[str, list[str]], names: list[str]) -> None:
    assert found(**filters) == names


def test_a_registry_without_a_search_says_so_in_one_line(server: Scripted) -> None:
    with pytest.raises(NotFound) as caught:
        search(f"{server.address}/busybox", None, {}, None)
    assert str(caught.value) == (
        f"the registry {server.address} has no search: pull an image by its whole name"
    )


def test_an_answer_that_is_none_is_refused(server: Scripted) -> None:
    server.on("/v1/search", Answer(b"<html>"))
    with pytest.raises(Corrupt, match="answered a search with no result"):
        search(f"{server.address}/busybox", None, {}, None)


@pytest.mark.parametrize(
    ("term", "limit", "filters", "words"),
    [
        ("", None, {}, "no term was given"),
        ("x", -1, {}, "limit -1 is outside the range"),
        ("x", 101, {}, "limit 101 is outside the range"),
        ("x", None, {"nosuch": ["1"]}, "invalid filter 'nosuch'"),
        ("x", None, {"stars": ["many"]}, "a whole number is wanted"),
        ("x", None, {"is-official": ["maybe"]}, "true or false is wanted"),
        ("127.0.0.1:1/", None, {}, "nothing to find"),
    ],
)
def test_what_is_asked_wrongly_is_refused(
    term: str, limit: int | None, filters: dict[str, list[str]], words: str
) -> None:
    with pytest.raises(InvalidParameter, match=words):
        search(term, limit, filters, None)


@pytest.mark.needs("docker")
def test_the_docker_command_and_docker_py_search(engine: Engine, server: Scripted) -> None:
    server.on("/v1/search", answer)
    term = f"{server.address}/busybox"
    told = engine.succeed("search", "--format", "{{.Name}} {{.StarCount}} {{.IsOfficial}}", term)
    assert told.splitlines() == ["busybox 3000 [OK]", "me/busybox 2"]
    assert engine.succeed("search", "--filter", "stars=3", "--no-trunc", term)
    [first, _] = engine.client.images.search(term)
    assert first == {k: v for k, v in RESULTS[0].items() if k != "is_trusted"}
    assert call(engine, "GET", "/images/search").status == 400


@pytest.mark.needs("docker")
def test_the_verb_searches(engine: Engine, server: Scripted) -> None:
    server.on("/v1/search", answer)
    code = "import sys; from ipycontainer.cli import main; sys.exit(main())"
    done = engine.run_python(code, "search", f"{server.address}/busybox", "--filter", "stars=3")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["NAME", "DESCRIPTION", "STARS", "OFFICIAL"],
        ["busybox", "Busybox", "base", "image.", "3000", "[OK]"],
    ]
    done = engine.run_python(code, "search", f"{server.address}/x", "--limit", "1000")
    assert (done.returncode, "1<=x<=100" in done.stderr) == (125, True)
