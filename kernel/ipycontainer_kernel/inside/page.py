"""The page that a kernel's cells are in: it writes into the document that is open there.

A kernel has no way to the document. It asks over a comm, and the page's extension (labextension/)
answers by one of its own. In a container and outside it is the same.
"""

from queue import Empty, SimpleQueue
from typing import Any

TARGET = "ipycontainer.lock"
"""The comm by which a lock is sent; the page knows it by this name."""
ANSWER = "ipycontainer.written"
"""The one by which it answers."""
RESTART = "ipycontainer.restart"
"""The comm by which a page is told that a restart which comes is no death."""
_SECONDS = 5.0
"""How long a page may take: it makes a subshell first, so that it can answer a running cell."""
_SUBSHELLS = "kernel subshells"


def write(kernel: Any, lock: "dict[str, Any]") -> bool:
    """Have the page put `lock` into its notebook; False where no page of ours answers."""
    from comm import create_comm, get_comm_manager

    # Without them an answer waits for the end of this very cell.
    if _SUBSHELLS not in kernel.kernel_info.get("supported_features", ()):
        return False
    answers: "SimpleQueue[bool]" = SimpleQueue()

    def hear(answer: Any, message: Any) -> None:
        data = message["content"]["data"]
        answer.close()
        if data.get("id") == comm.comm_id:
            answers.put(data.get("written") is True)

    # A comm of the page's own: ipykernel leads what is said on this one to the loop that opened it,
    # which is the one that runs this cell.
    manager = get_comm_manager()
    manager.register_target(ANSWER, hear)
    try:
        comm = create_comm(target_name=TARGET, data={"lock": lock})
        comm.on_close(lambda _message: answers.put(False))
        return answers.get(timeout=_SECONDS)
    except Empty:
        return False
    finally:
        manager.unregister_target(ANSWER, hear)


def announce_restart() -> None:
    """Tell a page that the kernel restarts because a cell asked for it, before it says so."""
    from comm import create_comm

    create_comm(target_name=RESTART)
