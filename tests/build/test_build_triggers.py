"""ONBUILD triggers of images that a build begins with."""

import io

import pytest

from support.engines import Engine

pytestmark = [pytest.mark.needs("busybox"), pytest.mark.ordinary_user]


def test_a_trigger_may_need_a_stage_whose_base_has_triggers_too(
    shared_engine: Engine, busybox: str
) -> None:
    client = shared_engine.client
    client.images.pull(busybox)
    texts = {
        "maker": f"FROM {busybox}\nONBUILD RUN echo made > /made",
        "taker": f"FROM {busybox}\nONBUILD COPY --from=other /made /taken",
        "last": "FROM maker AS other\nFROM taker\nRUN cat /taken",
    }
    for tag, text in texts.items():
        built, log = client.images.build(fileobj=io.BytesIO(text.encode()), tag=tag, rm=True)
    assert any(line.get("stream") == "made\n" for line in log)
    assert built.attrs["Config"].get("OnBuild") is None
    for tag in reversed(texts):
        client.images.remove(tag)
