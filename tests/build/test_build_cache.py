"""What is built again and what is not: every input counts, and nothing else.

Source: https://docs.docker.com/build/cache/invalidation/
"""

import json
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from docker.errors import APIError

from support.builds import Message, begun, build, image_of, send, text
from support.copies import archive, folder, member, symlink
from support.engines import Engine

pytestmark = [
    pytest.mark.ordinary_user,
    pytest.mark.needs("docker", "docker-registry", "skopeo", "busybox"),
]

RAN = "it ran"


class Change(NamedTuple):
    """Two builds, one after the other, and whether the last RUN of the second has to run."""

    what: str
    again: bool
    before: str
    after: str
    entries: tuple[Any, ...] = ()
    others: tuple[Any, ...] = ()
    """The context's entries the second time."""
    query: str = ""
    other: str = ""


COPIED = "COPY . /c\nRUN echo {ran}\n"
FILE = (member("f", b"1"),)


def same(what: str, lines: str, entries: Any, others: Any) -> Change:
    return Change(what, False, lines, lines, tuple(entries), tuple(others))


def changed(what: str, lines: str, entries: Any, others: Any) -> Change:
    return Change(what, True, lines, lines, tuple(entries), tuple(others))


def given(**arguments: str) -> str:
    return f"buildargs={quote(json.dumps(arguments))}"


CHANGES = (
    same("touched file", COPIED, FILE, [member("f", b"1", mtime=1)]),
    same("other owner in the context", COPIED, FILE, [member("f", b"1", uid=7, gid=8)]),
    same("file that is not copied", "COPY f /c\nRUN echo {ran}\n", FILE, [*FILE, member("g")]),
    same("order of the archive", COPIED, [*FILE, member("g")], [member("g"), *FILE]),
    changed("contents", COPIED, FILE, [member("f", b"2")]),
    changed("mode", COPIED, FILE, [member("f", b"1", mode=0o755)]),
    changed("renamed file", COPIED, FILE, [member("g", b"1")]),
    changed("file more", COPIED, FILE, [*FILE, member("g")]),
    changed("file less", COPIED, [*FILE, member("g")], FILE),
    changed("link in place of a file", COPIED, FILE, [symlink("f", "1")]),
    changed("link to something else", COPIED, [symlink("f", "1")], [symlink("f", "2")]),
    changed(
        "pattern that means more",
        "COPY *.c /c/\nRUN echo {ran}\n",
        [member("a.c")],
        [member("a.c"), member("b.c")],
    ),
    changed(
        "bound file",
        "RUN --mount=target=/m,source=f cat /m >/dev/null && echo {ran}\n",
        FILE,
        [member("f", b"2")],
    ),
    same(
        "file beside a bound one",
        "RUN --mount=target=/m,source=f cat /m >/dev/null && echo {ran}\n",
        FILE,
        [*FILE, member("g")],
    ),
    changed(
        "folder that --parents keeps",
        "COPY --parents d/f /c/\nRUN echo {ran}\n",
        [folder("d", mode=0o755), member("d/f")],
        [folder("d", mode=0o700), member("d/f")],
    ),
    Change("comment", False, "# one\nRUN echo {ran}\n", "# two\n\n# three\nRUN echo {ran}\n"),
    Change(
        "comment inside",
        False,
        "RUN true && \\\n# one\n echo {ran}\n",
        "RUN true && \\\n# two\n echo {ran}\n",
    ),
    Change("case of an instruction", False, "RUN echo {ran}\n", "run echo {ran}\n"),
    Change("command", True, "RUN echo {ran}\n", "RUN echo  {ran}\n"),
    Change(
        "step before",
        True,
        "RUN echo 1 > /x\nRUN echo {ran}\n",
        "RUN echo 2 > /x\nRUN echo {ran}\n",
    ),
    Change("ENV", True, "ENV a=1\nRUN echo {ran}\n", "ENV a=2\nRUN echo {ran}\n"),
    Change("ENV less", True, "ENV a=1 b=2\nRUN echo {ran}\n", "ENV a=1\nRUN echo {ran}\n"),
    Change("USER", True, "USER 1\nRUN echo {ran}\n", "USER 2\nRUN echo {ran}\n"),
    Change("WORKDIR", True, "WORKDIR /tmp\nRUN echo {ran}\n", "WORKDIR /etc\nRUN echo {ran}\n"),
    Change(
        "SHELL",
        True,
        'SHELL ["sh", "-c"]\nRUN echo {ran}\n',
        'SHELL ["sh", "-ec"]\nRUN echo {ran}\n',
    ),
    Change("network", True, "RUN --network=none echo {ran}\n", "RUN --network=host echo {ran}\n"),
    Change(
        "script in a heredoc",
        True,
        "RUN <<E\n#!/bin/sh\necho 1; echo {ran}\nE\n",
        "RUN <<E\n#!/bin/sh\necho 2; echo {ran}\nE\n",
    ),
    Change(
        "file in a heredoc",
        True,
        "COPY <<E /x\n1\nE\nRUN echo {ran}\n",
        "COPY <<E /x\n2\nE\nRUN echo {ran}\n",
    ),
    Change(
        "owner of a copy",
        True,
        "COPY --chown=1 f /\nRUN echo {ran}\n",
        "COPY --chown=2 f /\nRUN echo {ran}\n",
        FILE,
        FILE,
    ),
    Change(
        "mode of a copy",
        True,
        "COPY --chmod=600 f /\nRUN echo {ran}\n",
        "COPY --chmod=640 f /\nRUN echo {ran}\n",
        FILE,
        FILE,
    ),
    Change(
        "place of a copy",
        True,
        "COPY f /a\nRUN echo {ran}\n",
        "COPY f /b\nRUN echo {ran}\n",
        FILE,
        FILE,
    ),
    Change(
        "argument that a RUN sees",
        True,
        "ARG a\nRUN echo {ran}\n",
        "ARG a\nRUN echo {ran}\n",
        query=given(a="1"),
        other=given(a="2"),
    ),
    Change(
        "argument after the RUN",
        False,
        "RUN echo {ran}\nARG a\n",
        "RUN echo {ran}\nARG a\n",
        query=given(a="1"),
        other=given(a="2"),
    ),
    Change(
        "argument that ENV hides",
        False,
        "ARG a\nENV a=3\nRUN echo {ran}\n",
        "ARG a\nENV a=3\nRUN echo {ran}\n",
        query=given(a="1"),
        other=given(a="2"),
    ),
    Change(
        "default of an argument", True, "ARG a=1\nRUN echo {ran}\n", "ARG a=2\nRUN echo {ran}\n"
    ),
    Change(
        "proxy",
        False,
        "RUN echo {ran}\n",
        "RUN echo {ran}\n",
        query=given(http_proxy="http://1"),
        other=given(http_proxy="http://2"),
    ),
    Change(
        "SOURCE_DATE_EPOCH",
        True,
        "RUN echo {ran}\n",
        "RUN echo {ran}\n",
        query=given(SOURCE_DATE_EPOCH="1"),
        other=given(SOURCE_DATE_EPOCH="2"),
    ),
    Change("--no-cache", True, "RUN echo {ran}\n", "RUN echo {ran}\n", other="nocache=1"),
)


