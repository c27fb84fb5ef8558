"""From nothing: the first command without an engine, and what the extension costs a notebook."""

from collections.abc import Iterator

from ipycontainer_runtime import client as engines
from measure import Contender, Timed, by_turns
from support.engines import Engine
from table import Goal, Row
from world import World

# What every notebook has imported before our extension is loaded.
NOTEBOOK = "import ipykernel.ipkernel; from IPython.core.interactiveshell import InteractiveShell; "
LOAD = (
    NOTEBOOK + "import time; shell = InteractiveShell.instance(); began = time.perf_counter(); "
    "import ipycontainer; shell.run_line_magic('load_ext', 'ipycontainer'); "
    "print(time.perf_counter() - began)"
)
FIRST = (
    "import time; import ipycontainer; began = time.perf_counter(); "
    "ipycontainer.connect().containers.list(); print(time.perf_counter() - began)"
)
FIRST_RUN = (
    "import sys, time; import ipycontainer; began = time.perf_counter(); "
    "ipycontainer.connect().containers.run(sys.argv[1], 'true', network_mode='none', remove=True); "
    "print(time.perf_counter() - began)"
)


def rows(world: World, rounds: int) -> Iterator[Row]:
    """Yield the first `ps`, the first `run`, and the extension."""
    first = by_turns({"ours": in_python(world.ours, FIRST, stopped=True)}, rounds, warm=1)
    yield Row("first command, no engine running: `ps`", first, (Goal(0.3, "", "≤ 0.3 s"),))
    run = by_turns(
        {"ours": in_python(world.ours, FIRST_RUN, world.busybox, stopped=True)}, rounds, warm=1
    )
    yield Row("first command, no engine running: `run IMAGE true`", run)
    load = by_turns({"ours": in_python(world.ours, LOAD)}, rounds, warm=1)
    goal = Goal(0.1, "", "≤ 100 ms")
    yield Row("`import ipycontainer` and `%load_ext`, beyond IPython", load, (goal,))
    world.ours.start()


def in_python(engine: Engine, code: str, *arguments: str, stopped: bool = False) -> Contender:
    """Return the contender that takes the seconds which a Python of its own measured."""

    def run(clock: Timed) -> None:
        if stopped:
            engines.stop(engine.paths)
        done = engine.run_python(code, *arguments)
        assert done.returncode == 0, done.stderr
        clock.seconds = float(done.stdout)

    return run
