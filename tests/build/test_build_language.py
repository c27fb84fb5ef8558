"""What a Dockerfile's language comes to in a build: ONBUILD triggers, warnings."""

import io
import json
from urllib.parse import quote

import pytest

from support.builds import build
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


@pytest.mark.parametrize(
    ("lines", "said", "shown"),
    [
        ("FROM scratch\nFOO x\n", "unknown instruction: FOO", "2 | FOO x"),
        (
            "# a comment\nFROM 127.0.0.1:1/nobody:here\n",
            "cannot reach the registry",
            "2 | FROM 127.0.0.1:1/nobody:here",
        ),
        ('FROM scratch\nCOPY <<".." /d/\n..\n', "cannot be named '..'", '2 | COPY <<".." /d/'),
        (f"FROM scratch\nCOPY <<{'a' * 300} /d/\n{'a' * 300}\n", "File name too long", "2 | COPY"),
        ("FROM scratch\nADD http://[::1 /x\n", "http://[::1 is no URL", "2 | ADD http://[::1 /x"),
    ],
    ids=["instruction", "base image", "name", "long name", "URL"],
)
def test_an_error_shows_its_line_to_any_client(
    shared_engine: Engine, lines: str, said: str, shown: str
) -> None:
    last = build(shared_engine, {"Dockerfile": lines})[-1]
    message = last.get("error") or last["message"]
    assert said in message.partition("\n")[0]
    assert shown in message.partition("\n")[2]
    detail = build(shared_engine, {"Dockerfile": lines}, "progress=steps")[-1]["errorDetail"]
    assert detail["first"] == 2


def test_a_time_that_no_calendar_has_is_refused_by_name(shared_engine: Engine) -> None:
    given = quote(json.dumps({"SOURCE_DATE_EPOCH": "9" * 30}))
    (told,) = build(shared_engine, {"Dockerfile": "FROM scratch\nENV a=1\n"}, f"buildargs={given}")
    assert "give seconds since 1970" in told["message"]
