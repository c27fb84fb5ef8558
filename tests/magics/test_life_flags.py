"""Flags for how a container lives and ends, and what a cell says of its end."""

import pytest
from cells import Box, Shell

from ipycontainer.failures import ContainerExit, Failure, StartFailure, Usage

RUN = "%container run --net none"


def test_a_run_that_takes_too_long_is_stopped_and_fails(box: Box, shell: Shell) -> None:
    ran = shell.run(f"{RUN} --rm --name slow --timeout 0.3 --stop-timeout 0 busybox sleep 600")
    if box.name == "engine":
        assert isinstance(ran.error, ContainerExit)
        assert (ran.error.fault, ran.error.exit_code) == ("timeout", 137)
        assert "it ran longer than its timeout of 0.3 s" in str(ran.error)
    else:
        assert isinstance(ran.error, Failure)
        assert str(ran.error).startswith("--timeout is ipycontainer's own, and ")
    assert not box.exists("slow")


@pytest.mark.parametrize("kept", ["--rm", ""])
def test_a_run_that_a_signal_ended_fails_with_its_name(box: Box, shell: Shell, kept: str) -> None:
    # With an init the command is not process 1, which the kernel would protect from itself.
    ran = shell.run(f"{RUN} {kept} --init busybox sh -c 'kill -9 $$'")
    assert isinstance(ran.error, ContainerExit)
    assert ran.error.exit_code == 137
    assert "SIGKILL" in str(ran.error)
    if box.name == "engine":
        assert (ran.error.fault, ran.error.signal) == ("killed", 9)


def test_an_exec_that_fails_says_why(box: Box, shell: Shell) -> None:
    shell.run(f"{RUN} -d --name web busybox sleep 600")
    ran = shell.run("%container exec web sh -c 'kill -9 $$'")
    assert isinstance(ran.error, ContainerExit)
    assert str(ran.error).startswith("the command in container web ")
    absent = shell.run("%container exec web nowhere").error
    assert isinstance(absent, Failure)
    if box.name == "engine":
        assert (ran.error.fault, ran.error.signal) == ("killed", 9)
        assert isinstance(absent, StartFailure)
        assert (absent.fault, absent.step) == ("command-not-found", "execute")
        assert absent.exit_code == 127


def test_a_start_that_fails_names_its_step(box: Box, shell: Shell) -> None:
    ran = shell.run(f"{RUN} --rm -u nobody-here busybox true")
    assert isinstance(ran.error, Failure)
    assert ran.error.exit_code == 125
    if box.name == "engine":
        assert str(ran.error).endswith("(the start failed at: find the user)")
        assert isinstance(ran.error, StartFailure)
        assert (ran.error.fault, ran.error.step) == ("start-failed", "find the user")


def test_an_update_changes_limits(box: Box, shell: Shell) -> None:
    shell.run("%container create --net none --name web -m 20m busybox sleep 600")
    ran = shell.run("%container update -m 30m --memory-swap 60m --cpus 0.5 --restart always web")
    assert (ran.error, ran.out) == (None, "web\n")
    found = box.client.api.inspect_container("web")["HostConfig"]
    assert (found["Memory"], found["MemorySwap"]) == (30 << 20, 60 << 20)
    assert (found["NanoCpus"], found["RestartPolicy"]["Name"]) == (500_000_000, "always")


def test_an_update_of_nothing_says_what_to_give(shell: Shell) -> None:
    ran = shell.run("%container update web")
    assert isinstance(ran.error, Usage)
    assert "give one or more flags" in str(ran.error)


def test_flags_of_health_checks_reach_the_engine(box: Box, shell: Shell) -> None:
    shell.run(
        "%container create --net none --name web --health-cmd 'true && true' "
        "--health-interval 1m30s --health-timeout 500ms "
        "--health-start-period 2s --health-retries 4 busybox sleep 600"
    )
    assert box.client.api.inspect_container("web")["Config"]["Healthcheck"] == {
        "Test": ["CMD-SHELL", "true && true"],
        "Interval": 90_000_000_000,
        "Timeout": 500_000_000,
        "StartPeriod": 2_000_000_000,
        "Retries": 4,
    }


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--health-cmd true --no-healthcheck", "--no-healthcheck does not go with"),
        ("--health-cmd true --health-interval soon", "'soon' is no duration; write 30s"),
        ("--timeout 0", "0.0 is not in the range"),
    ],
)
def test_flags_that_contradict_or_mean_nothing_are_refused(
    box: Box, shell: Shell, flags: str, words: str
) -> None:
    ran = shell.run(f"{RUN} --rm {flags} busybox true")
    assert isinstance(ran.error, Usage)
    assert words in str(ran.error)


def test_a_restart_policy_and_its_count_are_seen(box: Box, shell: Shell) -> None:
    shell.run(f"{RUN} -d --name again --restart on-failure:1 busybox sh -c 'exit 3'")
    for event in box.client.api.events(since=1, filters={"container": "again"}, decode=True):
        if event["Action"] == "die" and box.client.api.inspect_container("again")["RestartCount"]:
            break
    assert box.client.api.inspect_container("again")["RestartCount"] == 1
