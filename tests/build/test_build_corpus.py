"""The corpus itself: there is enough of it, and our reader takes all of it."""

import json

import pytest
from buildcases import Case, cases

from ipycontainer_runtime.build.parse import parse

CLASSIC, NEWER = cases("classic"), cases("newer")


@pytest.mark.parametrize("case", [*CLASSIC, *NEWER], ids=lambda case: case.name)
def test_a_dockerfile_of_the_corpus_is_read(case: Case) -> None:
    assert parse(case.dockerfile.read_bytes()).stages


def test_the_corpus_is_large_and_its_names_are_its_own() -> None:
    names = [case.name for case in (*CLASSIC, *NEWER)]
    assert len(set(names)) == len(names) >= 60


@pytest.mark.parametrize("case", NEWER, ids=lambda case: case.name)
def test_what_buildkit_made_is_recorded(case: Case) -> None:
    recorded = json.loads(case.expected.read_text())
    assert "BuildKit 0.26.3" in recorded["recorded"]
    assert "fails" not in recorded
