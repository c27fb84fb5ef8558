"""Processes that are cloned by a thread while another one is there."""

import os
import subprocess
import sys
from pathlib import Path

import ipycontainer_runtime

RUNTIME = Path(ipycontainer_runtime.__file__).parents[1]

# On a busy machine the thread that asked for a clone may be woken before it waits for it, and want
# the interpreter while the clone goes on; here that takes long because of many mappings.
WOKEN = """
import ctypes, mmap, os, select, signal, time
from ipycontainer_runtime.shim.nursery import ThreadNursery

page, count = mmap.PAGESIZE, 60_000
area = mmap.mmap(-1, count * page)
start = ctypes.addressof(ctypes.c_char.from_buffer(area))
for number in range(0, count, 2):
    ctypes.CDLL(None).mprotect(ctypes.c_void_p(start + number * page), page, mmap.PROT_READ)

nursery = ThreadNursery(None)
reading, writing = os.pipe()
nursery._job = lambda: nursery._clone(0, lambda: os.write(writing, b"alive"))
nursery._asked.release()
time.sleep(0.001)
nursery._answered.acquire()
ready, _, _ = select.select([reading], [], [], 5)
print(os.read(reading, 9).decode() if ready else "stuck")
os.kill(nursery._result, signal.SIGKILL)
os.waitpid(nursery._result, 0)
"""


def test_a_clone_does_not_wait_for_a_thread_that_it_has_not() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WOKEN],
        env={**os.environ, "PYTHONPATH": str(RUNTIME)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "alive\n", done.stderr
