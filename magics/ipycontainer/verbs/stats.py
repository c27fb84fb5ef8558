"""`stats`: what containers use of the machine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..listing import Table
from ..session import Session
from ..templates import formatted
from ..units import binary_size, counted, decimal_size
from .base import container_argument, flag, formats, main, pass_session

COLUMNS = {
    "CONTAINER ID": "ID",
    "NAME": "Name",
    "CPU %": "CPUPerc",
    "MEM USAGE / LIMIT": "MemUsage",
    "MEM %": "MemPerc",
    "NET I/O": "NetIO",
    "BLOCK I/O": "BlockIO",
    "PIDS": "PIDs",
}


@main.command()
@flag("-a", "--all", "everything", help="Show those that do not run too.")
@flag("--no-stream", help="As it is: one look, a second long.")
@formats
@container_argument(many=True, required=False)
@pass_session
def stats(
    session: Session,
    /,
    containers: tuple[str, ...],
    template: str | None,
    *,
    everything: bool,
    no_stream: bool,
) -> object:
    """Show the processor, memory and processes that containers use now."""
    from concurrent.futures import ThreadPoolExecutor

    named = containers or [entry["Id"] for entry in session.api.containers(all=everything)]
    # Each look takes a second, so all are taken at once.
    with ThreadPoolExecutor(max(1, min(len(named), 32))) as pool:
        samples = list(pool.map(lambda name: session.api.stats(name, stream=False), named))
    found = [stats_row(sample) for sample in samples]
    if template is not None:
        return session.surface.show(formatted(template, found))
    return session.surface.show(Table(samples, counted(len(found), "container"), COLUMNS, found))


def stats_row(sample: dict[str, Any]) -> dict[str, str]:
    """Return the row of one sample of the engine's."""
    memory = sample.get("memory_stats") or {}
    used, limit = memory_used(memory), memory.get("limit", 0)
    networks = (sample.get("networks") or {}).values()
    return {
        "Container": sample["id"],
        "ID": sample["id"][:12],
        "Name": sample["name"].removeprefix("/"),
        "CPUPerc": f"{busy_share(sample):.2f}%",
        "MemUsage": f"{binary_size(used)} / {binary_size(limit)}",
        "MemPerc": f"{100 * used / limit if limit else 0:.2f}%",
        "NetIO": " / ".join(
            decimal_size(sum(network[name] for network in networks))
            for name in ("rx_bytes", "tx_bytes")
        ),
        "BlockIO": " / ".join(decimal_size(_moved(sample, name)) for name in ("read", "write")),
        "PIDs": str((sample.get("pids_stats") or {}).get("current", 0)),
    }


def memory_used(memory: dict[str, Any]) -> int:
    """Return the bytes in use, without the file cache that could go: the docker command's sum."""
    usage: int = memory.get("usage", 0)
    details = memory.get("stats") or {}
    inactive = details.get("total_inactive_file", details.get("inactive_file", 0))
    return usage - inactive if inactive < usage else usage


def busy_share(sample: dict[str, Any]) -> float:
    """Return the share of one processor that was used between the two looks, in percent."""
    now, before = sample["cpu_stats"], sample["precpu_stats"]
    used = now["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    passed = now.get("system_cpu_usage", 0) - before.get("system_cpu_usage", 0)
    return 100 * now.get("online_cpus", 1) * used / passed if used > 0 and passed > 0 else 0.0


def _moved(sample: dict[str, Any], what: str) -> int:
    entries: Iterable[dict[str, Any]] = (sample.get("blkio_stats") or {}).get(
        "io_service_bytes_recursive"
    ) or ()
    return sum(entry["value"] for entry in entries if entry["op"].lower() == what)
