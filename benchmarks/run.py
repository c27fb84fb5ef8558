"""One table from one run: this engine beside those that are installed. See docs/performance.md."""

import argparse
import datetime
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from checks import confined
from subjects import (
    archives,
    build,
    capture,
    cell,
    checkpoint,
    commit,
    compose,
    execs,
    isolation,
    kernels,
    memory,
    move,
    network,
    output,
    page,
    pull,
    rate,
    run,
    sandbox,
    start,
    twenty,
)
from table import Row, markdown
from world import World, world

Subject = Callable[[World, int], Iterator[Row]]
SUBJECTS: dict[str, Subject] = {
    "run": run.rows,
    "exec": execs.rows,
    "network": network.rows,
    "pull": pull.rows,
    "commit": commit.rows,
    "checkpoint": checkpoint.rows,
    "capture": capture.rows,
    "archives": archives.rows,
    "peaks": archives.peaks,
    "build": build.rows,
    "move": move.rows,
    "output": output.rows,
    "twenty": twenty.rows,
    "compose": compose.rows,
    "rate": rate.rows,
    "isolation": isolation.rows,
    "sandbox": sandbox.rows,
    "kernels": kernels.rows,
    "memory": memory.rows,
    "start": start.rows,
    "cell": cell.rows,
    "page": page.rows,
}
# What lies between is written by a run; the reasons around it by people.
BEGIN, END = "<!-- measured by benchmarks/run -->", "<!-- end of what was measured -->"
VERSIONS = {
    "Docker's engine": ("dockerd", "--version"),
    "containerd": ("containerd", "--version"),
    "runc": ("runc", "--version"),
    "Podman": ("podman", "--version"),
    "crun": ("crun", "--version"),
}


def main() -> None:
    """Measure what was asked for and write the table."""
    options = _options()
    if os.getuid() != 0:
        sys.exit("benchmarks/run: the peers need root; run it as root")
    rows: list[Row] = []
    with world() as made:
        confinement = confined(made)
        for name in options.subjects or SUBJECTS:
            print(f"{name} …", file=sys.stderr, flush=True)
            for row in SUBJECTS[name](made, options.rounds):
                rows.append(row)
                print(markdown([row]).splitlines()[-1], file=sys.stderr, flush=True)
    report = "\n\n".join([_machine(options.rounds), confinement, markdown(rows)])
    print(report)
    if options.output:
        options.output.write_text(_page(options.output, report))


def _page(path: Path, report: str) -> str:
    """Return the page at `path` with what was measured put in the place of what is there."""
    before, _, rest = (path.read_text() if path.exists() else "# Performance\n\n").partition(BEGIN)
    return f"{before}{BEGIN}\n{report}\n{END}{rest.partition(END)[2] or chr(10)}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/run", description=__doc__)
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=", ".join(SUBJECTS))
    parser.add_argument("--rounds", type=int, default=15, help="rounds of each (15)")
    parser.add_argument("--output", type=Path, help="put the table into this page as well")
    options = parser.parse_args()
    if unknown := set(options.subjects) - set(SUBJECTS):
        parser.error(f"no subject {', '.join(unknown)}: there are {', '.join(SUBJECTS)}")
    return options


def _machine(rounds: int) -> str:
    found = [f"{name} {_version(command)}" for name, command in VERSIONS.items() if _has(command)]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    today = datetime.datetime.now(datetime.timezone.utc).date()
    return (
        f"Measured {today} on {os.cpu_count()} x {_processor()}, {memory:.0f} GB, "
        f"Linux {platform.release()}, Python {platform.python_version()}; {', '.join(found)}. "
        f"{rounds} rounds, contenders by turns: medians, and in brackets the middle three quarters."
    )


def _has(command: tuple[str, ...]) -> bool:
    return shutil.which(command[0]) is not None


def _version(command: tuple[str, ...]) -> str:
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = re.search(r"\d+\.\d+(\.\d+)?", said)
    return found[0] if found else "?"


def _processor() -> str:
    text = Path("/proc/cpuinfo").read_text()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()


if __name__ == "__main__":
    main()
