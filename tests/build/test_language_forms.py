"""The forms of the instructions, and what variables make of them.

Sentences are of Docker's reference; what has none was compared with BuildKit 0.26.3.
"""

from typing import Any

import msgspec
import pytest

from ipycontainer_runtime.build import amounts
from ipycontainer_runtime.build.expand import expanded
from ipycontainer_runtime.build.instructions import Instruction, Mount, Run
from ipycontainer_runtime.build.parse import parse, parse_trigger
from ipycontainer_runtime.build.source import DockerfileError, Span

VARIABLES = {"foo": "/bar", "abc": "hello", "n": "7", "words": "80 81"}
COMMON = {"span", "source", "escape", "comments"}
S = 10**9


def one(text: str) -> Instruction:
    (found,) = parse(f"FROM x\n{text}\n").stages[0].instructions
    return found


def told(instruction: Instruction) -> dict[str, Any]:
    """Return what an instruction says, less what is at its default."""
    return {
        each.name: getattr(instruction, each.name)
        for each in msgspec.structs.fields(instruction)
        if each.name not in COMMON and getattr(instruction, each.name) != each.default
    }


def pairs(instruction: Any) -> list[tuple[str, str]]:
    return [(pair.name, pair.value) for pair in instruction.pairs]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('ENV MY_NAME="John Doe"', [("MY_NAME", "John Doe")]),
        (
            'ENV MY_NAME="John Doe" MY_DOG=Rex\\ The\\ Dog MY_CAT=fluffy',
            [("MY_NAME", "John Doe"), ("MY_DOG", "Rex The Dog"), ("MY_CAT", "fluffy")],
        ),
        ("ENV ONE TWO= THREE=world", [("ONE", "TWO= THREE=world")]),
        ("ENV one  two  three ", [("one", "two  three")]),
        ("ENV abc=bye def=$abc", [("abc", "bye"), ("def", "hello")]),
        ("ENV $abc=x", [("hello", "x")]),
        ("ENV a= b=''", [("a", ""), ("b", "")]),
        ("ENV a=b=c", [("a", "b=c")]),
        ('ENV "a b"=c', [("a b", "c")]),
        ('LABEL version="1.0" com.example.label-with-value=foo', None),
        (
            'LABEL description="This text \\\nspans lines"',
            [("description", "This text spans lines")],
        ),
        (
            "LABEL example='foo-$abc' other=\"foo-$abc\"",
            [("example", "foo-$abc"), ("other", "foo-hello")],
        ),
    ],
)
def test_env_and_label_have_names_with_values(
    text: str, expected: list[tuple[str, str]] | None
) -> None:
    found = pairs(expanded(one(text), VARIABLES))
    assert found == (expected or [("version", "1.0"), ("com.example.label-with-value", "foo")])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('CMD ["a", "b c"]', {"command": (("a", "b c"), False)}),
        ("CMD a  'b' $c", {"command": (("a  'b' $c",), True)}),
        ("CMD", {"command": ((), True)}),
        ("CMD []", {"command": ((), False)}),
        ("ENTRYPOINT ['a']", {"command": (("['a']",), True)}),
        ('RUN ["c:\\windows"]', {"command": (('["c:\\windows"]',), True)}),
        ("RUN [ 1 -eq 1 ] && a", {"command": (("[ 1 -eq 1 ] && a",), True)}),
        ("RUN --network=none a", {"network": "none", "command": (("a",), True)}),
        ("RUN --security=insecure a", {"security": "insecure", "command": (("a",), True)}),
        ("RUN -- --a", {"command": (("--a",), True)}),
        ('SHELL ["powershell", "-command"]', {"words": ("powershell", "-command")}),
        ("STOPSIGNAL SIG$abc", {"signal": "SIGhello"}),
        ("USER $abc:group", {"user": "hello:group"}),
        ("WORKDIR $foo/$nothing", {"path": "/bar/"}),
        ("WORKDIR a b", {"path": "a b"}),
        ("MAINTAINER a b <c>", {"author": "a b <c>"}),
        ("VOLUME /a  $foo", {"paths": ("/a", "/bar")}),
        ('VOLUME ["/a b", "$foo"]', {"paths": ("/a b", "/bar")}),
        ("EXPOSE 80 53/UDP", {"ports": ("53/udp", "80/tcp"), "written": ("53/UDP", "80")}),
        (
            "EXPOSE $words 8000-8002/sctp",
            {
                "ports": ("80/tcp", "81/tcp", "8000/sctp", "8001/sctp", "8002/sctp"),
                "written": ("80", "81", "8000-8002/sctp"),
            },
        ),
        (
            "EXPOSE 127.0.0.1:90:8080",
            {"ports": ("8080/tcp",), "written": ("127.0.0.1:90:8080",)},
        ),
        ("HEALTHCHECK NONE", {"test": ("NONE",)}),
        ("HEALTHCHECK CMD a $b", {"test": ("CMD-SHELL", "a $b")}),
        (
            "HEALTHCHECK --interval=5m --timeout=3s --start-period=1m30s --start-interval=500ms "
            '--retries=4 CMD ["a"]',
            {
                "test": ("CMD", "a"),
                "interval": 300 * S,
                "timeout": 3 * S,
                "start_period": 90 * S,
                "start_interval": S // 2,
                "retries": 4,
            },
        ),
        ("ONBUILD RUN a $b", {"trigger": "RUN a $b"}),
        ("onbuild\tADD . /x ", {"trigger": "ADD . /x "}),
        ("COPY a b /c/", {"sources": ("a", "b"), "destination": "/c/"}),
        ('COPY ["a b", "/c d"]', {"sources": ("a b",), "destination": "/c d"}),
        ("COPY \\$foo $foo/x", {"sources": ("$foo",), "destination": "/bar/x"}),
        (
            "COPY --from=build --chown=$abc:$n --chmod=0$n --link --exclude=*.$abc --exclude=b "
            "--parents=false a /b",
            {
                "sources": ("a",),
                "destination": "/b",
                "origin": "build",
                "chown": "hello:7",
                "chmod": "07",
                "link": True,
                "exclude": ("*.hello", "b"),
            },
        ),
        (
            "ADD --checksum=sha256:$n --keep-git-dir --unpack=false https://x/y.git#v1:sub /b",
            {
                "sources": ("https://x/y.git#v1:sub",),
                "destination": "/b",
                "checksum": "sha256:7",
                "keep_git_dir": True,
                "unpack": False,
            },
        ),
    ],
)
def test_an_instruction_says(text: str, expected: dict[str, Any]) -> None:
    found = told(expanded(one(text), VARIABLES))
    if "command" in found:
        found["command"] = (found["command"].words, found["command"].shell)
    assert found == expected


