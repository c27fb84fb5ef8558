"""Profiles of a person's own: what they compile to is what libseccomp makes of them."""

import json
import random
from pathlib import Path
from typing import Any

import bpf_interpreter as bpf
import pytest
from libseccomp import ARCHES, Comparison, Libseccomp

from ipycontainer_runtime.errors import InvalidParameter, NotImplementedHere
from ipycontainer_runtime.linux import capabilities
from ipycontainer_runtime.linux.seccomp import conditional, custom, table

OPERATORS = "NE LT LE EQ GE GT MASKED_EQ"  # libseccomp's enum scmp_compare counts them from 1
ALLOW, ERRNO, NOSYS = 0x7FFF0000, 0x00050000, 0x00050000 | 38
VALUES = [0, 1, 2, 37, 38, 39, 0xFFFFFFFF, 1 << 32, (1 << 32) + 38, (1 << 33) | 37, (1 << 64) - 1]


@pytest.fixture(scope="module")
def libseccomp() -> Libseccomp:
    return Libseccomp()


def profile(*syscalls: dict[str, Any], **fields: Any) -> dict[str, Any]:
    archs = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    wanted = {"defaultAction": "SCMP_ACT_ERRNO", "architectures": archs, "syscalls": syscalls}
    return wanted | fields


def rule(*names: str, action: str = "ALLOW", args: Any = (), **fields: Any) -> dict[str, Any]:
    return {"names": names, "action": f"SCMP_ACT_{action}", "args": args} | fields


def argument(index: int, operator: str, value: int, second: int = 0) -> dict[str, Any]:
    return {"index": index, "op": f"SCMP_CMP_{operator}", "value": value, "valueTwo": second}


def ask(wanted: dict[str, Any], call: str, *arguments: int, arch: str = "x86_64") -> int:
    program = bpf.unpack(custom.compiled(wanted, "x86_64"))
    return bpf.run(program, ARCHES[arch], table(arch)[call], *arguments)


@pytest.mark.parametrize("second", [0, 37, 38, 1 << 32])
@pytest.mark.parametrize("operator", OPERATORS.split())
def test_a_comparison_is_libseccomps(operator: str, second: int, libseccomp: Libseccomp) -> None:
    number = OPERATORS.split().index(operator) + 1
    for value in VALUES:
        wanted = profile(rule("socket", args=[argument(1, operator, value, second)]))
        asked = Comparison(1, number, value, second)
        theirs = bpf.unpack(
            libseccomp.compile_rules("x86_64", ERRNO | 1, {"socket": [(ALLOW, [asked])]})
        )
        ours = bpf.unpack(custom.compiled(wanted, "x86_64"))
        for given in VALUES:
            call = (ARCHES["x86_64"], table("x86_64")["socket"], 0, given)
            assert bpf.run(ours, *call) == bpf.run(theirs, *call), (hex(value), hex(given))


def test_every_condition_of_a_rule_must_hold() -> None:
    wanted = profile(rule("socket", args=[argument(0, "EQ", 2), argument(2, "GT", 5)]))
    assert ask(wanted, "socket", 2, 0, 6) == ALLOW
    assert ask(wanted, "socket", 2, 0, 5) == ERRNO | 1
    assert ask(wanted, "socket", 1, 0, 6) == ERRNO | 1


def test_one_argument_asked_twice_is_an_alternative() -> None:
    wanted = profile(rule("socket", args=[argument(0, "EQ", 2), argument(0, "EQ", 10)]))
    assert [ask(wanted, "socket", family) for family in (2, 10, 3)] == [ALLOW, ALLOW, ERRNO | 1]


def test_a_rule_without_conditions_comes_before_those_with_some(libseccomp: Libseccomp) -> None:
    conditional_rule = rule("socket", action="ERRNO", errnoRet=7, args=[argument(0, "EQ", 1)])
    plain = rule("socket")
    for rules in ([conditional_rule, plain], [plain, conditional_rule]):
        assert ask(profile(*rules), "socket", 1) == ALLOW


