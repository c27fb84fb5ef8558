"""Words of a Dockerfile: `$NAME`, `${NAME…}`, quotes and escapes.

Each table's sentence is of Docker's reference (environment replacement). The corners below it were
compared with BuildKit 0.26.3, one by one.
"""

import pytest

from ipycontainer_runtime.build.words import MAX_EXPANDED, Keep, Lexer, WordError

VARIABLES = {
    "foo": "/bar",
    "str": "foobarbaz",
    "file": "a.b.c.tar.gz",
    "path": "/usr/local/bin",
    "star": "a*b?c",
    "empty": "",
    "blanks": "a b  c",
    "dollar": "$str",
}
SENTENCES = {
    "Environment variables are notated in the Dockerfile either with `$variable_name` or "
    "`${variable_name}`.": [
        ("$foo", "/bar"),
        ("${foo}", "/bar"),
        ("${foo}_bar", "/bar_bar"),
        ("$foo_bar", ""),
    ],
    "`${variable:-word}` indicates that if `variable` is set and non-empty then the result will be "
    "that value. If `variable` is unset or empty then `word` will be the result.": [
        ("${str:-word}", "foobarbaz"),
        ("${empty:-word}", "word"),
        ("${unset:-word}", "word"),
    ],
    "`${variable-word}` indicates that if `variable` is set (even if empty) then the result will "
    "be that value. If `variable` is unset then `word` will be the result.": [
        ("${str-word}", "foobarbaz"),
        ("${empty-word}", ""),
        ("${unset-word}", "word"),
    ],
    "`${variable:+word}` indicates that if `variable` is set and non-empty then `word` will be the "
    "result, otherwise the result is the empty string.": [
        ("${str:+word}", "word"),
        ("${empty:+word}", ""),
        ("${unset:+word}", ""),
    ],
    "`${variable+word}` indicates that if `variable` is set (even if empty) then `word` will be "
    "the result, otherwise the result is the empty string.": [
        ("${str+word}", "word"),
        ("${empty+word}", "word"),
        ("${unset+word}", ""),
    ],
    "`${variable#pattern}` removes the shortest match of `pattern` from `variable`, seeking from "
    "the start of the string.": [
        ("${str#f*b}", "arbaz"),
        ("${path#/}", "usr/local/bin"),
        ("${str#x*}", "foobarbaz"),
        ("${str#*}", "foobarbaz"),
        ("${unset#x}", ""),
    ],
    "`${variable##pattern}` removes the longest match of `pattern` from `variable`, seeking from "
    "the start of the string.": [
        ("${str##f*b}", "az"),
        ("${path##*/}", "bin"),
        ("${str##*}", ""),
    ],
    "`${variable%pattern}` removes the shortest match of `pattern` from `variable`, seeking "
    "backwards from the end of the string.": [
        ("${str%b*}", "foobar"),
        ("${file%.*}", "a.b.c.tar"),
        ("${str%*}", "foobarbaz"),
    ],
    "`${variable%%pattern}` removes the longest match of `pattern` from `variable`, seeking "
    "backwards from the end of the string.": [
        ("${str%%b*}", "foo"),
        ("${file%%.*}", "a"),
    ],
    "`${variable/pattern/replacement}` replace the first occurrence of `pattern` in `variable` "
    "with `replacement`": [
        ("${str/ba/fo}", "fooforbaz"),
        ("${path/\\/usr/X}", "X/local/bin"),
        ("${file/.*/!}", "a!"),
        ("${unset/a/b}", ""),
    ],
    "`${variable//pattern/replacement}` replaces all occurrences of `pattern` in `variable` with "
    "`replacement`": [
        ("${str//ba/fo}", "fooforfoz"),
        ("${path//\\//-}", "-usr-local-bin"),
        ("${str//ba/}", "foorz"),
    ],
    "In all cases, `word` can be any string, including additional environment variables.": [
        ("${unset:-$foo}", "/bar"),
        ("${unset:-${empty:-${foo}}}", "/bar"),
        ("${str/ba/${foo}}", "foo/barrbaz"),
        ("${str#${str%%b*}}", "barbaz"),
    ],
    "`pattern` is a glob pattern where `?` matches any single character and `*` any number of "
    "characters (including zero). To match literal `?` and `*`, use a backslash escape: `\\?` and "
    "`\\*`.": [
        ("${str#?}", "oobarbaz"),
        ("${str//a?/X}", "foobXbX"),
        ("${star/\\*/S}", "aSb?c"),
        ("${star/\\?/Q}", "a*bQc"),
        ("${str/o*r/-}", "f-baz"),
    ],
    "You can escape whole variable names by adding a `\\` before the variable: `\\$foo` or "
    "`\\${foo}`, for example, will translate to `$foo` and `${foo}` literals respectively.": [
        ("\\$foo", "$foo"),
        ("\\${foo}", "${foo}"),
    ],
}
LIKE_BUILDKIT = [
    ("a$", "a$"),
    ("$ $", "$ $"),
    ("$$", ""),
    ("$1 ${1:-a}", " a"),
    ("\"$foo 'q'\" '$foo'", "/bar 'q' $foo"),
    ('"a\\b\\"\\$"', 'a\\b"$'),
    ("'\\a'", "\\a"),
    ("\\a\\b", "ab"),
    ("a\\", "a"),
    ("a\"b\"c'd'", "abcd"),
    ("$dollar", "$str"),
    ("${unset:-'$foo'}", "$foo"),
    ('"${unset:-"a b"}"', "a b"),
    ("${unset:-a\\}b}", "a}b"),
    ("${str#[f]*}", "foobarbaz"),
    ("${str//./\\.}", "foobarbaz"),
    ("${file//./\\.}", "a\\.b\\.c\\.tar\\.gz"),
    ("${str//ba/\\}}", "foo\\}r\\}z"),
    ("${foo}}", "/bar}"),
    ("$fooé", ""),
    ("${empty/x/y}", ""),
    ("a<b <<EOF", "a<b <<EOF"),
]
MALFORMED = [
    ("${", "missing '}'"),
    ("${foo", "missing '}'"),
    ("${foo:", "missing '}'"),
    ("${foo:-", "missing '}'"),
    ("${}", "bad substitution"),
    ("${{foo}}", "bad substitution"),
    ("${:foo}", "bad substitution"),
    ("${foo^}", r"unsupported modifier \(\^\)"),
    ("${foo:=a}", r"unsupported modifier \(:=\)"),
    ("${foo y}", r"unsupported modifier \( \)"),
    ("${foo/a}", "missing '/'"),
    ("${foo#\\a}", r"invalid pattern \(\\a\)"),
    ("'a", "matching single-quote"),
    ('"a', "matching double-quote"),
    ("${unset?wanted}", "unset: wanted"),
    ("${unset?}", "unset: is not allowed to be unset"),
    ("${unset:?no $foo}", "unset: no /bar"),
    ("${empty:?}", "empty: is not allowed to be empty"),
]


