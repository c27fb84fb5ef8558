"""From a Dockerfile's text to statements: directives, comments, continued lines, heredocs.

The sentences are of Docker's reference; what has none was compared with BuildKit 0.26.3.
"""

from typing import cast

import pytest

from ipycontainer_runtime.build.instructions import Cmd, Copy, Env, Instruction, OnBuild, Run
from ipycontainer_runtime.build.parse import Dockerfile, parse
from ipycontainer_runtime.build.running import Invocation, invocation
from ipycontainer_runtime.build.source import DockerfileError, Span, excerpt
from ipycontainer_runtime.errors import InvalidParameter

SHELL = ("/bin/sh", "-c")


def read(text: str | bytes) -> list[Instruction]:
    return list(parse(text).stages[0].instructions)


def shell_texts(text: str) -> list[str]:
    return ["".join(cast(Run, each).command.words) for each in read("FROM x\n" + text)]


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        pytest.param(
            "RUN echo 'we are running some # of cool things'",
            ["echo 'we are running some # of cool things'"],
            id="A `#` marker anywhere else in a line is treated as an argument.",
        ),
        pytest.param(
            "RUN echo hello \\\n# comment\nworld",
            ["echo hello world"],
            id="Comment lines are removed before the Dockerfile instructions are executed.",
        ),
        pytest.param(
            "RUN a \\\n# comment \\\nb\nRUN c",
            ["a b", "c"],
            id="Comments don't support line continuation characters.",
        ),
        pytest.param(
            "        # this is a comment-line\n    RUN echo hello\nRUN echo world",
            ["echo hello", "echo world"],
            id="leading whitespace before comments (`#`) and instructions are ignored",
        ),
        pytest.param(
            'RUN echo "\\\n     hello\\\n     world"',
            ['echo "     hello     world"'],
            id="Whitespace in instruction arguments, however, isn't ignored.",
        ),
        pytest.param(
            "RUN source $HOME/.bashrc && \\\necho $HOME",
            ["source $HOME/.bashrc && echo $HOME"],
            id="The shell form string lets you escape newlines using the escape character",
        ),
        pytest.param(
            "run a\nRun b\nrUN c", ["a", "b", "c"], id="The instruction is not case-sensitive."
        ),
        pytest.param("RUN a\\ \t\n  b", ["a  b"], id="blanks may follow the escape"),
        pytest.param(
            "RUN a \\\\\nRUN b", ["a \\\\", "b"], id="an escaped escape continues nothing"
        ),
        pytest.param("RUN a \\\r\n b\r\nRUN c\r\n", ["a  b", "c"], id="carriage returns go"),
        pytest.param("\\\nRUN a", ["a"], id="a line of an escape alone continues"),
        pytest.param("RUN a \\\n\n\n  b", ["a   b"], id="empty lines within are left out"),
        pytest.param("RUN a \\", ["a "], id="the file may end within a continued line"),
        pytest.param("RUN\ta", ["a"], id="a tab separates"),
        pytest.param("RU\\\nN a", ["a"], id="a line may be broken anywhere"),
    ],
)
def test_lines_become_instructions(text: str, texts: list[str]) -> None:
    assert shell_texts(text) == [each.strip() if each.endswith(" ") else each for each in texts]


def test_every_instruction_knows_its_lines() -> None:
    text = "\n# c\nFROM x\nRUN a \\\n# c\n\n b\n\nRUN <<E\n1\nE\nENV a=b"
    file = parse(text)
    spans = [file.stages[0].base.span, *(each.span for each in file.stages[0].instructions)]
    assert spans == [Span(3, 3), Span(4, 7), Span(9, 11), Span(12, 12)]
    assert excerpt(text, Span(9, 11)) == " 9 | RUN <<E\n10 | 1\n11 | E"


def test_an_excerpt_of_a_long_instruction_shows_its_ends() -> None:
    text = "FROM x\nRUN <<E\n" + "line\n" * 1000 + "E"
    shown = excerpt(text, parse(text).stages[0].instructions[0].span).splitlines()
    assert len(shown) == 13
    assert shown[0] == "   2 | RUN <<E"
    assert shown[-1] == "1003 | E"
    assert "990 lines" in shown[6]


