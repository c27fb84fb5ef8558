"""What loading costs, measured in processes of their own."""

import statistics
import subprocess
import sys

MEASURE = """
import sys, time
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
shell = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
before = time.perf_counter()
shell.run_line_magic("load_ext", "ipycontainer")
print((time.perf_counter() - before) * 1000, *(m for m in ("click", "docker") if m in sys.modules))
"""
BUDGET_MILLISECONDS = 100


def test_loading_is_cheap_and_imports_neither_click_nor_docker() -> None:
    runs = [
        subprocess.run(
            [sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True
        ).stdout.split()
        for _ in range(3)
    ]
    assert [run[1:] for run in runs] == [[], [], []]
    assert statistics.median(float(run[0]) for run in runs) < BUDGET_MILLISECONDS


def test_importing_loads_nothing_heavy() -> None:
    code = "import sys, ipycontainer; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"IPython", "click", "docker", "requests", "asyncio"} & set(done.stdout.split())