def mount(text: str) -> Mount:
    found = expanded(one(f"RUN --mount={text} a"), VARIABLES)
    assert isinstance(found, Run)
    return found.mounts[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("target=/x", Mount(target="/x")),
        ("type=bind,source=$foo,dst=/x", Mount(source="/bar", target="/x")),
        (
            "from=build,src=/a,destination=/x,rw",
            Mount(origin="build", source="/a", target="/x", read_only=False),
        ),
        ("target=/x,readonly=false", Mount(target="/x", read_only=False)),
        ("target=/x,readwrite=0", Mount(target="/x")),
        (
            "TYPE=Cache,target=/x/",
            Mount("cache", "/x/", identity="/x", sharing="shared", read_only=False),
        ),
        (
            "type=cache,id=$abc,target=/x,sharing=LOCKED,ro,mode=0700,uid=$n,gid=8",
            Mount("cache", "/x", identity="hello", sharing="locked", mode=0o700, uid=7, gid=8),
        ),
        ("type=tmpfs,target=/x,size=1.5m", Mount("tmpfs", "/x", size=3 << 19, read_only=False)),
        ("type=secret,id=a/b", Mount("secret", "/run/secrets/b", identity="a/b")),
        ("type=secret,target=/x/y,required", Mount("secret", "/x/y", identity="y", required=True)),
        ("type=secret,id=a,env=A", Mount("secret", identity="a", env="A")),
        ("type=secret,src=a,mode=444", Mount("secret", "/run/secrets/a", identity="a", mode=0o444)),
        ("type=ssh", Mount("ssh", identity="default")),
        ("type=ssh,id=k,target=/s,required=true", Mount("ssh", "/s", identity="k", required=True)),
        ('type=bind,"target=/a,b"', Mount(target="/ab")),
    ],
)
def test_a_mount_means(text: str, expected: Mount) -> None:
    if '"' in text:
        # A flag loses its quotes before its fields are read, so a comma cannot be quoted.
        with pytest.raises(DockerfileError, match="invalid field 'b'"):
            mount(text)
    else:
        assert mount(text) == expected