def test_an_empty_continued_line_is_warned_of_once_for_each_instruction() -> None:
    file = parse("FROM x\nRUN a \\\n\n\n b\nRUN c \\\n# comment\n d\n")
    (found,) = file.warnings
    assert (found.rule, found.span) == ("NoEmptyContinuation", Span(2, 5))


def directives(text: str) -> dict[str, str]:
    return parse(text + "\nFROM x\n").directives


@pytest.mark.parametrize(
    "line",
    [
        "#syntax=value",
        "# syntax =value",
        "#\tsyntax= value",
        "# syntax = value",
        "#\t  sYnTaX=value",
        "# syntax=value \t\r",
        "\ufeff# syntax=value",
    ],
)
def test_blanks_are_permitted_in_a_directive_and_its_name_has_no_case(line: str) -> None:
    assert directives(line) == {"syntax": "value"}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("# About my dockerfile\n# syntax=value", id="after a comment"),
        pytest.param("\n# syntax=value", id="after an empty line"),
        pytest.param("# unknowndirective=value\n# syntax=value", id="after an unknown one"),
        pytest.param("FROM y\n# syntax=value", id="after an instruction"),
    ],
)
def test_later_directives_are_comments(text: str) -> None:
    assert directives(text) == {}


def test_a_directive_may_only_be_used_once() -> None:
    with pytest.raises(DockerfileError, match="line 2: only one escape parser directive"):
        directives("# escape=\\\n# escape=`")


def test_the_escape_directive_changes_continued_lines_and_escapes() -> None:
    file = parse("# escape=`\nFROM x\nRUN dir c:\\\nENV a=b` c `\nd=e\n")
    run, env = file.stages[0].instructions
    assert cast(Run, run).command.words == ("dir c:\\",)
    assert [(pair.name, pair.value) for pair in cast(Env, env).pairs] == [("a", "b` c"), ("d", "e")]
    with pytest.raises(DockerfileError, match="invalid escape token 'x'"):
        directives("# escape=x")


def test_flags_lose_their_quotes_and_escapes() -> None:
    written = "COPY --chown='a b' --chmod=\"7\"\\55 --exclude=x`y a b"
    assert cast(Copy, read(f"FROM x\n{written}")[0]).exclude == ("x`y",)
    copy = cast(Copy, read(f"# escape=`\nFROM x\n{written}")[0])
    assert (copy.chown, copy.chmod, copy.exclude) == ("a b", "7\\55", ("xy",))


def run(text: str) -> Invocation:
    (found,) = read("FROM x\n" + text)
    return invocation(cast(Run, found), SHELL)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "RUN <<EOT\n  mkdir -p foo/bar\nEOT",
            Invocation((*SHELL, "  mkdir -p foo/bar\n")),
            id="If the command only contains a here-document, its contents is evaluated with the "
            "default shell.",
        ),
        pytest.param(
            'RUN <<EOT\n#!/usr/bin/env python\nprint("hello world")\nEOT',
            Invocation(
                (*SHELL, "/dev/pipes/EOT"),
                "/dev/pipes/EOT",
                '#!/usr/bin/env python\nprint("hello world")\n',
            ),
            id="Alternatively, shebang header can be used to define an interpreter.",
        ),
        pytest.param(
            "RUN <<EOT bash\n  set -ex\nEOT",
            Invocation((*SHELL, "<<EOT bash\n  set -ex\nEOT")),
            id="the shell reads the document",
        ),
        pytest.param(
            "RUN <<FILE1 cat > file1 && <<FILE2 cat > file2\nI am\nfirst\nFILE1\nsecond\nFILE2",
            Invocation(
                (
                    *SHELL,
                    "<<FILE1 cat > file1 && <<FILE2 cat > file2\nI am\nfirst\nFILE1\nsecond\nFILE2",
                )
            ),
            id="More complex examples may use multiple here-documents.",
        ),
        pytest.param("RUN <<-E\n\t\ta\n\tE", Invocation((*SHELL, "a\n")), id="tabs go"),
        pytest.param("RUN <<'E'\n$a\nE", Invocation((*SHELL, "$a\n")), id="quoted"),
        pytest.param("RUN << E\na\nE", Invocation((*SHELL, "a\n")), id="a blank before the name"),
        pytest.param("RUN <<E\nE", Invocation((*SHELL, "")), id="empty"),
        pytest.param("RUN <<E\r\na\r\nE\r", Invocation((*SHELL, "a\r\n")), id="carriage returns"),
        pytest.param("RUN cat 3<<E\na\nE", Invocation((*SHELL, "cat 3<<E\na\nE")), id="descriptor"),
        pytest.param('RUN "<<E"', Invocation((*SHELL, '"<<E"')), id="in quotes is none"),
        pytest.param("RUN cat <<<E", Invocation((*SHELL, "cat <<<E")), id="a string is none"),
        pytest.param("RUN echo $((1<<2))", Invocation((*SHELL, "echo $((1<<2))")), id="shift"),
        pytest.param('RUN ["a", "<<E"]', Invocation(("a", "<<E")), id="exec form"),
        pytest.param("RUN a", Invocation((*SHELL, "a")), id="none"),
    ],
)
def test_a_run_executes(text: str, expected: Invocation) -> None:
    assert run(text) == expected


