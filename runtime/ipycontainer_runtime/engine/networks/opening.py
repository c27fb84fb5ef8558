"""The network namespaces of containers that run, by descriptors."""

import contextlib
import os
from collections.abc import Iterator

from ipycontainer_runtime.engine.container import Container
from ipycontainer_runtime.errors import Conflict
from ipycontainer_runtime.linux.netns import opened_of


@contextlib.contextmanager
def opened(pid: int) -> Iterator[int]:
    """Open the network namespace of a process for the length of the block."""
    netns = opened_of(pid)
    try:
        yield netns
    finally:
        os.close(netns)


@contextlib.contextmanager
def namespace(container: Container) -> Iterator[int]:
    """Open the network namespace of a container that runs; its lock is held by the caller."""
    try:
        with opened(container.state.pid) as netns:
            yield netns
    except (FileNotFoundError, ProcessLookupError) as error:
        raise Conflict(f"Container {container.id} is not running") from error


def opened_again(container: Container) -> tuple[int, int] | None:
    """Open the network namespace and a pidfd of a container that runs; None for any other."""
    pid = container.state.pid
    if not container.state.running or not pid:
        return None
    try:
        process = os.pidfd_open(pid)
    except OSError:
        return None
    try:
        return opened_of(pid), process
    except OSError:
        os.close(process)
        return None
