"""`exec true` in a running container, by docker-py."""

from collections.abc import Iterator

from measure import RHYTHMS, Contender, Timed, by_turns
from table import Goal, Row
from world import World


def rows(world: World, rounds: int) -> Iterator[Row]:
    """Yield both rhythms."""
    containers = {
        name: host.client.containers.run(
            world.busybox, ["sleep", "3600"], network_mode="none", detach=True
        )
        for name, host in world.hosts.items()
    }

    def contender(name: str) -> Contender:
        def run(clock: Timed) -> None:
            with clock():
                code = containers[name].exec_run("true").exit_code
            assert code == 0

        return run

    contenders = {name: contender(name) for name in containers}
    goal = Goal(1 / 8, "docker", "≤ 1/8 of Docker's")
    for pause, rhythm in RHYTHMS:
        yield Row(f"`exec true`, {rhythm}", by_turns(contenders, rounds, pause), (goal,))
    for container in containers.values():
        container.remove(force=True)