@pytest.mark.parametrize(
    ("written", "expanded"),
    [row for rows in SENTENCES.values() for row in rows] + LIKE_BUILDKIT,
)
def test_a_word_becomes_what_the_reference_says(written: str, expanded: str) -> None:
    assert Lexer(VARIABLES).word(written) == expanded


@pytest.mark.parametrize(("written", "reason"), MALFORMED)
def test_a_malformed_word_says_what_is_wrong(written: str, reason: str) -> None:
    with pytest.raises(WordError, match=reason):
        Lexer(VARIABLES).word(written)


def test_a_set_variable_passes_the_question_mark() -> None:
    assert Lexer(VARIABLES).word("${str?no}${empty?no}${str:?no}") == "foobarbazfoobarbaz"


def test_the_escape_character_may_be_a_backtick() -> None:
    assert Lexer(VARIABLES, "`").word("`$foo c:\\dir \\$foo") == "$foo c:\\dir \\/bar"


def test_names_without_a_value_are_told() -> None:
    lexer = Lexer(VARIABLES)
    lexer.word("$one ${two:-x} $foo ${three+x} ${four#x} '$no' \\$no")
    assert lexer.missing == {"one", "two", "three", "four"}


def test_words_are_split_after_the_values_are_in_but_not_within_quotes() -> None:
    assert Lexer(VARIABLES).words("$blanks \"$blanks\" 'x y' \\ z ''") == [
        *("a", "b", "c"),
        "a b  c",
        "x y",
        " z",
    ]


def test_a_lexer_may_leave_everything_as_it_is() -> None:
    written = ["a\\b", '"x y"', "$unset", "${unset:-d}", "<< END"]
    assert Lexer({}, keep=Keep.ALL).words(" ".join(written)) == written


def test_quotes_are_ordinary_in_a_heredoc() -> None:
    assert Lexer(VARIABLES, quotes=False).word("it's $foo \"\\$foo") == "it's /bar \"$foo"


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param("${" * 1_000_000, id="braces"),
        pytest.param("${a:-" * 1_000_000, id="defaults"),
        pytest.param("${a:-" * 1_000 + "}" * 1_000, id="deep"),
        pytest.param("'" + "a" * 10_000_000, id="quote"),
        pytest.param('"' + "\\a" * 1_000_000, id="escapes"),
        pytest.param("${a" * 1_000_000, id="names"),
        pytest.param("${str#" + "*a" * 500_000 + "}", id="pattern"),
        pytest.param("$str" * 120_000, id="values"),
    ],
)
def test_no_word_takes_long_or_breaks_the_reader(hostile: str) -> None:
    with pytest.raises(WordError):
        Lexer(VARIABLES).word(hostile)


def test_what_variables_may_bring_in_is_bounded_and_the_bound_named() -> None:
    variables = {"a": "x" * 1000}
    with pytest.raises(WordError, match=str(MAX_EXPANDED)):
        Lexer(variables).word("$a" * 2000)
    with pytest.raises(WordError, match=str(MAX_EXPANDED)):
        Lexer(variables).word("${a//x/" + "y" * 2000 + "}")


def test_a_pattern_of_many_stars_takes_no_longer_than_its_length() -> None:
    # A backtracking matcher would not come back from this.
    variables = {"a": "a" * 100_000}
    assert Lexer(variables).word("${a##" + "a*" * 120 + "b}") == variables["a"]
    assert Lexer(variables).word("${a%%" + "*a" * 120 + "}") == ""
