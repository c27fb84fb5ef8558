"""What threads freed is shared by the next ones, and given back when it is asked for."""

import subprocess
import sys

import pytest

# Six threads that stay, as those of an executor do. Each has 16 MB, one after the other, and frees
# them, but for a little that lies above them and keeps the allocator from giving them back itself.
WORK = """
import os, sys, threading
from ipycontainer_runtime.engine.memory import give_back, keep_little

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def work(done):
    pieces = [b"x" * 65536 for _ in range(256)]
    kept.append(b"x" * 1000)
    del pieces
    done.set()
    ended.wait()

if sys.argv[1] == "shared":
    keep_little()
kept, ended, before = [], threading.Event(), resident()
for _ in range(6):
    done = threading.Event()
    threading.Thread(target=work, args=(done,)).start()
    done.wait()
worked = resident() - before
give_back()
print(worked >> 20, (resident() - before) >> 20)
ended.set()
"""

pytestmark = pytest.mark.ordinary_user


def megabytes(how: str) -> tuple[int, int]:
    done = subprocess.run(
        [sys.executable, "-c", WORK, how], capture_output=True, text=True, check=True
    )
    worked, left = map(int, done.stdout.split())
    return worked, left


def test_what_threads_freed_does_not_add_up() -> None:
    assert megabytes("apart")[0] > 30, "the allocator gives each thread memory of its own"
    assert megabytes("shared")[0] < 25


def test_what_threads_freed_is_given_back() -> None:
    assert megabytes("apart")[1] < 8
