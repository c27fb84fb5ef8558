"""Stages, what they need, and the variables in them. Sentences are of Docker's reference."""

from collections.abc import Mapping

import pytest

from ipycontainer_runtime.build.instructions import Arg, Copy, Env, Instruction, Run, User
from ipycontainer_runtime.build.parse import parse
from ipycontainer_runtime.build.plan import Origin, Plan, plan
from ipycontainer_runtime.build.scope import Globals, Scope, global_scope
from ipycontainer_runtime.build.source import DockerfileError
from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.oci import platform as platforms

BUILD = platforms.parse("linux/amd64")
TARGET = platforms.parse("linux/arm64/v8")
NONE: Mapping[str, str | None] = {}


def outside(text: str, given: Mapping[str, str | None] = NONE) -> Globals:
    return global_scope(parse(text).arguments, given, build=BUILD, target=TARGET)


def planned(text: str, target: str = "", given: Mapping[str, str | None] = NONE) -> Plan:
    return plan(parse(text), outside(text, given), target)


def followed(
    text: str, given: Mapping[str, str | None] = NONE, env: tuple[str, ...] = ()
) -> tuple[Scope, list[Instruction]]:
    """Follow all stages, each on the one before; return the last one's scope and instructions."""
    scope: Scope | None = None
    instructions: list[Instruction] = []
    for stage in planned(text, given=given).needed:
        based = scope if stage.base.stage is not None else None
        scope = Scope(outside(text, given), env, based)
        instructions = [scope.follow(each) for each in stage.instructions]
    assert scope is not None
    return scope, instructions


def users(text: str, given: Mapping[str, str | None] = NONE) -> list[str]:
    return [each.user for each in followed(text, given)[1] if isinstance(each, User)]


def numbers(found: Plan) -> list[int]:
    return [stage.number for stage in found.needed]


MANY = """\
FROM alpine AS Tools
FROM debian AS build
COPY --from=tools a b
FROM golang AS unused
COPY --from=build a b
FROM build AS test
RUN --mount=type=bind,from=unused,target=/x true
FROM scratch
COPY --from=1 /a /b
COPY --from=nginx:alpine /c /d
RUN --mount=from=busybox,target=/e --mount=from=TOOLS,target=/f true
"""


@pytest.mark.parametrize(
    ("target", "needed"),
    [
        ("", [0, 1, 4]),
        ("test", [0, 1, 2, 3]),
        ("TEST", [0, 1, 2, 3]),
        ("build", [0, 1]),
        ("0", [0]),
        ("unused", [0, 1, 2]),
    ],
)
def test_only_the_stages_that_a_target_needs_are_built(target: str, needed: list[int]) -> None:
    assert numbers(planned(MANY, target)) == needed


def test_names_and_numbers_are_stages_and_anything_else_an_image() -> None:
    stages = planned(MANY).stages
    assert stages[3].base == Origin(1)
    assert stages[4].base == Origin(image="scratch")
    assert stages[4].origins == {
        "1": Origin(1),
        "nginx:alpine": Origin(image="nginx:alpine"),
        "busybox": Origin(image="busybox"),
        "TOOLS": Origin(0),
    }
    assert stages[4].images == ("nginx:alpine", "busybox")
    assert [stage.title for stage in stages] == ["tools", "build", "unused", "test", "stage-4"]


def test_the_last_stage_before_with_a_name_is_meant_and_a_stage_may_have_its_images_name() -> None:
    found = planned(
        "FROM alpine AS alpine\nFROM alpine AS a\nFROM x AS a\nFROM a\nCOPY --from=a b c"
    )
    assert [stage.base for stage in found.stages] == [
        Origin(image="alpine"),
        Origin(0),
        Origin(image="x"),
        Origin(2),
    ]
    assert numbers(found) == [2, 3]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "FROM x AS a\nCOPY --from=b c d\nFROM y AS b",
            'line 2: (COPY|RUN): cannot copy from stage "b"',
        ),
        ("FROM x AS a\nCOPY --from=a c d", 'line 2: (COPY|RUN): cannot copy from stage "a"'),
        ("FROM x\nCOPY --from=0 c d", 'line 2: (COPY|RUN): cannot copy from stage "0"'),
        ("FROM x\nCOPY --from=7 c d", "line 2: COPY: invalid stage index 7"),
        (
            "FROM x\nRUN --mount=from=b,target=/m a\nFROM y AS b",
            "line 2: (COPY|RUN): cannot copy from stage",
        ),
        (
            "FROM x\nCOPY --from=$a c d",
            "line 2: COPY: variable expansion is not supported for --from",
        ),
        ("FROM $a", r"line 1: FROM: base name \(\$a\) should not be blank"),
        ("FROM ${a?give me}", "requires either one or three"),
        ("FROM ${a?give}", "line 1: (FROM|ARG): failed to process .*: a: give"),
        ("FROM --platform=$a x", "line 1: FROM: empty platform value from expression \\$a"),
        ("FROM --platform=a/b/c/d x", "line 1: FROM: failed to parse platform a/b/c/d"),
        ("ARG a=${b?give}\nFROM x", "line 1: (FROM|ARG): failed to process .*: b: give"),
    ],
)
def test_what_cannot_be_planned_names_its_line(text: str, reason: str) -> None:
    with pytest.raises(DockerfileError, match=reason):
        planned(text)


