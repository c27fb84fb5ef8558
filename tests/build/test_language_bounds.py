"""No input makes the reader raise anything but an error of ours, nor take more than its length."""

import contextlib
import random
from collections.abc import Iterator

import pytest

from ipycontainer_runtime.build.checks import check
from ipycontainer_runtime.build.expand import expanded
from ipycontainer_runtime.build.instructions import Arg, Run
from ipycontainer_runtime.build.parse import MAX_INSTRUCTIONS, MAX_SIZE, parse
from ipycontainer_runtime.build.plan import plan
from ipycontainer_runtime.build.running import invocation
from ipycontainer_runtime.build.scope import Scope, global_scope
from ipycontainer_runtime.errors import ContainerError, InvalidParameter
from ipycontainer_runtime.oci import platform as platforms

HERE = platforms.parse("linux/amd64")
PIECES = [
    *("FROM x", "FROM scratch AS a", "FROM a", "RUN", "COPY", "ADD", "ENV", "ARG", "LABEL", "CMD"),
    *("EXPOSE", "HEALTHCHECK", "ONBUILD", "SHELL", "VOLUME", "USER", "WORKDIR", "STOPSIGNAL"),
    *(
        "MAINTAINER",
        "ENTRYPOINT",
        "from y as b",
        "--mount=",
        "type=cache,",
        "target=/x",
        "--from=a",
    ),
    *("--chown=1", "--", "--link", " ", " ", " ", "\n", "\n", "\n", "\\\n", "\t", "\r\n", "\v"),
    *(
        "# ",
        "#",
        "# escape=`\n",
        "`\n",
        "# check=skip=all\n",
        "<<E",
        "<<-'E F'",
        "\nE\n",
        "E",
        "<<",
    ),
    *("$a", "${a", "${a:-", "${a#", "${a//", "}", "{", "/", "'", '"', "\\", "=", "a=b", "[", "]"),
    *(
        '["a"]',
        '["a", "b"]',
        "[1]",
        "null",
        ",",
        "80/tcp",
        "1s",
        "NONE",
        "CMD ",
        "\x00",
        "é",
        "\ud800",
    ),
    *("\xa0", "\u2028", "\ufeff", "*", "?", "../", "a", "0", "AS", "\x1b[0m", "%", ":", "@", "!"),
]


def read_whole(text: str | bytes) -> None:
    """Do all that a build does with a Dockerfile before it does anything else."""
    file = parse(text)
    outside = global_scope(
        file.arguments, {"a": "x y", "b": None, "zero": "a\0b"}, build=HERE, target=HERE
    )
    made = plan(file, outside)
    check(made, {0: ["PATH=/bin"]})
    for stage in made.needed:
        scope = Scope(outside, ["PATH=/bin"])
        for each in stage.instructions:
            found = scope.follow(each)
            if isinstance(found, Run):
                invocation(found, ("/bin/sh", "-c"))
            if not isinstance(found, Arg):
                expanded(found, scope.variables)


def refusal(text: str) -> str:
    """Return why a text is refused, or nothing."""
    try:
        read_whole(text)
    except ContainerError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "line",
    [
        *(
            "WORKDIR /a\0b",
            "ENV a=b\0",
            "LABEL a=\0",
            "RUN a\0b",
            'RUN ["a\\u0000"]',
            "COPY a\0 /b",
        ),
        *('COPY ["a", "/b\\u0000c"]', 'CMD ["a\\u0000"]', "ONBUILD RUN \0", "ARG \0=1", "USER a\0"),
    ],
)
def test_a_zero_byte_is_refused_with_its_line(line: str) -> None:
    # To the kernel it is the end of a word: what is looked at would not be what is used.
    assert "error on line 2: " in refusal(f"FROM x\n{line}\n")
    assert "zero byte" in refusal(f"FROM x\n{line}\n")


def test_a_variable_brings_no_zero_byte_in() -> None:
    assert "the value of zero has a zero byte" in refusal("FROM x\nARG zero\nWORKDIR /$zero\n")
    # A file's contents may have it.
    assert not refusal("FROM x\nCOPY <<E /f\na\0b\nE\n")