@pytest.mark.parametrize(
    ("action", "errno", "answer"),
    [
        ("KILL", None, 0),
        ("KILL_THREAD", None, 0),
        ("KILL_PROCESS", None, 0x80000000),
        ("TRAP", None, 0x00030000),
        ("LOG", None, 0x7FFC0000),
        ("TRACE", 5, 0x7FF00005),
        ("ERRNO", 38, ERRNO | 38),
        ("ERRNO", None, ERRNO | 1),
    ],
)
def test_an_action_is_the_kernels(action: str, errno: int | None, answer: int) -> None:
    wanted = profile(rule("mkdir", action=action, errnoRet=errno), defaultAction="SCMP_ACT_ALLOW")
    assert ask(wanted, "mkdir") == answer
    assert ask(wanted, "rmdir") == ALLOW


def test_calls_of_later_kernels_are_unknown_unless_all_is_allowed() -> None:
    for default, answer in (("ERRNO", NOSYS), ("KILL", NOSYS), ("ALLOW", ALLOW)):
        wanted = profile(defaultAction=f"SCMP_ACT_{default}")
        program = bpf.unpack(custom.compiled(wanted, "x86_64"))
        assert bpf.run(program, ARCHES["x86_64"], 900) == answer


def test_a_list_of_refusals_holds_for_x32_too() -> None:
    wanted = profile(rule("mkdir", action="ERRNO"), defaultAction="SCMP_ACT_ALLOW")
    program = bpf.unpack(custom.compiled(wanted, "x86_64"))
    assert bpf.run(program, ARCHES["x86_64"], 0x40000000 | table("x86_64")["mkdir"]) == NOSYS


def test_an_architecture_that_is_not_named_is_killed() -> None:
    wanted = profile(rule("mkdir"), architectures=["SCMP_ARCH_X86_64"])
    assert ask(wanted, "mkdir") == ALLOW
    assert ask(wanted, "mkdir", arch="i386") == bpf.KILL_PROCESS
    assert ask(profile(rule("mkdir")), "mkdir", arch="i386") == ALLOW


PODMANS = Path("/usr/share/containers/seccomp.json")


@pytest.mark.parametrize("caps", [capabilities.DEFAULT, frozenset(capabilities.NAMES), frozenset()])
@pytest.mark.parametrize("arch", ["x86_64", "i386"])
def test_podmans_profile_is_what_libseccomp_makes_of_it(
    arch: str, caps: frozenset[str], libseccomp: Libseccomp
) -> None:
    if not PODMANS.exists():
        pytest.skip(f"needs {PODMANS}: apt install golang-github-containers-common")
    wanted = conditional.resolved(PODMANS.read_text(), caps, "x86_64", "6.1.0")
    ours = bpf.unpack(custom.compiled(wanted, "x86_64"))
    rules = {
        name: [(r.action, [_comparison(c) for c in r.conditions]) for r in of_call]
        for name, of_call in custom._rules(wanted["syscalls"], NOSYS).items()
    }
    # libseccomp takes i386's socketcall to be the calls it stands for; here it is one of its own.
    multiplexed = ("socket", "socketcall", "ipc") if arch == "i386" else ()
    theirs = bpf.unpack(libseccomp.compile_rules(arch, NOSYS, rules))
    for name, number in libseccomp.numbers(arch).items():
        if name in multiplexed:
            continue
        for given in (0, 2, 8, 16, 38, 0x20008, 0x7E020080, 1 << 32):
            call = (ARCHES[arch], number, given, 3, 9)
            assert bpf.run(ours, *call) == bpf.run(theirs, *call), (name, given)


def _comparison(condition: custom.Condition) -> Comparison:
    operator = OPERATORS.split().index(condition.operator.removeprefix("SCMP_CMP_")) + 1
    return Comparison(condition.argument, operator, condition.value, 0)


