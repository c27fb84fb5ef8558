"""What `history` and `layers` tell of an image that was built."""

import io

import pytest

from support.engines import Engine

pytestmark = [pytest.mark.needs("busybox"), pytest.mark.ordinary_user]


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
