"""What a Dockerfile's language comes to in a build: ONBUILD triggers, warnings."""

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


def test_a_warning_shows_its_line_to_any_client(shared_engine: Engine, busybox: str) -> None:
    text = f"FROM {busybox}\nLABEL a=b \\\n\n c=d\nMAINTAINER me\n".encode()
    client = shared_engine.client
    built, log = client.images.build(fileobj=io.BytesIO(text), buildargs={"no": "1"}, rm=True)
    told = [line["stream"] for line in log if line.get("stream", "").startswith("[Warning]")]
    assert told == [
        "[Warning] NoEmptyContinuation: Empty continuation line (lines 2-4)\n"
        "2 | LABEL a=b \\\n3 | \n4 |  c=d\n",
        "[Warning] MaintainerDeprecated: Maintainer instruction is deprecated in favor of using "
        "label (line 5)\n5 | MAINTAINER me\n",
        "[Warning] One or more build-args [no] were not consumed\n",
    ]
    client.images.remove(built.id)