def test_lists_are_for_capabilities_machines_and_kernels() -> None:
    def calls(**fields: Any) -> bool:
        text = json.dumps(profile({**rule("mkdir"), **fields}))
        caps = frozenset({"CAP_CHOWN", "CAP_KILL"})
        return bool(conditional.resolved(text, caps, "x86_64", "5.10.0-rc1")["syscalls"])

    assert calls(includes={"caps": ["CAP_CHOWN", "CAP_KILL"]})
    assert not calls(includes={"caps": ["CAP_CHOWN", "CAP_BPF"]})
    assert not calls(excludes={"caps": ["CAP_BPF", "CAP_KILL"]})
    assert calls(includes={"arches": ["arm64", "amd64"]})
    assert not calls(includes={"arches": ["s390x"]})
    assert not calls(excludes={"arches": ["amd64"]})
    assert calls(includes={"minKernel": "5.10"})
    assert not calls(includes={"minKernel": "5.11"})
    assert not calls(excludes={"minKernel": "4.8"})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "Decoding seccomp profile failed"),
        ("[]", "Decoding seccomp profile failed"),
        ('{"defaultAction": "SCMP_ACT_WISH"}', "SCMP_ACT_WISH"),
        ("{}", "defaultAction"),
        (json.dumps(profile(rule("mkdir", args=[argument(6, "EQ", 1)]))), "'index': 6"),
        (json.dumps(profile(rule("mkdir", args=[argument(0, "IS", 1)]))), "SCMP_CMP_IS"),
        (json.dumps(profile(rule("mkdir", args=[argument(0, "EQ", -1)]))), "'value': -1"),
        (json.dumps(profile(architectures=["PDP11"])), "PDP11"),
        (json.dumps(profile({**rule("mkdir"), "name": "rmdir"})), "'name' and 'names'"),
        (json.dumps(profile(archMap=[{"architecture": "x"}])), "archMap"),
    ],
)
def test_what_is_no_profile_is_refused(text: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match=why):
        conditional.cached_profile(tmp_path, text, frozenset())
    assert list(tmp_path.iterdir()) == []


def test_a_profile_longer_than_the_kernel_takes_is_refused() -> None:
    many = [rule("socket", args=[argument(0, "EQ", number)]) for number in range(2000)]
    with pytest.raises(InvalidParameter, match="4096"):
        custom.compiled(profile(*many), "x86_64")


def test_a_listener_is_refused_by_name() -> None:
    with pytest.raises(NotImplementedHere, match="SCMP_ACT_NOTIFY"):
        custom.compiled(profile(rule("mkdir", action="NOTIFY")), "x86_64")
    with pytest.raises(NotImplementedHere, match="listenerPath"):
        custom.compiled(profile(listenerPath="/run/x"), "x86_64")


def test_a_file_is_kept_for_each_set_of_capabilities(tmp_path: Path) -> None:
    text = json.dumps(profile({**rule("mkdir"), "includes": {"caps": ["CAP_KILL"]}}))
    with_it = conditional.cached_profile(tmp_path, text, frozenset({"CAP_KILL"}))
    without = conditional.cached_profile(tmp_path, text, frozenset())
    assert with_it != without
    assert with_it == conditional.cached_profile(tmp_path, text, frozenset({"CAP_KILL"}))
    assert with_it.read_bytes() != without.read_bytes()


@pytest.mark.parametrize("arch", ["x86_64", "i386"])
def test_calls_are_faked_where_the_profile_lets_them_through(arch: str) -> None:
    refused = rule("fchown", action="ERRNO", errnoRet=7)
    some = rule("setuid", args=[argument(0, "EQ", 5)])
    wanted = profile(refused, some, rule("chown"), rule("mkdir"))
    faked = frozenset({"chown", "fchown", "setuid", "lchown"})
    program = bpf.unpack(custom.compiled(wanted, "x86_64", faked))

    def answer(call: str, *arguments: int) -> int:
        return bpf.run(program, ARCHES[arch], table(arch)[call], *arguments)

    assert [answer(call) for call in ("chown", "mkdir")] == [ERRNO, ALLOW]
    assert [answer(call) for call in ("fchown", "lchown")] == [ERRNO | 7, ERRNO | 1]
    assert [answer("setuid", uid) for uid in (5, 6)] == [ERRNO, ERRNO | 1]


def test_random_rules_say_what_reading_them_says() -> None:
    chance = random.Random(5)
    for _ in range(40):
        args = [
            [argument(i, chance.choice(["EQ", "NE", "GT", "LE"]), chance.choice(VALUES))
             for i in sorted(chance.sample(range(6), chance.randint(1, 4)))]
            for _ in range(chance.randint(1, 5))
        ]  # fmt: skip
        wanted = profile(*(rule("socket", args=a) for a in args))
        for _ in range(20):
            given = [chance.choice(VALUES) for _ in range(6)]
            fits = any(all(_holds(c, given) for c in a) for a in args)
            assert (ask(wanted, "socket", *given) == ALLOW) == fits


def _holds(condition: dict[str, Any], given: list[int]) -> bool:
    value, asked = given[condition["index"]], condition["value"]
    names = {"EQ": value == asked, "NE": value != asked, "GT": value > asked, "LE": value <= asked}
    return names[condition["op"].removeprefix("SCMP_CMP_")]
