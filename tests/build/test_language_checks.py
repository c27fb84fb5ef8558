"""The build checks: which line each finds fault with, and its words.

Every case was compared with BuildKit 0.26.3 (`docker buildx build --call=check`).
"""

import json
from pathlib import Path

import pytest

from ipycontainer_runtime.build.checks import check, refuse
from ipycontainer_runtime.build.ignore import Ignore
from ipycontainer_runtime.build.parse import parse
from ipycontainer_runtime.build.plan import plan
from ipycontainer_runtime.build.scope import global_scope
from ipycontainer_runtime.build.source import DockerfileError, Finding
from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.oci import platform as platforms

CASES = json.loads(Path(__file__).with_name("language_checks.json").read_text())


def findings(
    text: str, environments: dict[int, list[str]] | None = None, ignore: Ignore | None = None
) -> list[Finding]:
    file = parse(text)
    here = platforms.parse("linux/amd64")
    outside = global_scope(file.arguments, {}, build=here, target=here)
    return check(plan(file, outside), environments or {}, ignore)


def rules(found: list[Finding]) -> list[str]:
    return [each.rule for each in found]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["dockerfile"])
def test_the_checks_find(case: dict[str, str]) -> None:
    found = findings(case["dockerfile"])
    assert sorted(f"{each.span.first}: {each.rule}: {each.message}" for each in found) == sorted(
        case["findings"]
    )


def test_variables_of_an_unknown_base_image_are_not_said_to_be_undefined() -> None:
    text = "FROM busybox\nWORKDIR $HOME/x\nENV a=$b\n"
    assert findings(text) == []
    assert rules(findings(text, {0: ["HOME=/root"]})) == ["UndefinedVar"]
    assert rules(findings(text, {0: []})) == ["UndefinedVar", "UndefinedVar"]


def test_a_copied_file_that_is_left_out_of_the_context_is_told_when_wanted() -> None:
    text = (
        "# check=experimental=CopyIgnoredFile\nFROM scratch\nCOPY secret a /\nADD secret/x /\n"
        "COPY ./b.txt /\nCOPY *.txt /\nCOPY --from=busybox secret /\n"
    )
    found = findings(text, ignore=Ignore("secret\n*.txt"))
    assert [(each.span.first, each.message.split('"')[1]) for each in found] == [
        (3, "secret"),
        (4, "secret/x"),
        (5, "./b.txt"),
    ]
    assert findings(text.partition("\n")[2], ignore=Ignore("secret\n*.txt")) == []


@pytest.mark.parametrize("option", ["foo", "foo=bar", "error=maybe"])
def test_an_option_of_check_that_is_none_is_refused(option: str) -> None:
    with pytest.raises(InvalidParameter, match="check option"):
        findings(f"# check={option}\nFROM scratch\n")


def test_what_a_stage_refuses_is_left_to_its_build() -> None:
    assert rules(findings("FROM scratch\nMAINTAINER a\nUSER ${b?no}\nMAINTAINER c\n")) == [
        "MaintainerDeprecated"
    ]


def test_a_dockerfile_may_have_its_findings_fail_the_build() -> None:
    text = "FROM scratch\nCMD a\nMAINTAINER b\n"
    refuse(parse(text), findings(text))
    strict = f"# check=error=true\n{text}"
    with pytest.raises(DockerfileError, match=r"line 3: .*: JSONArgsRecommended, MaintainerDepr"):
        refuse(parse(strict), findings(strict))
    refuse(parse(strict), [])
