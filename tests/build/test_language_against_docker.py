"""What Debian's Docker Engine reads as we do: the words and forms that its classic builder knows.

`commit --change` reads instructions as a Dockerfile's, and makes one image of any number of them.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from docker.errors import APIError
from test_language_words import LIKE_BUILDKIT, SENTENCES, VARIABLES

from ipycontainer_runtime.build.words import Lexer
from ipycontainer_runtime.engine.instructions import changed
from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.oci.model import ContainerConfig
from support.hosts import Host

pytestmark = pytest.mark.needs("dockerd")

ENV = ["A=1", *(f"{name}={value}" for name, value in VARIABLES.items())]
# Operators that came after it: all but those with a colon.
LATER = re.compile(r"\$\{\w+[^\w:}]")
KEPT = (
    *("User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels"),
    *("Healthcheck", "OnBuild"),
)
TEXTS = [
    "CMD a \\\n# comment\n  b",
    "CMD a \\ \t\n\n  b",
    "CMD a \\\\\nUSER b",
    'CMD ["a", "b c"]',
    "CMD ['a']",
    "CMD [ 1 -eq 1 ]",
    "CMD",
    "ENTRYPOINT a $A",
    'ENTRYPOINT ["a"]\nCMD b',
    "# escape=`\nCMD a `\n b\nLABEL a=b` c",
    "# a\n# escape=`\nLABEL a=b\\ c",
    "   label   a=1   b=\"2 3\"  c='$A' d=\\$A e=x$A",
    "LABEL a  b  c ",
    'LABEL "a b"=c',
    "LABEL a=",
    "ENV B=$A C=$B\nENV D=$B",
    "ENV A=2\nENV B=$A",
    "ENV B  a  b",
    "EXPOSE 80 53/udp 8000-8002 $A",
    "EXPOSE 127.0.0.1:80:90",
    'VOLUME /a /b\nVOLUME ["/c d", "/$A"]',
    "WORKDIR a/$A\nWORKDIR ../b\nWORKDIR c d",
    "WORKDIR /x/../y/",
    "USER a:b",
    'USER "a"',
    "ONBUILD RUN a $A",
    "onbuild  COPY a \\\n  b ",
    "HEALTHCHECK NONE",
    "HEALTHCHECK --interval=1m30s --timeout=500ms --start-period=1.5h --retries=3 CMD a $A",
    'HEALTHCHECK CMD ["a", "b"]',
    "CMD a\\",
    "CMD a\r\nUSER b\r\n",
]
REFUSED = [
    *("ENV", "ENV a", "ENV a=b c", "LABEL", "LABEL =a", "EXPOSE", "EXPOSE a", "EXPOSE 70000"),
    *("CMD [1]", "USER", "WORKDIR", "VOLUME", 'VOLUME [""]', "ONBUILD", "ONBUILD ONBUILD RUN a"),
    *("ONBUILD FROM a", "HEALTHCHECK", "HEALTHCHECK a", "HEALTHCHECK NONE a", "HEALTHCHECK CMD"),
    *("HEALTHCHECK --a=b CMD c", "HEALTHCHECK --interval=1 CMD a", "HEALTHCHECK --retries=x CMD a"),
    *("HEALTHCHECK --interval=1us CMD a", "ENV a='b", 'ENV a="b', "ENV a=${b", "ENV a=${}"),
    *("ENV a=${b?c}", "ENV a=${b^}", "RUN a", "COPY a b", "FROM a", "ARG a", 'SHELL ["a"]', "FOO"),
    *("# escape=x\nUSER a", "# escape=`\n# escape=`\nUSER a", "USER --a b", "ENV --a=b c=d"),
]


@pytest.fixture(scope="module")
def container(dockerd: Host) -> Iterator[Any]:
    """A container of Docker's whose image is empty."""
    dockerd.client.api.import_image_from_data(bytes(1024), repository="empty")
    made = dockerd.client.containers.create("empty", "x", environment=ENV)
    yield made
    made.remove()
    dockerd.client.images.remove("empty")


def by_docker(container: Any, text: str) -> dict[str, Any]:
    image = container.commit(changes=text)
    try:
        config = image.attrs["Config"]
        return {name: value for name, value in config.items() if name in KEPT and value}
    finally:
        image.remove()


def by_us(text: str) -> dict[str, Any]:
    config = changed(ContainerConfig(env=ENV, cmd=["x"]), [text])
    found = msgspec.to_builtins(config)
    return {name: value for name, value in found.items() if value}


def test_words_are_expanded_as_by_docker(container: Any) -> None:
    rows = [row for rows in SENTENCES.values() for row in rows] + LIKE_BUILDKIT
    # An instruction's last escape continues its line, and blanks at its end go.
    known = [word for word, _ in rows if not LATER.search(word) and word[-1] not in "\\ "]
    labels = by_docker(container, "".join(f"LABEL l{n} {w}\n" for n, w in enumerate(known)))[
        "Labels"
    ]
    lexer = Lexer(dict(entry.split("=", 1) for entry in ENV))
    assert labels == {f"l{n}": lexer.word(word) for n, word in enumerate(known)}
    assert len(known) > 25


@pytest.mark.parametrize("text", TEXTS)
def test_instructions_are_read_as_by_docker(container: Any, text: str) -> None:
    assert by_us(text) == by_docker(container, text)


@pytest.mark.parametrize("text", REFUSED)
def test_what_docker_refuses_is_refused(container: Any, text: str) -> None:
    with pytest.raises(APIError):
        by_docker(container, text)
    with pytest.raises(InvalidParameter):
        by_us(text)
