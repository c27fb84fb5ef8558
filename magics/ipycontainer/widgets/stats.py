"""`Stats`: what containers use of the machine, with the last minute as a line."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

from docker.errors import APIError

from ..listing import Table
from ..units import counted
from ..verbs.stats import COLUMNS, busy_share, memory_used, stats_row
from .desk import engine_client, failed
from .panel import Panel
from .parts import Charts, good

if TYPE_CHECKING:
    from docker import DockerClient

_EVERY = 1.0
_MINUTE = 60
_AT_ONCE = 8  # docker-py keeps ten connections


class Usage:
    """Two looks at a container make a share of the processor: the last minute of them."""

    def __init__(self) -> None:
        self._before: dict[str, Any] | None = None
        self.cpus: deque[float] = deque(maxlen=_MINUTE)
        self.memories: deque[int] = deque(maxlen=_MINUTE)

    def look(self, sample: dict[str, Any]) -> dict[str, Any]:
        """Take a look of the engine's `one-shot`; return it as a look that knows the last one."""
        sample["precpu_stats"] = (self._before or sample)["cpu_stats"]
        self._before = sample
        self.cpus.append(round(busy_share(sample), 2))
        self.memories.append(memory_used(sample.get("memory_stats") or {}))
        return sample


class Watch:
    """Looks at containers, each of which knows the last one; one docker-py client, one thread."""

    def __init__(self) -> None:
        self._client: DockerClient | None = None
        self.usages: dict[str, Usage] = {}

    @property
    def api(self) -> Any:
        """The engine's low-level client, connected when it is first needed."""
        self._client = self._client or engine_client()
        return self._client.api

    def look(self, containers: Sequence[str]) -> list[dict[str, Any]]:
        """Return a sample of each that is there; those that have gone are forgotten."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            sampled = pool.map(partial(_sample, self.api), containers)
            found = [sample for sample in sampled if sample is not None]
        kept = {sample["id"] for sample in found}
        self.usages = {key: usage for key, usage in self.usages.items() if key in kept}
        return [self.usages.setdefault(one["id"], Usage()).look(one) for one in found]

    def close(self) -> None:
        """Let the connections go; the next look makes others."""
        if self._client is not None:
            self._client.close()
            self._client = None


def _sample(api: Any, name: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = api.stats(name, stream=False, one_shot=True)
    except APIError as error:
        if error.status_code == 404:
            return None
        raise
    return found


class Stats(Panel):
    """What the containers that are named use, or all that run; looked at while a view is seen."""

    def __init__(self, *containers: str) -> None:
        self._containers = containers
        self._charts = Charts(caption="Use of the machine")
        self._rows: list[dict[str, str]] = []
        self._samples: list[dict[str, Any]] = []
        super().__init__(self._charts)
        self._charts.presence.feed(self._feed, "stats")

    def _feed(self) -> None:
        with closing(Watch()) as watch:
            while self._charts.presence.seen:
                try:
                    named = self._containers or [one["Id"] for one in watch.api.containers()]
                    self._show(watch.look(named), watch)
                except Exception as error:
                    self._charts.summary = failed(error)
                self._charts.presence.pause(_EVERY)
        self.keep()

    def _show(self, samples: list[dict[str, Any]], watch: Watch) -> None:
        self._samples, self._rows = samples, [stats_row(sample) for sample in samples]
        self._charts.caption = f"Use of the machine by {counted(len(samples), 'container')}"
        self._charts.rows = [
            {
                "name": row["Name"],
                "cpu": row["CPUPerc"],
                "cpus": list(watch.usages[sample["id"]].cpus),
                "memory": row["MemUsage"],
                "memories": list(watch.usages[sample["id"]].memories),
                "limit": _scale(sample, watch.usages[sample["id"]].memories),
                "processes": row["PIDs"],
            }
            for sample, row in zip(samples, self._rows, strict=True)
        ]
        self._charts.summary = good("" if samples else "No container runs.")

    def _table(self) -> Table[Any]:
        return Table(self._samples, self._charts.caption, COLUMNS, self._rows)

    def text(self) -> str:
        """Return the last look."""
        return self._table().text()

    def html(self) -> str:
        """Return the last look as a table."""
        return self._table().html()


def _scale(sample: dict[str, Any], memories: Iterable[int]) -> int:
    """Return the top of the line of memory: the limit, where the use comes anywhere near it."""
    limit, most = (sample.get("memory_stats") or {}).get("limit", 0), max(memories, default=0)
    return limit if most * 10 > limit else 2 * most
