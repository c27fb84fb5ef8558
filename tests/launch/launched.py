"""Run as `python -I -S launched.py RUNTIME`: launch the spec on standard input as a shim would.

Reads {"spec", "execs"} and writes one JSON object: the status messages, the exit codes of the
container's process and of each exec, and, with a terminal, what was written to it.
"""

import json
import os
import select
import socket
import sys

sys.path.insert(0, sys.argv[1])
from ipycontainer_runtime import launch
from ipycontainer_runtime.launch.syscalls import CLONE_PARENT, clone, setns


def listen(status: socket.socket) -> tuple[dict[str, object] | None, int | None]:
    """Return the error, if one came before the end, and the terminal's master."""
    master = None
    while True:
        message, fds, _, _ = socket.recv_fds(status, 65536, 1)
        if fds:
            master = fds[0]
        elif not message:
            return None, master
        else:
            return json.loads(message), master


def read_terminal(master: int | None) -> str:
    text = b""
    while master is not None:
        select.select([master], [], [])
        try:
            text += os.read(master, 65536)
        except OSError:  # EIO: nobody has the other end open any more
            break
    return text.decode()


def nursery(spec: dict, execs: list[dict], statuses: list[socket.socket]) -> None:
    """Clone init, and each exec once its turn is called; the shim is the parent of them all."""
    streams = None if spec["process"].get("terminal") else (0, 1, 2)
    kinds = [namespace["type"] for namespace in spec["linux"]["namespaces"]]
    pid = clone(launch.cloned_into(kinds) | CLONE_PARENT)
    if pid == 0:
        launch.become_init(spec, streams, statuses[0])
    pidfd = os.pidfd_open(pid)
    if "pid" in kinds:
        setns(pidfd, launch.NAMESPACES["pid"])
    statuses[0].close()
    for process, status in zip(execs, statuses[1:], strict=True):
        os.read(go_read, 1)
        if clone(CLONE_PARENT) == 0:
            launch.become_exec(process, pidfd, (0, 1, 2), status)
        status.close()
    os._exit(0)


asked = json.load(sys.stdin)
os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in [0, *asked["execs"]]]
go_read, go_write = os.pipe()
output_read, output_write = os.pipe()
parent = os.fork()
if parent == 0:
    os.dup2(output_write, 1)
    os.close(output_write)
    os.close(output_read)
    nursery(asked["spec"], asked["execs"], [child for _, child in pairs])
os.close(output_write)
errors, masters = [], []
for number, (mine, child) in enumerate(pairs):
    child.close()
    if number:
        os.write(go_write, b"x")
    error, master = listen(mine)
    errors.append(error)
    masters.append(master)
    if error and number == 0:
        os.write(go_write, b"x" * len(asked["execs"]))
terminal = read_terminal(masters[0])
with open(output_read, "rb") as file:
    output = file.read().decode("utf-8", "replace")
codes = []
while True:
    try:
        pid, status = os.wait()
    except ChildProcessError:
        break
    if pid != parent:
        codes.append(os.waitstatus_to_exitcode(status))
print(json.dumps({"errors": errors, "codes": codes, "output": output, "terminal": terminal}))
