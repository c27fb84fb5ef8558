"""docker-compose and a project of three services, each engine with its bridge to itself."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from measure import Contender, Timed, by_turns
from support.alone import docker_alone, engine_alone
from support.compose import Project, project
from table import Goal, Row
from world import World


def rows(_world: World, rounds: int) -> Iterator[Row]:
    """Yield `up -d` of the project and `down -v`; networks are the namespaces' own."""
    with ExitStack() as stack:
        hosts = {
            "ours": stack.enter_context(engine_alone())[0],
            "docker": stack.enter_context(docker_alone())[0],
        }
        projects = {}
        for name, host in hosts.items():
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            projects[name] = stack.enter_context(project(host, folder))
        up = {name: _up(one) for name, one in projects.items()}
        goal = Goal(1 / 3, "docker", "≤ 1/3 of Docker's")
        title = "`docker-compose up -d` of web, worker and a store with a health check"
        yield Row(title, by_turns(up, rounds, warm=1), (goal,), unit="s")
        down = {name: _down(one) for name, one in projects.items()}
        yield Row("`docker-compose down -v` of it", by_turns(down, rounds, warm=1), unit="s")
        alone = {"ours": _version(projects["ours"])}
        title = "`docker-compose version`, which asks no engine: in each of the two above"
        yield Row(title, by_turns(alone, rounds, warm=1), unit="s")


def _up(one: Project) -> Contender:
    def run(clock: Timed) -> None:
        with clock():
            one.succeed("up", "-d")
        one.succeed("down", "-v", "-t", "0")

    return run


def _down(one: Project) -> Contender:
    def run(clock: Timed) -> None:
        one.succeed("up", "-d")
        with clock():
            one.succeed("down", "-v")

    return run


def _version(one: Project) -> Contender:
    def run(clock: Timed) -> None:
        with clock():
            one.succeed("version")

    return run
