"""`.dockerignore`: what it leaves out. Sentences are of Docker's manual (build context)."""

import random
import re

import pytest

from ipycontainer_runtime.build import globs
from ipycontainer_runtime.build.ignore import MAX_SIZE, Ignore, ignore_file, patterns
from ipycontainer_runtime.errors import InvalidParameter

PATHS = [
    *("README.md", "README-secret.md", "a.md", "main.go", "temp", "tempa", "temporary.txt"),
    *("some/tempb", "some/tempb/x", "some/dir/temporary.txt", "some/dir/tempc", "foo/bar"),
    *("foo/bar/baz", "foo", "baz.go", "d/e/f.go", "#x", "!x", "d/.git/config", ".git/config"),
]


def left_out(text: str) -> list[str]:
    ignore = Ignore(text)
    return [path for path in PATHS if ignore.excludes(path)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "# comment\n*/temp*\n*/*/temp*\ntemp?",
            [
                *("tempa", "some/tempb", "some/tempb/x"),
                *("some/dir/temporary.txt", "some/dir/tempc"),
            ],
            id="Lines starting with # are considered as comments",
        ),
        pytest.param("/foo/bar", ["foo/bar", "foo/bar/baz"], id="a leading slash changes nothing"),
        pytest.param("foo/bar/", ["foo/bar", "foo/bar/baz"], id="nor does one at the end"),
        pytest.param("/some/../foo/./bar", ["foo/bar", "foo/bar/baz"], id="paths are cleaned"),
        pytest.param(
            "**/*.go",
            ["main.go", "baz.go", "d/e/f.go"],
            id="** matches any number of directories (including zero)",
        ),
        pytest.param(
            "*.md\n!README.md",
            ["README-secret.md", "a.md"],
            id="All markdown files except README.md are excluded",
        ),
        pytest.param(
            "*.md\n!README*.md\nREADME-secret.md",
            ["README-secret.md", "a.md"],
            id="The last line of the .dockerignore that matches determines whether it is included",
        ),
        pytest.param(
            "*.md\nREADME-secret.md\n!README*.md",
            ["a.md"],
            id="The middle line has no effect because !README*.md comes last.",
        ),
        pytest.param("foo\n!foo/bar", ["foo"], id="what is in a folder left out may be let in"),
        pytest.param("**/.git", ["d/.git/config", ".git/config"], id="a name at any depth"),
        pytest.param("**/dir/**", ["some/dir/temporary.txt", "some/dir/tempc"], id="all within"),
        pytest.param("some/**/temp*", [p for p in PATHS if p.startswith("some/")], id="between"),
        pytest.param("**", PATHS, id="everything"),
        pytest.param("*", PATHS, id="everything, by its top folders"),
        pytest.param("**\n!main.go", [p for p in PATHS if p != "main.go"], id="all but one"),
        pytest.param("[a-c].md", ["a.md"], id="a range"),
        pytest.param("[^a-c].md\n?[!-a]mp", [], id="a range that is not"),
        pytest.param("\\#x\n\\!x", ["#x", "!x"], id="a backslash escapes"),
        pytest.param(" main.go \t\r\n\r\n  # y", ["main.go"], id="blanks around go"),
        pytest.param("! main.go\nmain.go\n!  main.go", [], id="blanks after the mark go"),
        pytest.param("**temp", ["temp"], id="any path that ends so"),
        pytest.param("\ufefffoo", ["foo/bar", "foo/bar/baz", "foo"], id="a mark of UTF-8"),
        pytest.param("../foo\n/..\n.", [], id="what is not in the context"),
        pytest.param("", [], id="none"),
    ],
)
def test_a_pattern_leaves_out(text: str, expected: list[str]) -> None:
    assert left_out(text) == expected


@pytest.mark.parametrize("text", ["[", "a[b", "a\\", "[]", "[z-a]", "!"])
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter, match="pattern"):
        Ignore(text)


def test_patterns_are_relative_and_without_comments() -> None:
    assert patterns("#a\n/b/\n!/c//d\n\n ./e \n#f") == ["b", "!c/d", "e"]


def test_exclude_takes_patterns_as_they_are() -> None:
    ignore = Ignore.of(["#x", "*.md"])
    assert [path for path in PATHS if ignore.excludes(path)] == [
        *("README.md", "README-secret.md", "a.md", "#x")
    ]


def test_a_dockerfile_may_have_a_file_of_its_own() -> None:
    assert ignore_file("docker/build.Dockerfile") == (
        "docker/build.Dockerfile.dockerignore",
        ".dockerignore",
    )


def test_nothing_is_let_in_where_no_pattern_says_so() -> None:
    assert not Ignore("a\nb").lets_in
    assert Ignore("a\n!b").lets_in


def test_both_ways_to_match_agree() -> None:
    chosen = random.Random(5)
    for _ in range(3000):
        pattern = "".join(chosen.choices("ab/*?*", k=chosen.randint(1, 9)))
        tokens = globs._tokens(pattern)
        backtracking = re.compile("".join(token.source for token in tokens), re.DOTALL)
        steps = globs._Steps(tokens)
        for _ in range(4):
            path = "".join(chosen.choices("ab/", k=chosen.randint(0, 8)))
            assert steps.matches(path) == bool(backtracking.fullmatch(path)), (pattern, path)


@pytest.mark.parametrize("pattern", ["*a" * 200 + "*b", "**/*a" * 100 + "/**/b", "*" * 4000])
def test_no_pattern_takes_long_on_any_path(pattern: str) -> None:
    assert not Ignore(pattern).excludes("/".join(["a" * 250] * 16)) or set(pattern) == {"*"}


def test_a_large_file_or_pattern_is_refused_with_the_bound() -> None:
    with pytest.raises(InvalidParameter, match=str(MAX_SIZE)):
        Ignore("a" * (MAX_SIZE + 1))
    with pytest.raises(InvalidParameter, match="4096"):
        Ignore("a" * 5000)
    with pytest.raises(InvalidParameter, match="10000 patterns"):
        Ignore("a\n" * 10_001)
