"""Namespaces of another container that a container joins: --ipc, --pid and --network container:ID.

They are opened while the donor's shim says that it runs, so a process id that is used again leads
nowhere else, and held open until the start is over.
"""

import os
from collections.abc import Callable
from typing import NamedTuple

from ipycontainer_runtime.engine.container import Container
from ipycontainer_runtime.engine.namespaces import donor_of
from ipycontainer_runtime.errors import Conflict, InvalidParameter, NotFound, Unavailable
from ipycontainer_runtime.linux.grade import Grade
from ipycontainer_runtime.oci.runtime import Namespace
from ipycontainer_runtime.store.records import HostConfig

Find = Callable[[str], Container]

_OCI_NAMES = {"net": "network"}
"""Kinds whose name in the runtime spec is not that in /proc."""


class Joined(NamedTuple):
    """What a start joins; paths lead to descriptors of this process, valid until `close`."""

    namespaces: list[Namespace]
    shm: str
    """The mount namespace whose /dev/shm is shown; empty for one of its own."""
    fds: list[int]
    files: str = ""
    """The folder of the container whose hosts, hostname and resolv.conf are shown too."""

    def close(self) -> None:
        """Let go of the namespaces."""
        for fd in self.fds:
            os.close(fd)


NOTHING_JOINED = Joined([], "", [])


def resolve(host: HostConfig, find: Find) -> None:
    """Write the donors' ids for their names; InvalidParameter when there is no such container."""
    try:
        if donor := donor_of(host.ipc_mode):
            host.ipc_mode = f"container:{find(donor).id}"
        if donor := donor_of(host.pid_mode):
            host.pid_mode = f"container:{find(donor).id}"
        if donor := donor_of(host.network_mode):
            host.network_mode = f"container:{find(donor).id}"
    except NotFound as error:  # by which a client would take the image for missing
        raise InvalidParameter(str(error)) from error


async def join(container: Container, find: Find, grade: Grade) -> Joined:
    """Open what a container joins. Raises Conflict, in Docker's words, when a donor has it not."""
    host = container.record.host_config
    joined = Joined([], "", [])
    try:
        if donor := donor_of(host.ipc_mode):
            shm = await _join_ipc(joined, _donor(donor, container, find, grade))
            joined = joined._replace(shm=shm)
        if donor := donor_of(host.pid_mode):
            await _open(joined, _donor(donor, container, find, grade), "pid")
        if donor := donor_of(host.network_mode):
            refusal = "cannot join network of a non running container: "
            giver = _donor(donor, container, find, grade)
            await _open(joined, giver, "net", refusal)
            while further := donor_of(giver.record.host_config.network_mode):
                giver = find(further)
            joined = joined._replace(files=giver.folder)
    except BaseException:
        joined.close()
        raise
    return joined


def _donor(donor_id: str, container: Container, find: Find, grade: Grade) -> Container:
    donor = find(donor_id)
    if grade.masked or donor.record.ids or container.record.ids:
        raise InvalidParameter(
            f"cannot join namespaces of container {donor_id[:12]}: one of the two has a user "
            "namespace of its own; leave --userns=auto out"
        )
    return donor


async def _join_ipc(joined: Joined, donor: Container) -> str:
    refusal = f"can't join IPC of container {donor.id}: "
    if donor.record.host_config.ipc_mode != "shareable":
        raise Conflict(
            f"{refusal}non-shareable IPC (hint: use IpcMode:shareable for the donor container)"
        )
    await _open(joined, donor, "ipc", refusal)
    return await _open(joined, donor, "mnt", refusal)


async def _open(joined: Joined, donor: Container, kind: str, refusal: str = "") -> str:
    """Open a namespace of a container that runs, and return a path that leads to it."""
    gone = Conflict(f"{refusal}container {donor.id} is not running")
    shim, pid = donor.shim, donor.state.pid
    if not donor.state.running or shim is None:
        raise gone
    try:
        joined.fds.append(os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC))
        if (await shim.status()).pid != pid:
            raise gone
    except (OSError, NotFound, Unavailable) as error:
        raise gone from error
    path = f"/proc/{os.getpid()}/fd/{joined.fds[-1]}"
    if kind != "mnt":
        joined.namespaces.append({"type": _OCI_NAMES.get(kind, kind), "path": path})
    return path