def test_a_target_that_is_none_is_refused_with_a_near_one() -> None:
    with pytest.raises(InvalidParameter, match=r'"buidl" could not be found \(did you mean build'):
        planned(MANY, "buidl")


def test_a_platform_is_a_global_argument_or_written() -> None:
    found = planned("FROM --platform=$BUILDPLATFORM x\nFROM --platform=linux/arm/v7 y\nFROM z")
    assert [str(stage.platform) for stage in found.stages] == [
        "linux/amd64",
        "linux/arm/v7",
        "None",
    ]


def test_triggers_come_right_after_from_and_may_need_more_stages() -> None:
    found = planned("FROM x AS one\nFROM y AS two\nRUN own\n")
    assert numbers(found) == [1]
    changed = found.with_triggers(1, ["COPY --from=one /a /b", "RUN trigger"])
    assert numbers(changed) == [0, 1]
    copy, trigger, own = changed.stages[1].instructions
    assert isinstance(copy, Copy)
    assert (copy.span.first, changed.stages[1].triggers) == (2, 2)
    assert isinstance(trigger, Run)
    assert isinstance(own, Run)
    assert (trigger.command.words, own.command.words) == (("trigger",), ("own",))
    assert found.stages[1].triggers == 0


def test_the_triggers_of_a_stage_are_run_by_those_based_on_it_and_not_by_theirs() -> None:
    found = planned("FROM x AS a\nONBUILD RUN trigger\nFROM a AS b\nRUN own\nFROM b\nRUN last")
    texts = [[each.source for each in stage.instructions] for stage in found.stages]
    assert texts == [["ONBUILD RUN trigger"], ["RUN trigger", "RUN own"], ["RUN last"]]


def test_a_trigger_that_is_none_is_refused_at_the_from_that_takes_it() -> None:
    with pytest.raises(DockerfileError, match="line 3: unknown instruction: FOO"):
        planned("FROM x AS a\nONBUILD FOO\nFROM a")


@pytest.mark.parametrize(
    ("text", "given", "expected"),
    [
        pytest.param(
            "FROM x\nUSER ${username:-some_user}\nARG username\nUSER $username",
            {"username": "what_user"},
            ["some_user", "what_user"],
            id="An ARG variable comes into effect from the line on which it is declared",
        ),
        pytest.param(
            "FROM x\nARG a=default\nUSER $a",
            {"a": "given"},
            ["given"],
            id="a value passed at build-time goes before the default",
        ),
        pytest.param(
            "FROM x\nARG a=default\nUSER $a",
            {"a": None},
            ["default"],
            id="if there is no value passed at build-time, the builder uses the default",
        ),
        pytest.param(
            "FROM x\nARG a=1\nENV a=2\nUSER $a\nARG a=3\nUSER $a",
            {"a": "4"},
            ["2", "2"],
            id="variables defined using ENV always override an ARG of the same name",
        ),
        pytest.param(
            "FROM x\nARG a\nENV a=${a:-v1.0.0}\nUSER $a",
            {},
            ["v1.0.0"],
            id="more useful interactions between ARG and ENV",
        ),
        pytest.param(
            "ARG a=1\nFROM x\nUSER u$a\nARG a\nUSER u$a",
            {},
            ["u", "u1"],
            id="An ARG declared before a FROM is outside of a build stage",
        ),
        pytest.param(
            "FROM x AS one\nARG a=1\nFROM one\nUSER u$a",
            {},
            ["u1"],
            id="An ARG is automatically inherited by other stages based on that stage.",
        ),
        pytest.param(
            "FROM x AS one\nARG a=1\nFROM x\nCOPY --from=one b c\nUSER u$a",
            {},
            ["u"],
            id="Unrelated build stages do not have access to the variable.",
        ),
        pytest.param(
            "FROM x\nENV abc=hello\nENV abc=bye def=$abc\nENV ghi=$abc\nUSER $def:$ghi",
            {},
            ["hello:bye"],
            id="the same value for each variable throughout the entire instruction",
        ),
        pytest.param(
            "FROM x\nUSER u$TARGETARCH\nARG TARGETARCH TARGETPLATFORM BUILDPLATFORM\n"
            "USER $TARGETARCH:$TARGETPLATFORM-$BUILDPLATFORM",
            {},
            ["u", "arm64:linux/arm64/v8-linux/amd64"],
            id="redefine it without value",
        ),
        pytest.param("FROM x\nARG a=1 b=$a$a\nUSER $b", {}, ["11"], id="one ARG after another"),
        pytest.param("FROM x\nARG a=${b?no}\nUSER $a", {"a": "1"}, ["1"], id="an unused default"),
        pytest.param("FROM x\nUSER u$a", {"a": "1"}, ["u"], id="given and not declared"),
        pytest.param("FROM x\nARG a=\nUSER ${a-unset}u", {}, ["u"], id="an empty default"),
    ],
)
def test_variables_are(text: str, given: Mapping[str, str | None], expected: list[str]) -> None:
    assert users(text, given) == expected