def test_mounts_are_known_before_expansion_where_no_variable_is_in_them() -> None:
    plain, variable = one("RUN --mount=target=/x a"), one("RUN --mount=target=$foo,from=b a")
    assert isinstance(plain, Run)
    assert isinstance(variable, Run)
    assert plain.mounts == (Mount(target="/x"),)
    assert (variable.mounts, variable.origins) == ((), ("b",))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("FROM", "FROM requires either one or three arguments"),
        ("FROM a b", "FROM requires either one or three arguments"),
        ("FROM a AS 1b", 'invalid name for build stage: "1b"'),
        ("FROM --foo=x a", "unknown flag: --foo"),
        ("FROM --platform a", "missing a value on flag: platform"),
        ("ENV", "ENV requires at least one argument"),
        ("ENV a", "ENV must have two arguments"),
        ("ENV a=b c", 'can\'t find = in "c"'),
        ("ENV =b", "ENV names can not be blank"),
        ("ENV a='b", "matching single-quote"),
        ('ENV a="${b?must be given}"', "b: must be given"),
        ("LABEL", "LABEL requires at least one argument"),
        ("ARG", "ARG requires at least one argument"),
        ("ARG =a", "ARG names can not be blank"),
        ("COPY a", "COPY requires at least two arguments, but only one was provided"),
        ("ADD", "ADD requires at least two arguments"),
        ("COPY --chwn=a b c", r"unknown flag: --chwn \(did you mean chown\?\)"),
        ("COPY --from=a --from=b c d", "duplicate flag specified: from"),
        ("COPY --link=yes a b", "expecting boolean value for flag link, not: yes"),
        ("COPY --link= a b", "missing a value on flag: link"),
        ("COPY [1, 2]", "arrays must be comprised of strings only"),
        ("RUN --network=foo a", 'network "foo" is not valid: use one of default, none, host'),
        ("RUN --network= a", 'network "" is not valid'),
        ("RUN --security=foo a", 'security "foo" is not valid'),
        ("RUN --device=x a", "unknown flag: --device"),
        ("RUN --mount= a", "failed to parse csv mounts"),
        ("RUN [1]", "arrays must be comprised of strings only"),
        ("RUN --mount=type=foo a", 'unsupported mount type "foo"'),
        ("RUN --mount=foo=1 a", "unexpected key 'foo' in 'foo=1'"),
        ("RUN --mount=foo a", "invalid field 'foo' must be a key=value pair"),
        ("RUN --mount=target a", "invalid field 'target' must be a key=value pair"),
        ("RUN --mount=from=$foo,target=/x a", "'from' doesn't support variable expansion"),
        ("RUN --mount=target=/x,required a", "unexpected key 'required' for mount type 'bind'"),
        ("RUN --mount=target=/x,size=1 a", "unexpected key 'size' for mount type 'bind'"),
        ("RUN --mount=target=/x,mode=0 a", 'mode not allowed for "bind" type mounts'),
        ("RUN --mount=type=cache,mode=9,target=/x a", "invalid value 9 for mode"),
        ("RUN --mount=type=cache,uid=-1,target=/x a", "invalid value -1 for uid"),
        ("RUN --mount=type=cache,sharing=x,target=/x a", 'unsupported sharing value "x"'),
        ("RUN --mount=type=tmpfs,size=x,target=/x a", "invalid value for size: x"),
        ("RUN --mount=target=/x,ro=maybe a", "invalid value for readonly: maybe"),
        ("RUN --mount=target=/x,sharing=shared a", "invalid cache sharing set for bind mount"),
        ("RUN --mount=type=secret a", "one of source, target required"),
        ("RUN --mount=type=secret,id=a,src=b a", "both source and id can't be set"),
        ("RUN --mount=type=secret,id=a,from=b a", "secret mount should not have a from"),
        ("SHELL a b", "SHELL requires the arguments to be in JSON form"),
        ("SHELL []", "SHELL requires at least one argument"),
        ("HEALTHCHECK", "HEALTHCHECK requires at least one argument"),
        ("HEALTHCHECK FOO", 'Unknown type "FOO" in HEALTHCHECK'),
        ("HEALTHCHECK NONE a", "HEALTHCHECK NONE takes no arguments"),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK --interval=1 CMD a", 'invalid duration "1"'),
        ("HEALTHCHECK --interval=1us CMD a", 'Interval "interval" cannot be less than 1ms'),
        ("HEALTHCHECK --retries=-1 CMD a", "--retries cannot be negative"),
        ("HEALTHCHECK --retries=a CMD a", "--retries is no number: a"),
        ("EXPOSE", "EXPOSE requires at least one argument"),
        ("EXPOSE a", "invalid containerPort: a"),
        ("EXPOSE 70000", "invalid containerPort: 70000"),
        ("EXPOSE 9-8", "invalid containerPort: 9-8"),
        ("EXPOSE 80/foo", "invalid proto: foo"),
        ("USER", "USER requires exactly one argument"),
        ("WORKDIR", "WORKDIR requires exactly one argument"),
        ("STOPSIGNAL", "STOPSIGNAL requires exactly one argument"),
        ("VOLUME", "VOLUME requires at least one argument"),
        ('VOLUME [""]', "VOLUME specified can not be an empty string"),
        ("ONBUILD", "ONBUILD requires at least one argument"),
        ("ONBUILD ONBUILD RUN a", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("ONBUILD FROM a", "FROM isn't allowed as an ONBUILD trigger"),
        ("ONBUILD MAINTAINER a", "MAINTAINER isn't allowed as an ONBUILD trigger"),
        ("USER --a b", "unknown flag: --a"),
    ],
)
def test_what_is_refused_names_the_line_and_why(text: str, reason: str) -> None:
    with pytest.raises(DockerfileError, match=reason) as refused:
        expanded(parse(f"FROM x\n{text}\n").stages[-1].instructions[0], VARIABLES)
    assert refused.value.span == Span(2, 2)
    assert str(refused.value).startswith("dockerfile parse error on line 2: ")


