"""What loading brings in, in processes of their own; what that costs is measured by benchmarks."""

import subprocess
import sys

LOAD = """
import sys
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
shell = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
before = set(sys.modules)
shell.run_line_magic("load_ext", "ipycontainer")
print(*{name.partition(".")[0] for name in set(sys.modules) - before})
"""
HEAVY = {"anywidget", "asyncio", "click", "docker", "ipywidgets", "requests"}


def test_loading_imports_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=True)
    assert "ipycontainer" in done.stdout.split()
    assert not HEAVY & set(done.stdout.split())


def test_importing_loads_nothing_heavy() -> None:
    code = "import sys, ipycontainer; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"IPython", "click", "docker", "requests", "asyncio"} & set(done.stdout.split())
