"""How a magic's line becomes arguments."""

import re
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from ipycontainer.failures import Usage
from ipycontainer.verbs import main
from ipycontainer.words import split

README = Path(__file__).parents[2] / "README.md"


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        ("ps -a", ["ps", "-a"]),
        ("  run   x  ", ["run", "x"]),
        ("run x sh -c 'echo $HOME; ls *'", ["run", "x", "sh", "-c", "echo $HOME; ls *"]),
        (
            "run x echo $HOME ~ * | > `id` $(id)",
            ["run", "x", "echo", "$HOME", "~", "*", "|", ">", "`id`", "$(id)"],
        ),
        ("ps --format {{.ID}}", ["ps", "--format", "{{.ID}}"]),
        ('a "b \\" c" d\\ e', ["a", 'b " c', "d e"]),
        ("a ''", ["a", ""]),
        ("a 'b'\"c\"d", ["a", "bcd"]),
        ("a # b", ["a", "#", "b"]),
        ("a\nb", ["a", "b"]),
        ("é ü", ["é", "ü"]),
    ],
)
def test_words_are_split_as_a_shell_splits_them_and_nothing_else(
    line: str, arguments: list[str]
) -> None:
    assert split(line, {}) == arguments


@pytest.mark.parametrize(
    "word", ["'{name}'", '"{name}"', "x{name}", "{name}x", "{{name}}", "{na-me}"]
)
def test_only_a_whole_unquoted_word_expands(word: str) -> None:
    assert split(word, {"name": "value"}) == [word.strip("'\"")]


@pytest.mark.parametrize(
    ("value", "argument"),
    [
        ("a b; rm -rf $HOME '\"", "a b; rm -rf $HOME '\""),
        ("", ""),
        ("--rm", "--rm"),
        ("{name}", "{name}"),
        (3, "3"),
        (0.5, "0.5"),
        (Path("/a b"), "/a b"),
        (SimpleNamespace(id="0123"), "0123"),
    ],
)
def test_a_variable_is_exactly_one_argument(value: object, argument: str) -> None:
    assert split("run {name} end", {"name": value}) == ["run", argument, "end"]


def test_a_starred_variable_is_each_of_its_items() -> None:
    assert split("rm {*names}", {"names": ["a b", "c"]}) == ["rm", "a b", "c"]
    assert split("rm {*names}", {"names": ()}) == ["rm"]


@pytest.mark.parametrize(
    ("line", "names", "told"),
    [
        ("run {nope}", {}, "no variable 'nope'"),
        ("run {x}", {"x": ["a"]}, "write {*x}"),
        ("run {*x}", {"x": "abc"}, "write {x}"),
        ("run {x}", {"x": {"a": 1}}, "a dict is no argument"),
        ("run {x}", {"x": None}, "a NoneType is no argument"),
        ("run {x}", {"x": True}, "a bool is no argument"),
        ("run {x}", {"x": "a\0b"}, "NUL"),
        ("run 'x", {}, "never closed: 'x"),
        ('run a"x', {}, "never closed"),
        ("run x\\", {}, "never closed"),
    ],
)
def test_what_is_no_argument_is_refused_by_name(
    line: str, names: dict[str, object], told: str
) -> None:
    with pytest.raises(Usage, match=re.escape(told)):
        split(line, names)


def test_the_lines_of_the_readme_are_verbs_without_a_comment() -> None:
    lines = re.findall(r"^%%?container (.*)$", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert lines
    for line in lines:
        words = split(line, {})
        assert words[0] in main.list_commands(click.Context(main))
        assert "#" not in words  # it would be an argument
