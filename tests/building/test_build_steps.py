"""What is told by step, what is the same twice, what is nowhere to be found."""

import base64
import json
import os
import re
import socket
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest

from support.builds import build, image_of, text
from support.engines import Engine

pytestmark = [pytest.mark.needs("busybox", "docker"), pytest.mark.ordinary_user]


def steps(told: list[dict[str, object]]) -> dict[str, list[str]]:
    """Return the states that each step went through."""
    found: dict[str, list[str]] = {}
    for message in told:
        step = message.get("step")
        if isinstance(step, dict) and "state" in step:
            states = found.setdefault(step["id"], [])
            if states[-1:] != [step["state"]]:
                states.append(step["state"])
    return found


def test_every_step_is_told_as_it_goes(shared_engine: Engine, busybox: str) -> None:
    lines = f"FROM {busybox} AS base\nRUN echo steps > /x\nFROM base as last\nRUN cat /x\n"
    files = {"Dockerfile": lines}
    first = build(shared_engine, files, "progress=steps")
    assert steps(first) == {
        "base:1": ["waiting", "running", "done"],
        "base:2": ["waiting", "running", "done"],
        "last:3": ["waiting", "running", "done"],
        "last:4": ["waiting", "running", "done"],
    }
    assert {"step": {"id": "last:4"}, "stream": "steps\n"} in first
    (warning,) = [message["warning"] for message in first if "warning" in message]
    assert (warning["first"], warning["text"]) == (3, "FROM base as last")
    again = build(shared_engine, files, "progress=steps")
    assert steps(again)["last:4"] == ["waiting", "running", "cached"]


def test_an_argument_that_nothing_declares_is_warned_of(
    shared_engine: Engine, busybox: str
) -> None:
    files = {"Dockerfile": f"FROM {busybox}\n"}
    given = quote(json.dumps({"no": "1"}))
    told = build(shared_engine, files, f"progress=steps&buildargs={given}")
    warned = [message["warning"] for message in told if "warning" in message]
    assert warned == [{"message": "One or more build-args [no] were not consumed"}]


def test_the_states_before_a_failed_step_are_told_before_it(
    shared_engine: Engine, busybox: str
) -> None:
    lines = f"FROM {busybox} AS base\nFROM {busybox}\nCOPY --from=base /nothing /\n"
    told = build(shared_engine, {"Dockerfile": lines}, "nocache=1")
    found = re.findall("^(?:Step ./3| --->)", text(told), re.MULTILINE)
    assert found == ["Step 1/3", " --->", "Step 2/3", " --->", "Step 3/3"]
    assert "file not found in base: stat nothing: file does not exist" in told[-1]["error"]


def test_a_failed_step_is_told_with_its_lines_its_log_and_the_state_before(
    shared_engine: Engine, busybox: str
) -> None:
    lines = f"FROM {busybox}\nRUN echo kept > /kept\n# here\nRUN echo no \\\n && exit 9\n"
    error = build(shared_engine, {"Dockerfile": lines}, "progress=steps")[-1]
    detail = error["errorDetail"]
    assert (detail["step"], detail["code"], detail["first"], detail["last"]) == (
        "stage-0:3",
        9,
        4,
        5,
    )
    assert detail["text"] == "RUN echo no \\\n && exit 9"
    assert detail["log"] == "no\n"
    run = ("run", "--rm", "--network", "none", detail["image"], "cat", "/kept")
    assert shared_engine.succeed(*run) == "kept"


def test_the_same_inputs_at_the_same_time_have_the_same_digest(
    shared_engine: Engine, busybox: str
) -> None:
    lines = (
        f"FROM {busybox} AS one\nRUN echo a > /a && ln -s a /b && mkdir -p /d/e\n"
        f"FROM {busybox}\nWORKDIR /w\nCOPY --from=one /a /d /c/\nCOPY x .\nRUN rm /bin/vi\n"
        "COPY <<EOF /doc\nhello\nEOF\n"
    )
    arguments = quote(json.dumps({"SOURCE_DATE_EPOCH": "1700000000"}))
    files = {"Dockerfile": lines, "x": "x"}
    query = f"nocache=1&buildargs={arguments}"
    images = {image_of(build(shared_engine, files, query)) for _ in range(2)}
    assert len(images) == 1
    (image,) = images
    shown = json.loads(shared_engine.succeed("image", "inspect", image))[0]
    assert shown["Created"] == "2023-11-14T22:13:20Z"