def test_from_sees_global_arguments_in_their_order() -> None:
    text = "ARG v=1 name=base\nARG full=$name:$v\nFROM $full\nARG v=2\nFROM ${name}:$v-$TARGETARCH"
    assert [stage.base.image for stage in planned(text).stages] == ["base:1", "base:1-arm64"]
    given = {"v": "9", "TARGETARCH": "x"}
    assert [stage.base.image for stage in planned(text, given=given).stages] == [
        "base:9",
        "base:9-x",
    ]


def test_a_run_has_the_declared_arguments_that_no_env_hides() -> None:
    text = "FROM x\nARG a=1 b c=3\nENV c=4\nARG TARGETOS\nRUN y"
    scope, _ = followed(text, {"d": "5"}, ("PATH=/bin",))
    assert scope.arguments == {"a": "1", "TARGETOS": "linux"}
    assert scope.variables == {"a": "1", "TARGETOS": "linux", "c": "4", "PATH": "/bin"}


def test_proxies_need_no_declaration_and_are_then_kept_nowhere() -> None:
    given = {"HTTP_PROXY": "http://user:pass@proxy", "no_proxy": "local", "other": "x"}
    scope, _ = followed("FROM x\nRUN y", given)
    assert scope.proxies == {"HTTP_PROXY": given["HTTP_PROXY"], "no_proxy": "local"}
    assert (scope.arguments, scope.variables) == ({}, {})
    scope, _ = followed("FROM x\nARG HTTP_PROXY\nRUN y", given)
    assert scope.arguments == {"HTTP_PROXY": given["HTTP_PROXY"]}
    assert scope.proxies == {"no_proxy": "local"}


def test_an_argument_keeps_its_default_and_never_what_was_given() -> None:
    _, (arg, env) = followed("FROM x\nARG a=1 secret=$a token\nENV e=$a", {"secret": "hidden"})
    assert isinstance(arg, Arg)
    assert [(each.name, each.default) for each in arg.arguments] == [
        ("a", "1"),
        ("secret", "$a"),
        ("token", None),
    ]
    assert isinstance(env, Env)
    assert env.pairs[0].value == "1"


def test_arguments_that_nothing_declares_are_known() -> None:
    given = dict.fromkeys(("a", "b", "c", "no", "HTTP_PROXY", "TARGETARCH", "BUILDKIT_X"), "1")
    found = planned("ARG a\nFROM x AS one\nARG b\nFROM y\nONBUILD ARG no", given=given)
    assert found.unused_arguments == ["c", "no"]
    assert found.with_triggers(1, ["ARG c"]).unused_arguments == ["no"]


def test_an_undefined_variable_is_told_with_a_near_one() -> None:
    scope, _ = followed("FROM x\nARG version=1 unset\nUSER $verison:$unset:$PATH", {}, ("PATH=/",))
    (found,) = scope.findings
    assert (found.rule, found.span.first) == ("UndefinedVar", 3)
    assert found.message == "Usage of undefined variable '$verison' (did you mean $version?)"


def test_variables_that_double_each_other_end_at_a_bound() -> None:
    lines = "".join(f"ARG a{n + 1}=$a{n}$a{n}\n" for n in range(100))
    for text in (f"ARG a0=xx\n{lines}FROM x", f"FROM x\nARG a0=xx\n{lines}"):
        with pytest.raises(DockerfileError, match="characters"):
            followed(text)