def test_a_heredoc_goes_on_to_a_line_of_its_name_alone_comments_and_all() -> None:
    copy, after = read(
        "FROM x\nCOPY <<A <<-B <<'C' /to/\nB\n# c\n\n A\nA\n\tx\n\tB\n$y\nC\nRUN z\n"
    )
    documents = [(each.name, each.content, each.expand) for each in cast(Copy, copy).documents]
    assert documents == [("A", "B\n# c\n\n A\n", True), ("B", "x\n", True), ("C", "$y\n", False)]
    assert cast(Copy, copy).sources == ()
    assert after.span == Span(12, 12)


def test_a_heredoc_without_its_end_is_refused_with_its_lines() -> None:
    with pytest.raises(
        DockerfileError, match="lines 2-4: RUN: unterminated heredoc: no line is EOF"
    ):
        read("FROM x\nRUN <<EOF\na\n EOF\n")


def test_only_run_copy_and_add_have_heredocs_and_so_do_their_triggers() -> None:
    env, trigger, cmd = read("FROM x\nENV a=<<E\nONBUILD RUN <<E\nhi\nE\nCMD cat <<E\n")
    assert cast(Env, env).pairs[0].value == "<<E"
    assert cast(OnBuild, trigger).trigger == "RUN <<E\nhi\nE"
    assert cast(Cmd, cmd).command.words == ("cat <<E",)


def test_a_script_cannot_be_named_as_a_path() -> None:
    with pytest.raises(DockerfileError, match=r"'\.\./x'"):
        run("RUN <<../x\n#!/bin/sh\n../x\n")


def test_comments_right_above_belong_to_the_instruction() -> None:
    file = parse("# one\n# two\nFROM x\n# no\n#\n# yes\nRUN a\nRUN b\n")
    run_a, run_b = file.stages[0].instructions
    assert file.stages[0].base.comments == ("one", "two")
    assert (run_a.comments, run_b.comments) == (("yes",), ())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "cannot be empty"),
        (" \n", "cannot be empty"),
        ("# c\n", "no instructions"),
        ("ARG a\n", "no stages"),
        ("RUN a\n", "line 1: no build stage in current context: RUN before the first FROM"),
        ("FROM x\nRUNN a\n", r"line 2: unknown instruction: RUNN \(did you mean RUN\?\)"),
        ("FROM x\nFOO\\\nBAR \\\n a\n", "lines 2-4: unknown instruction: FOOBAR"),
    ],
)
def test_what_is_no_dockerfile_says_so(text: str, reason: str) -> None:
    with pytest.raises(InvalidParameter, match=reason):
        parse(text)


def test_bytes_are_utf_8_with_or_without_a_mark() -> None:
    assert shell_texts("RUN é") == ["é"]
    file: Dockerfile = parse("\ufeffFROM x\nRUN é\n".encode())
    assert file.stages[0].base.image == "x"
    assert "\ufffd" in parse(b"FROM x\nRUN \xff\n").stages[0].instructions[0].source