def test_a_secret_is_in_its_step_and_nowhere_else(engine: Engine, busybox: str) -> None:
    engine.succeed("pull", "-q", busybox)
    secret = "tell-nobody-4711"
    given = {"secrets": {"s": base64.b64encode(secret.encode()).decode()}}
    header = base64.b64encode(json.dumps(given).encode()).decode()
    lines = (
        f"FROM {busybox}\n"
        "RUN --mount=type=secret,id=s,required wc -c < /run/secrets/s\n"
        "RUN --mount=type=secret,id=s,env=TOKEN test ${#TOKEN} = 16 && touch /ok\n"
    )
    told = build(engine, {"Dockerfile": lines}, X_Ipycontainer_Build=header)
    assert "16\n" in text(told)
    image = image_of(told)
    # Another secret is no reason to do the step again: it is in no key.
    other = {"secrets": {"s": base64.b64encode(b"something-else").decode()}}
    header = base64.b64encode(json.dumps(other).encode()).decode()
    again = build(engine, {"Dockerfile": lines}, X_Ipycontainer_Build=header)
    assert image_of(again) == image
    run = ("run", "--rm", "--network", "none", image, "ls", "-A", "/")
    assert "run" not in engine.succeed(*run).split(), "the mount point is gone as well"
    found = subprocess.run(
        ["grep", "-rlF", secret, str(engine.paths.root), str(engine.paths.run)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout == ""
    missing = build(engine, {"Dockerfile": lines}, "nocache=1")
    assert "secret s: not found" in missing[-1]["error"]


def test_a_step_reaches_the_agent_that_it_was_lent(
    shared_engine: Engine, busybox: str, tmp_path: Path
) -> None:
    lines = (
        f"FROM {busybox}\n"
        "RUN --mount=type=ssh,required test -S $SSH_AUTH_SOCK && echo agent at $SSH_AUTH_SOCK\n"
        "RUN test -z $SSH_AUTH_SOCK && ! ls /run\n"
    )
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(tmp_path / "agent"))
        given = {"ssh": {"default": str(tmp_path / "agent")}}
        header = base64.b64encode(json.dumps(given).encode()).decode()
        told = build(shared_engine, {"Dockerfile": lines}, X_Ipycontainer_Build=header)
    assert "agent at /run/buildkit/ssh_agent.0\n" in text(told)
    image_of(told)
    error = build(shared_engine, {"Dockerfile": lines}, "nocache=1")[-1]["error"]
    assert "ssh agent default: not found" in error


def test_a_step_that_is_lent_two_agents_has_both(
    shared_engine: Engine, busybox: str, tmp_path: Path
) -> None:
    # Each is where BuildKit has it: ssh_agent.N, and the variable names the first.
    lines = (
        f"FROM {busybox}\n"
        "RUN --mount=type=ssh,id=one --mount=type=ssh,id=two stat -c %i "
        "/run/buildkit/ssh_agent.0 /run/buildkit/ssh_agent.1 && echo first $SSH_AUTH_SOCK\n"
    )
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as two:
        one.bind(str(tmp_path / "one"))
        two.bind(str(tmp_path / "two"))
        given = {"ssh": {name: str(tmp_path / name) for name in ("one", "two")}}
        header = base64.b64encode(json.dumps(given).encode()).decode()
        told = build(shared_engine, {"Dockerfile": lines}, X_Ipycontainer_Build=header)
        numbers = [os.stat(tmp_path / name).st_ino for name in ("one", "two")]
    said = "\n".join(map(str, numbers))
    assert f"{said}\nfirst /run/buildkit/ssh_agent.0\n" in text(told)


def test_independent_stages_run_side_by_side(shared_engine: Engine, busybox: str) -> None:
    meeting = "--mount=type=cache,target=/m,id=meet"
    waits = "i=0; until [ -e /m/{} ]; do i=$((i+1)); [ $i -lt 300 ] || exit 1; sleep 0.1; done"
    lines = (
        f"FROM {busybox} AS a\nRUN {meeting} touch /m/a; {waits.format('b')}\n"
        f"FROM {busybox} AS b\nRUN {meeting} touch /m/b; {waits.format('a')}; touch /b\n"
        f"FROM {busybox} AS unused\nRUN exit 1\n"
        "FROM a\nCOPY --from=b /b /b\n"
    )
    told = build(shared_engine, {"Dockerfile": lines})
    image_of(told)
    assert "AS unused" not in text(told)


def test_what_a_step_writes_to_a_bind_mount_is_discarded(
    shared_engine: Engine, busybox: str
) -> None:
    lines = (
        f"FROM {busybox} AS other\nRUN mkdir /o && echo o > /o/f\n"
        f"FROM {busybox}\n"
        "RUN --mount=target=/m,rw echo changed > /m/a && rm /m/b && cat /m/a\n"
        "RUN --mount=target=/m cat /m/a /m/b; ! touch /m/c\n"
        "RUN --mount=from=other,source=/o,target=/m,rw echo new > /m/f && cat /m/f\n"
        "RUN --mount=from=other,source=/o,target=/m cat /m/f\n"
        "RUN ! ls /m\n"
    )
    said = text(build(shared_engine, {"Dockerfile": lines, "a": "a\n", "b": "b\n"}))
    assert "changed\n" in said
    assert "a\nb\n" in said
    assert "new\n" in said
    assert "o\n" in said
    assert "Successfully built" in said


def test_a_cache_from_an_image_that_proves_it_needs_no_build(
    engine: Engine, busybox: str, tmp_path: Path
) -> None:
    engine.succeed("pull", "-q", busybox)
    lines = f'FROM {busybox}\nCOPY a /a\nRUN date > /when\nCMD ["x"]\n'
    files = {"Dockerfile": lines, "a": "a"}
    first = image_of(build(engine, files, "t=seed"))
    engine.succeed("save", "-o", str(tmp_path / "seed.tar"), "seed")
    engine.succeed("rmi", "seed")
    engine.succeed("builder", "prune", "-af")
    engine.succeed("load", "-i", str(tmp_path / "seed.tar"))
    assert text(build(engine, files)).count("Using cache") == 0
    engine.succeed("builder", "prune", "-af")
    named = quote(json.dumps(["seed"]))
    again = build(engine, files, f"cachefrom={named}")
    assert text(again).count("Using cache") == 3
    assert image_of(again) == first
    changed = {**files, "a": "b"}
    assert text(build(engine, changed, f"cachefrom={named}")).count("Using cache") == 0


def test_an_image_proves_no_step_whose_inputs_its_history_leaves_out(
    shared_engine: Engine, busybox: str
) -> None:
    lines = f"FROM {busybox}\nLABEL row=proof\n"
    for before, after in (
        ("COPY --chmod=755 a /a", "COPY --chmod=600 a /a"),
        ("RUN --mount=source=a,target=/m cp /m /b", "RUN --mount=source=c,target=/m cp /m /b"),
        ("RUN <<E\n#!/bin/sh\necho 1 > /b\nE", "RUN <<E\n#!/bin/sh\necho 2 > /b\nE"),
    ):
        files = {"a": "a", "c": "c"}
        build(shared_engine, {"Dockerfile": f"{lines}{before}\n", **files}, "t=proof")
        named = f"cachefrom={quote(json.dumps(['proof']))}"
        told = text(build(shared_engine, {"Dockerfile": f"{lines}{after}\n", **files}, named))
        assert told.count("Using cache") == 1, after


def test_what_a_named_image_proves_is_believed_by_that_build_alone(
    engine: Engine, busybox: str
) -> None:
    engine.succeed("pull", "-q", busybox)
    files = {"Dockerfile": f"FROM {busybox}\nRUN date > /when\n"}
    build(engine, files, "t=seed")
    engine.succeed("builder", "prune", "-af")
    named = f"cachefrom={quote(json.dumps(['seed']))}"
    assert text(build(engine, files, named)).count("Using cache") == 1
    assert text(build(engine, files)).count("Using cache") == 0


def test_steps_that_want_the_same_locked_caches_do_not_wait_for_each_other_for_ever(
    shared_engine: Engine, busybox: str
) -> None:
    first, second = (f"--mount=type=cache,id={name},sharing=locked,target=/{name}" for name in "xy")
    again = "--mount=type=cache,id=x,sharing=locked,target=/again"
    lines = (
        f"FROM {busybox} AS one\nRUN {first} {second} {again} sleep 0.1; echo one > /one\n"
        f"FROM {busybox}\nRUN {second} {first} sleep 0.1\nCOPY --from=one /one /\n"
    )
    image_of(build(shared_engine, {"Dockerfile": lines}, "nocache=1"))


def test_a_cache_that_begins_with_other_files_is_another_one(
    shared_engine: Engine, busybox: str
) -> None:
    step = "RUN --mount=type=cache,id=begun,from=one,target=/c cat /c/f"
    for content in "12":
        lines = f"FROM scratch AS one\nCOPY f /\nFROM {busybox}\n{step}\n"
        told = text(build(shared_engine, {"Dockerfile": lines, "f": f"said {content}\n"}))
        assert f"said {content}\n" in told


def test_stages_that_begin_a_cache_together_share_it(shared_engine: Engine, busybox: str) -> None:
    mount = f"--mount=type=cache,id=together,from={busybox},source=/bin,target=/c"
    stages = "".join(
        f"FROM {busybox} AS s{number}\nRUN {mount} ls /c/sh > /s{number}\n" for number in range(4)
    )
    copies = "".join(f"COPY --from=s{number} /s{number} /\n" for number in range(4))
    image_of(build(shared_engine, {"Dockerfile": f"{stages}FROM scratch\n{copies}"}))
