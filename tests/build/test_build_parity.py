"""Our builder beside Docker's two: the classic one live, BuildKit as it was recorded."""

import json
from concurrent.futures import Future
from pathlib import Path

import pytest
from buildcases import Case, cases
from builddifferences import DIFFERENCES, differing
from buildrooms import Built, built
from buildviews import View, apart

from support import builds
from support.engines import Engine

CLASSIC, NEWER = cases("classic"), cases("newer")


def recorded(case: Case) -> View:
    """Return what BuildKit made of a case."""
    found = json.loads(case.expected.read_text())
    assert isinstance(found, dict)
    return found


def apart_from_buildkit(ours: View, theirs: View) -> list[str]:
    """Return what differs but for the history, which is told in the classic builder's words.

    BuildKit counts a step that changed no file as a layer with nothing in it.
    """
    views = [{**view, "history": [], "layers": _full(view)} for view in (ours, theirs)]
    return apart(*views)


def _full(view: View) -> list[object]:
    return [layer for layer in view["layers"] if layer]


@pytest.mark.needs("root", "dockerd", "docker", "docker-registry", "skopeo", "busybox")
@pytest.mark.parametrize("case", CLASSIC, ids=lambda case: case.name)
def test_a_dockerfile_makes_the_image_that_dockerd_makes(
    case: Case, by_dockerd: dict[str, "Future[Built]"], builder: Engine, context: Path
) -> None:
    ours, theirs = built(builder, case, context), by_dockerd[case.name].result()
    assert theirs.image is not None, theirs.errors
    assert ours.image is not None, ours.errors
    if case.name in differing():
        assert apart(ours.image, theirs.image), f"{case.name} needs no difference any more"
        assert not apart_from_buildkit(ours.image, recorded(case))
    else:
        assert not apart(ours.image, theirs.image)


@pytest.mark.ordinary_user
@pytest.mark.needs("docker", "docker-registry", "skopeo", "busybox")
@pytest.mark.parametrize("case", NEWER, ids=lambda case: case.name)
def test_a_dockerfile_makes_the_image_that_buildkit_made(
    case: Case, builder: Engine, context: Path
) -> None:
    ours = built(builder, case, context)
    assert ours.image is not None, ours.errors
    assert not apart_from_buildkit(ours.image, recorded(case))


@pytest.mark.ordinary_user
@pytest.mark.needs("docker", "docker-registry", "skopeo", "busybox")
def test_a_folder_is_not_copied_to_a_file(builder: Engine) -> None:
    lines = "FROM base\nRUN echo > /file\nCOPY folder /file\n"
    told = builds.build(builder, {"Dockerfile": lines, "folder/a": "a"})
    assert "cannot copy to non-directory: /file" in told[-1]["error"]


def test_there_are_few_differences_and_each_is_dockers_word() -> None:
    assert len(DIFFERENCES) <= 5
    for difference in DIFFERENCES:
        assert difference.source.startswith("https://docs.docker.com/")
        assert difference.sentence
    assert set(differing()) <= {case.name for case in CLASSIC}
