"""A real JupyterLab in a real browser: long output in a cell, and many containers in a list."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from measure import Result
from table import Row
from world import World

if TYPE_CHECKING:
    from browser.labroom import Notebook

LINES, CONTAINERS, MOST_ROUNDS = 100_000, 1_000, 5
SETUP = "%load_ext ipycontainer\nfrom ipycontainer.widgets import Containers"
# A task of more than 50 ms is one in which the page does not answer (W3C Long Tasks).
WATCH = """
() => {
  window.longest = 0;
  new PerformanceObserver(list => {
    for (const task of list.getEntries()) window.longest = Math.max(window.longest, task.duration);
  }).observe({ type: "longtask" });
}
"""
DRAWN = "() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))"


def rows(world: World, rounds: int) -> Iterator[Row]:
    """Yield how long the page takes, how long it does not answer, and what it keeps in memory."""
    rounds = min(rounds, MOST_ROUNDS)
    with page_of(world) as page:
        yield from long_output(page, rounds)
        yield from many_containers(page, world, rounds)


@contextmanager
def page_of(world: World) -> Iterator[Notebook]:
    """Yield a notebook whose kernel uses our engine: its cells are those that are measured."""
    from browser.labroom import Notebook, running_browser, running_lab

    cells = (SETUP, f"%container run --rm --net none {world.busybox} seq {LINES}", "Containers()")
    with running_lab(world.ours.variables) as lab, running_browser() as browser:
        page = Notebook(browser, lab, "page.ipynb", cells)
        page.run(0)
        yield page
        page.close()


def long_output(page: Notebook, rounds: int) -> Iterator[Row]:
    """Yield the figures of a cell that prints 100,000 lines."""
    times, longest, heaps = [], [], []
    for _ in range(rounds):
        before = heap(page)
        seconds, task = measured(page, 1, lambda: page.finish(1))
        times.append(seconds)
        longest.append(task)
        heaps.append(max(heap(page) - before, 0.0))
        page.command("notebook:clear-cell-output")
    what = f"{LINES:,} lines in a page of JupyterLab"
    yield Row(f"{what}: from the key to the last of it drawn", {"ours": Result(tuple(times))})
    yield Row(f"{what}: longest time without an answer", {"ours": Result(tuple(longest))})
    yield Row(f"{what}: kept on the page's heap", {"ours": Result(tuple(heaps))}, unit="MB")


def many_containers(page: Notebook, world: World, rounds: int) -> Iterator[Row]:
    """Yield the figures of a list of 1,000 containers."""
    api = world.ours.client.api
    made = [
        api.create_container(world.busybox, "true", name=f"many-{n}")["Id"]
        for n in range(CONTAINERS)
    ]
    count = page.view(2).get_by_text(f"{CONTAINERS} containers", exact=True)
    times, longest = [], []
    for _ in range(rounds):
        seconds, task = measured(page, 2, count.wait_for)
        times.append(seconds)
        longest.append(task)
        page.command("notebook:clear-cell-output")
    for container in made:
        api.remove_container(container)
    what = f"`Containers()` with {CONTAINERS:,} containers"
    yield Row(f"{what}: from the key to the first rows", {"ours": Result(tuple(times))})
    yield Row(f"{what}: longest time without an answer", {"ours": Result(tuple(longest))})


def measured(page: Notebook, index: int, end: Callable[[], object]) -> tuple[float, float]:
    """Run a cell; return the seconds until all is drawn, and those of the longest task."""
    page.page.evaluate(WATCH)
    began = page.page.evaluate("() => performance.now()")
    page.begin(index)
    end()
    page.page.evaluate(DRAWN)
    ended = page.page.evaluate("() => performance.now()")
    return (ended - began) / 1000, page.page.evaluate("() => window.longest") / 1000


def heap(page: Notebook) -> float:
    """Return the bytes that the page's scripts hold, once what nobody needs is gone."""
    session = page.page.context.new_cdp_session(page.page)
    try:
        session.send("HeapProfiler.collectGarbage")
        return float(session.send("Runtime.getHeapUsage")["usedSize"])
    finally:
        session.detach()