def ran(messages: list[Message]) -> bool:
    """Tell whether the step ran that says so."""
    image_of(messages)
    return f"\n{RAN}\n" in f"\n{text(messages)}"


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.what.replace(" ", "-"))
def test_what_changed_is_built_again_and_nothing_else(
    shared_engine: Engine, busybox: str, change: Change
) -> None:
    # Each row has a cache of its own: nobody else says its words.
    own = f"FROM {busybox}\nENV row='{change.what}'\n"

    def built(lines: str, entries: Any, query: str) -> bool:
        dockerfile = own + lines.format(ran=f"'{RAN}'")
        context = archive(*entries, member("Dockerfile", dockerfile.encode()))
        return ran(send(shared_engine, context, query))

    # A copy of the whole context would have the Dockerfile too.
    hidden = member(".dockerignore", b"Dockerfile\n.dockerignore\n")
    assert built(change.before, (*change.entries, hidden), change.query)
    assert not built(change.before, (*change.entries, hidden), change.query)
    assert built(change.after, (*change.others, hidden), change.other) is change.again


def test_another_base_builds_everything_again(shared_engine: Engine, busybox: str) -> None:
    # The last two have the same layers, and differ in their config alone.
    for base in ("RUN echo 1 > /base", "RUN echo 2 > /base", "ENV a=1", "ENV a=2"):
        image = image_of(build(shared_engine, {"Dockerfile": f"FROM {busybox}\n{base}\n"}))
        shared_engine.succeed("tag", image, "changing")
        assert ran(build(shared_engine, {"Dockerfile": f"FROM changing\nRUN echo '{RAN}'\n"}))
    assert not ran(build(shared_engine, {"Dockerfile": f"FROM changing\nRUN echo '{RAN}'\n"}))
    shared_engine.succeed("rmi", "changing")


