"""Health checks: what the probes say, what it adds up to, and who hears of it."""

import json

import pytest

from support.calls import Make, begin, call, create, start, state
from support.engines import Engine

pytestmark = [pytest.mark.needs("busybox"), pytest.mark.ordinary_user]

MS = 1_000_000
SLEEP = ("sleep", "1000")


def check(command: str, **times: object) -> dict[str, object]:
    return {"Healthcheck": {"Test": ["CMD-SHELL", command], "Interval": 100 * MS, **times}}


def turned(engine: Engine, container: str, status: str, count: int = 1) -> None:
    """Wait until a container's health has turned to a status so often."""
    filters = json.dumps({"container": [container], "event": ["health_status"]})
    path = f"/events?since=1&filters={filters}".replace(" ", "")
    connection, response = begin(engine, "GET", path)
    while count:
        action = json.loads(response.readline())["Action"]
        count -= action == f"health_status: {status}"
    connection.close()


def shown(engine: Engine, container: str) -> str:
    (line,) = call(engine, "GET", f'/containers/json?filters={{"id":["{container}"]}}').body
    status = line["Status"]
    assert isinstance(status, str)
    return status


def test_a_container_is_starting_then_healthy_then_unhealthy(
    shared_engine: Engine, run: Make
) -> None:
    container = run(*SLEEP, **check("echo looked; test ! -e /ill", Interval=300 * MS, Retries=2))
    assert state(shared_engine, container)["Health"]["Status"] == "starting"
    assert shown(shared_engine, container).endswith(" (health: starting)")
    turned(shared_engine, container, "healthy")
    assert shown(shared_engine, container).endswith(" (healthy)")
    shared_engine.succeed("exec", container, "touch", "/ill")
    turned(shared_engine, container, "unhealthy")
    found = state(shared_engine, container)["Health"]
    assert found["FailingStreak"] >= 2
    assert found["Log"][-1]["ExitCode"] == 1
    assert found["Log"][-1]["Output"] == "looked\n"
    assert found["Log"][-1]["Start"] < found["Log"][-1]["End"]
    ill = call(shared_engine, "GET", '/containers/json?filters={"health":["unhealthy"]}').body
    assert container in [line["Id"] for line in ill]


def test_five_probes_are_kept_and_4096_bytes_of_each(shared_engine: Engine, run: Make) -> None:
    script = "seq 5000; n=$(cat /n 2>/dev/null || echo 0); echo $((n + 1)) > /n; test $n -lt 7"
    container = run(*SLEEP, **check(script, Interval=20 * MS, Retries=1))
    turned(shared_engine, container, "unhealthy")
    log = state(shared_engine, container)["Health"]["Log"]
    assert len(log) == 5
    assert len(log[0]["Output"]) == 4096 + len("...")


def test_a_failure_in_the_start_period_does_not_count(shared_engine: Engine, run: Make) -> None:
    script = "n=$(cat /n 2>/dev/null || echo 0); echo $((n + 1)) > /n; test $n -ge 4"
    times = {"StartPeriod": 60_000 * MS, "StartInterval": 30 * MS, "Interval": 3600_000 * MS}
    container = run(*SLEEP, **check(script, Retries=1, **times))
    turned(shared_engine, container, "healthy")
    found = state(shared_engine, container)["Health"]
    assert [probe["ExitCode"] for probe in found["Log"]] == [1, 1, 1, 1, 0]
    assert found["FailingStreak"] == 0


def test_a_probe_that_takes_too_long_is_killed(shared_engine: Engine, run: Make) -> None:
    container = run(*SLEEP, **check("sleep 77", Timeout=100 * MS, Retries=1))
    turned(shared_engine, container, "unhealthy")
    probe = state(shared_engine, container)["Health"]["Log"][0]
    assert (probe["ExitCode"], probe["Output"]) == (-1, "Health check exceeded timeout (100ms)")


def test_a_probe_that_cannot_run_says_why(shared_engine: Engine, run: Make) -> None:
    health = {"Test": ["CMD", "/nowhere"], "Interval": 50 * MS, "Retries": 1}
    container = run(*SLEEP, Healthcheck=health)
    turned(shared_engine, container, "unhealthy")
    assert "/nowhere" in state(shared_engine, container)["Health"]["Log"][0]["Output"]


def test_a_probe_runs_in_the_shell_of_the_container(shared_engine: Engine, run: Make) -> None:
    container = run(*SLEEP, Shell=["/bin/echo", "said"], **check("this"))
    turned(shared_engine, container, "healthy")
    assert state(shared_engine, container)["Health"]["Log"][0]["Output"] == "said this\n"


def test_what_has_ended_is_not_healthy(shared_engine: Engine, run: Make) -> None:
    container = run(*SLEEP, **check("true"))
    turned(shared_engine, container, "healthy")
    call(shared_engine, "POST", f"/containers/{container}/kill")
    assert state(shared_engine, container)["Health"]["Status"] == "unhealthy"


def test_a_check_of_none_is_no_check(shared_engine: Engine, run: Make) -> None:
    container = run(*SLEEP, Healthcheck={"Test": ["NONE"]})
    assert "Health" not in state(shared_engine, container)


def test_a_new_engine_goes_on_probing(engine: Engine, busybox: str) -> None:
    engine.client.images.pull(busybox)
    container = create(engine, busybox, *SLEEP, **check("test ! -e /ill", Retries=1))
    start(engine, container)
    turned(engine, container, "healthy")
    engine.kill()
    engine.start()
    engine.client.containers.get(container).exec_run(["touch", "/ill"])
    turned(engine, container, "unhealthy")


@pytest.mark.parametrize(
    ("health", "words"),
    [
        ({"Interval": 1000}, "Interval in Healthcheck cannot be less than 1ms"),
        ({"Timeout": -1}, "Timeout in Healthcheck cannot be less than 1ms"),
        ({"StartPeriod": 5}, "StartPeriod in Healthcheck cannot be less than 1ms"),
        ({"StartInterval": 5}, "StartInterval in Healthcheck cannot be less than 1ms"),
        ({"Retries": -1}, "Retries in Healthcheck cannot be negative"),
    ],
)
def test_times_that_mean_nothing_are_refused(
    shared_engine: Engine, busybox: str, health: dict[str, object], words: str
) -> None:
    body = {"Image": busybox, "Healthcheck": {"Test": ["CMD", "true"], **health}}
    refused = call(shared_engine, "POST", "/containers/create", body)
    assert (refused.status, refused.message) == (400, words)
