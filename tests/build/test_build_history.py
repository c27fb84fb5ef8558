"""What `history` and `layers` tell of an image that was built."""

import io

import pytest

from ipycontainer_runtime.build.instructions import Healthcheck
from ipycontainer_runtime.build.source import Span
from ipycontainer_runtime.engine.building.config import Described, apply
from support.engines import Engine

pytestmark = [pytest.mark.needs("busybox"), pytest.mark.ordinary_user]


@pytest.mark.parametrize(
    ("retries", "told"),
    [
        *((0, r"'\x00'"), (3, r"'\x03'"), (10, r"'\n'"), (12, r"'\f'"), (16, r"'\x10'")),
        *((39, r"'\''"), (65, "'A'"), (127, r"'\x7f'"), (160, r"'\u00a0'")),
        (1 << 21, "'\N{REPLACEMENT CHARACTER}'"),
    ],
)
def test_retries_are_in_the_history_as_docker_writes_them(retries: int, told: str) -> None:
    # moby formats the whole check by Go's %q, for which a number is a character.
    check = Healthcheck(span=Span(1, 1), source="", test=("CMD", "a"), retries=retries)
    _, words = apply(Described(), check)
    assert words == f'HEALTHCHECK &{{["CMD" "a"] "0s" "0s" "0s" {told}}}'


def test_the_image_it_was_built_from_is_named_where_its_steps_begin(
    shared_engine: Engine, busybox: str
) -> None:
    client = shared_engine.client
    base = client.images.pull(busybox)
    text = f"FROM {busybox}\nRUN echo a > /a\nENV A=1\nRUN echo b > /b\n"
    built, _ = client.images.build(fileobj=io.BytesIO(text.encode()), rm=True)
    steps = built.history()
    assert steps[0]["Id"] == built.id
    assert [step["Id"] for step in steps[1:3]] == ["<missing>", "<missing>"]
    assert (steps[3]["Id"], steps[3]["Tags"]) == (base.id, base.tags)
    client.images.remove(built.id)