def test_a_linked_copy_is_kept_when_what_is_below_it_changes(
    shared_engine: Engine, busybox: str
) -> None:
    # "COPY --link … lets you reuse already built layers … even if the previous layers have
    # changed" (Dockerfile reference).
    lines = (
        f"FROM {busybox}\nRUN echo {{}} > /below && mkdir -m 700 /d\n"
        "COPY --link f /d/e/f\nRUN cat /below /d/e/f && stat -c %a /d /d/e /d/e/f\n"
    )
    first = build(shared_engine, {"Dockerfile": lines.format("1"), "f": "linked\n"})
    second = build(shared_engine, {"Dockerfile": lines.format("2"), "f": "linked\n"})
    assert text(first).count("Using cache") == 0
    assert text(second).count("Using cache") == 1
    modes = "\n755\n755\n644\n"
    assert f"1\nlinked{modes}" in text(first)
    assert f"2\nlinked{modes}" in text(second)
    layers = [
        shared_engine.client.images.get(image_of(told)).attrs["RootFS"]["Layers"]
        for told in (first, second)
    ]
    assert layers[0][-1] == layers[1][-1]
    # On the layers of the first again it is what it was, and the rest is in the cache as well.
    third = build(shared_engine, {"Dockerfile": lines.format("1"), "f": "linked\n"})
    assert image_of(third) == image_of(first)
    fresh = build(shared_engine, {"Dockerfile": lines.format("2"), "f": "linked\n"}, "nocache=1")
    assert text(fresh).count("Using cache") == 0
    changed = build(shared_engine, {"Dockerfile": lines.format("3"), "f": "other\n"})
    assert "3\nother\n" in text(changed)


def test_the_cache_is_there_for_the_next_engine(engine: Engine, busybox: str) -> None:
    files = {"Dockerfile": f"FROM {busybox}\nCOPY f /\nRUN echo '{RAN}'\n", "f": "1"}
    assert ran(build(engine, files))
    engine.kill()
    engine.start()
    assert not ran(build(engine, files))
    assert ran(build(engine, {**files, "f": "2"}))


def test_a_step_in_which_the_engine_was_killed_is_not_in_the_cache(
    engine: Engine, busybox: str
) -> None:
    lines = f"FROM {busybox}\nRUN echo '{RAN}'\nRUN echo half > /f; echo on; {{}}; echo > /g\n"
    connection, told = begun(engine, {"Dockerfile": lines.format("sleep 1000")})
    assert any(message.get("stream") == "on\n" for message in told)
    engine.kill()
    connection.close()
    engine.start()
    again = build(engine, {"Dockerfile": lines.format("true")})
    assert not ran(again)
    assert "\non\n" in text(again)


def test_a_step_without_a_time_of_its_own_is_not_taken_for_one_with_it(
    shared_engine: Engine,
) -> None:
    files = {"Dockerfile": "FROM scratch\nLABEL row=epoch\nWORKDIR /w\nENV a=1\n"}
    build(shared_engine, files)
    image = image_of(build(shared_engine, files, given(SOURCE_DATE_EPOCH="1000")))
    assert image == image_of(
        build(shared_engine, files, f"nocache=1&{given(SOURCE_DATE_EPOCH='1000')}")
    )


def test_a_mode_that_a_copy_of_the_context_loses_is_not_lost_from_a_stage(
    shared_engine: Engine, busybox: str
) -> None:
    stages = f"FROM {busybox} AS one\nCOPY --chmod=4755 f /f\nFROM {busybox}\nLABEL row=modes\n"
    sent = member("f", b"1", mode=0o4755)
    for source in ("", "--from=one "):
        lines = f"{stages}COPY {source}f /f\nRUN stat -c %a /f\n".encode()
        told = text(send(shared_engine, archive(member("Dockerfile", lines), sent)))
        assert f"\n{'4755' if source else '755'}\n" in told


def test_a_prune_takes_what_its_filters_mean_and_nothing_else(engine: Engine, busybox: str) -> None:
    api = engine.client.api

    def kinds() -> set[str]:
        return {step["Type"] for step in api.df()["BuildCache"]}

    run = "RUN --mount=type=cache,target=/c echo > /c/f\nRUN echo > /f\nRUN exit 1\n"
    build(engine, {"Dockerfile": f"FROM {busybox}\n{run}"})
    both = {"regular", "exec.cachemount"}
    for kept in ({"label": ["a"]}, {"id": ["nothing"]}, {"until": ["1h"]}, {"type": ["frontend"]}):
        assert not api.prune_builds(kept)["CachesDeleted"]
        assert kinds() == both
    with pytest.raises(APIError, match="invalid filter 'inuse'"):
        api.prune_builds({"inuse": ["false"]})
    assert not api.prune_builds({"type": ["exec.cachemount"]})["CachesDeleted"]
    assert kinds() == {"regular"}
    assert api.prune_builds({"type": ["regular"]})["SpaceReclaimed"]
    assert not kinds()