def hostile(seed: int) -> Iterator[str | bytes]:
    chosen = random.Random(seed)
    for _ in range(400):
        text = "".join(chosen.choices(PIECES, k=chosen.randint(1, 40)))
        yield text
        yield f"FROM x\n{text}"
        yield f"FROM x\n{text}".encode("utf-8", "surrogatepass")
    for _ in range(100):
        yield b"FROM x\n" + chosen.randbytes(chosen.randint(1, 200))


@pytest.mark.parametrize("seed", range(5))
def test_no_text_raises_anything_but_an_error_of_ours(seed: int) -> None:
    for text in hostile(seed):
        with contextlib.suppress(ContainerError):
            read_whole(text)


LONG = 100_000


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("FROM x\nRUN a" + " \\\n b" * 100_000, id="continued"),
        pytest.param("FROM x\nRUN a" + " \\\n" * LONG, id="empty continued"),
        pytest.param("FROM x\nRUN a \\\n" + "# c\n" * LONG + "b", id="comments within"),
        pytest.param("# c\n" * LONG + "FROM x", id="comments"),
        pytest.param("\n" * LONG + "FROM x", id="empty lines"),
        pytest.param("FROM x\nRUN a" + " " * 5_000_000 + "b", id="blanks"),
        pytest.param("FROM x\nENV " + "a=b " * 30_000, id="pairs"),
        pytest.param("FROM x\nENV a='" + "b" * 5_000_000, id="open quote"),
        pytest.param("FROM x\nENV a=" + '"b" ' * LONG, id="quotes"),
        pytest.param("FROM x\nENV a=" + "\\" * LONG, id="escapes"),
        pytest.param("FROM x\nENV a=" + "${" * LONG, id="braces"),
        pytest.param("FROM x\nCMD " + "[" * LONG, id="brackets"),
        pytest.param('FROM x\nCMD ["' + "\\" * LONG, id="JSON escapes"),
        pytest.param("FROM x\nRUN " + "--mount=target=/x " * 5_000 + "a", id="mounts"),
        pytest.param("FROM x\nRUN --" + "a" * 2_000_000, id="flag"),
        pytest.param("FROM x\nRUN --mount=" + "a," * 100_000 + " b", id="fields"),
        pytest.param("FROM x\nRUN " + "<<E " * 10_000, id="heredocs"),
        pytest.param("FROM x\nRUN " + "<" * LONG, id="arrows"),
        pytest.param("FROM x\nRUN <<E\n" + "a\n" * 300_000 + "E", id="heredoc"),
        pytest.param("FROM x\nCOPY <<E /x\n" + "$a b\n" * 30_000 + "E", id="document"),
        pytest.param("FROM x\nCOPY " + "a " * 100_000 + "/x", id="sources"),
        pytest.param("FROM x\nEXPOSE " + "1-65535 1-65534 " * 3, id="ports"),
        pytest.param("FROM x\nHEALTHCHECK --interval=" + "1h" * LONG + " CMD a", id="duration"),
        pytest.param("X" * 5_000_000, id="word"),
        pytest.param("FROM x\nFOO" + "X" * 5_000_000, id="unknown"),
        pytest.param("FROM " + "x/" * LONG, id="name"),
        pytest.param("# escape=\\\n" + "# syntax=" + "x" * 5_000_000 + "\nFROM x", id="directive"),
        pytest.param("# check=skip=" + "a," * LONG + "\nFROM x", id="check"),
    ],
)
def test_no_long_text_takes_longer_than_its_length(text: str) -> None:
    # Anything worse than linear would be met by the timeout of the whole run.
    assert len(refusal(text)) < 2000


def test_stages_may_be_many() -> None:
    text = "FROM x AS s0\n" + "".join(
        f"FROM s{n} AS s{n + 1}\nCOPY --from=s0 a b\n" for n in range(4000)
    )
    file = parse(text)
    outside = global_scope(file.arguments, {}, build=HERE, target=HERE)
    assert len(plan(file, outside).needed) == 4001


def test_the_bounds_are_named() -> None:
    with pytest.raises(InvalidParameter, match=str(MAX_SIZE)):
        parse(b"#" * (MAX_SIZE + 1))
    with pytest.raises(InvalidParameter, match=f"more than {MAX_INSTRUCTIONS} instructions"):
        parse("FROM x\n" + "USER a\n" * MAX_INSTRUCTIONS)
