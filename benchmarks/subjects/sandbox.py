"""Code in a warm sandbox, beside a Python that is started for it in a container of Docker's."""

from collections.abc import Iterator

from ipycontainer import Sandbox
from measure import RHYTHMS, Contender, Timed, by_turns
from support import images
from table import Goal, Row
from world import World

CODE = "x + 1"
GOALS = (Goal(0.005, "", "≤ 5 ms"), Goal(0.1, "docker", "≤ 1/10 of Docker's `exec python3 -c`"))


def rows(world: World, rounds: int) -> Iterator[Row]:
    """Yield a call in both rhythms, and a sandbox from its start to its removal."""
    image = world.pulled(images.debian_python_layout(), "python")
    warm = Sandbox(image, client=world.ours.client).start()
    contenders: dict[str, Contender] = {"ours": _call(warm)}
    containers = []
    if world.docker:
        container = world.docker.client.containers.run(
            image, ["sleep", "3600"], network_mode="none", detach=True
        )
        containers.append(container)

        def executed(clock: Timed) -> None:
            with clock():
                done = container.exec_run(["python3", "-c", f"x = 1\nprint({CODE})"])
            assert done.output == b"2\n"

        contenders["docker"] = executed
    for pause, rhythm in RHYTHMS:
        what = f"`sandbox.python('{CODE}', x=1)`, warm, {rhythm}"
        yield Row(what, by_turns(contenders, rounds, pause), GOALS)
    warm.close()
    for container in containers:
        container.remove(force=True)
    yield Row("a sandbox: start, first value, close", by_turns(_whole(world, image), rounds))


def _call(sandbox: Sandbox) -> Contender:
    def call(clock: Timed) -> None:
        with clock():
            value = sandbox.python(CODE, x=1)
        assert value == 2

    return call


def _whole(world: World, image: str) -> dict[str, Contender]:
    """Return our sandbox, and `docker run` of a Python that only prints."""

    def ours(clock: Timed) -> None:
        with clock(), Sandbox(image, client=world.ours.client) as sandbox:
            assert sandbox.python("1 + 1") == 2

    contenders: dict[str, Contender] = {"ours": ours}
    if world.docker:
        client = world.docker.client

        def docker(clock: Timed) -> None:
            command = ["python3", "-c", "print(1 + 1)"]
            with clock():
                said = client.containers.run(image, command, network_mode="none", remove=True)
            assert said == b"2\n"

        contenders["docker"] = docker
    return contenders