def test_a_destination_is_no_heredoc() -> None:
    with pytest.raises(DockerfileError, match="lines 2-4: COPY cannot accept a heredoc as a dest"):
        one("COPY a <<E\nhi\nE")


def test_a_heredoc_expands_variables_but_keeps_quotes_unless_its_name_is_quoted() -> None:
    found = one("COPY <<one <<'two' /to/\nit's $abc \\$abc ${n}\none\nit's $abc\ntwo")
    documents = told(expanded(found, VARIABLES))["documents"]
    assert [each.content for each in documents] == ["it's hello $abc 7\n", "it's $abc\n"]


def test_run_cmd_and_entrypoint_leave_variables_to_the_shell() -> None:
    for text in ("RUN echo $foo", "CMD echo $foo", 'ENTRYPOINT ["$foo"]'):
        found = one(text)
        assert expanded(found, VARIABLES) == found


def test_a_trigger_is_one_instruction_and_has_the_lines_of_its_from() -> None:
    span = Span(3, 3)
    found = parse_trigger("COPY <<E /x\nhi\nE", span)
    assert (found.span, told(found)["documents"][0].content) == (span, "hi\n")
    with pytest.raises(DockerfileError, match="line 3: onbuild trigger should be a single"):
        parse_trigger("RUN a\nRUN b", span)
    for text in ("FROM a", "ONBUILD RUN a", "MAINTAINER a"):
        with pytest.raises(DockerfileError, match="isn't allowed as an ONBUILD trigger"):
            parse_trigger(text, span)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("1m30s", 90 * S),
        ("1.5h", 5400 * S),
        (".5s", S // 2),
        ("1s500ms", 3 * S // 2),
        ("+1us", 1000),
        ("-1µs", -1000),
        ("9223372036s", 9223372036 * S),
    ],
)
def test_durations_are_gos(text: str, nanoseconds: int) -> None:
    assert amounts.duration(text) == nanoseconds


@pytest.mark.parametrize(
    "text", ["", "1", "s", "1x", ".s", "1 s", "++1s", "9223372037s", "9" * 999]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid duration"):
        amounts.duration(text)
