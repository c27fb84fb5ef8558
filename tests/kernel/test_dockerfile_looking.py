"""Tab and Shift-Tab in a cell of a Dockerfile, without a kernel."""

from pathlib import Path

import pytest

from ipycontainer_kernel.dockerfile.looking import Around, completions, inspection
from ipycontainer_kernel.dockerfile.words import FLAGS, INSTRUCTIONS
from ipycontainer_runtime.build import forms

BEFORE = "ARG VERSION=1\nFROM debian AS first\nENV PLACE=/x OTHER=2\n"


@pytest.fixture
def around(tmp_path: Path) -> Around:
    (tmp_path / "app.py").touch()
    (tmp_path / "apps").mkdir()
    (tmp_path / "apps/deep").touch()
    images = ["busybox", "debian", "debian:latest"]
    return Around(BEFORE, tmp_path, tmp_path, lambda: images, ("--no-cache", "--network"))


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("EN", ["ENTRYPOINT", "ENV"]),
        ("en", ["entrypoint", "env"]),
        ("RUN a\nWO", ["WORKDIR"]),
        ("%ta", ["%tag", "%target"]),
        ("%target f", ["first"]),
        ("%tag b", ["busybox"]),
        ("%options --n", ["--network", "--no-cache"]),
        ("%context a", ["app.py", "apps/"]),
        ("FROM deb", ["debian", "debian:latest"]),
        ("FROM f", ["first"]),
        ("FROM --pl", ["--platform="]),
        ("FROM debian ", ["AS"]),
        ("COPY --f", ["--from="]),
        ("COPY --from=f", ["--from=first"]),
        ("COPY ap", ["app.py", "apps/"]),
        ("COPY apps/", ["apps/deep"]),
        ("COPY app.py \\\n  app", ["app.py", "apps/"]),
        ("COPY --from=first ap", []),
        ("RUN --mount=type=c", ["--mount=type=cache"]),
        ("RUN echo $V", ["VERSION"]),
        ("RUN echo ${O", ["OTHER"]),
        ("ONBUILD WO", ["WORKDIR"]),
        ("ONBUILD COPY --l", ["--link"]),
        ("HEALTHCHECK --interval=1s C", ["CMD"]),
        ("RUN ap", []),
    ],
)
def test_tab_offers_what_can_stand_there(around: Around, text: str, offered: list[str]) -> None:
    matches, start = completions(text, len(text), around)
    assert matches == offered
    assert all(match.upper().startswith(text[start:].upper()) for match in matches)


@pytest.mark.parametrize(
    ("text", "cursor", "told"),
    [
        ("COPY . .", 2, "COPY [FLAGS]"),
        ("COPY --from=x . .", 8, "--from="),
        ("RUN a \\\n b", 10, "RUN [FLAGS]"),
        ("ONBUILD RUN a", 10, "RUN [FLAGS]"),
        ("FROM x\n%tag y", 9, "%tag NAME"),
        ("from x", 0, "FROM"),
    ],
)
def test_shift_tab_tells_what_stands_there(text: str, cursor: int, told: str) -> None:
    found = inspection(text, cursor)
    assert found is not None
    assert found[0].startswith(told)


def test_shift_tab_on_what_nobody_knows_tells_nothing() -> None:
    assert inspection("NOTHING x", 3) is None
    assert inspection("", 0) is None
    assert inspection("%nothing", 3) is None


def test_every_instruction_that_the_builder_reads_is_explained() -> None:
    assert INSTRUCTIONS.keys() == forms._FORMS.keys()
    assert INSTRUCTIONS.keys() >= FLAGS.keys()
