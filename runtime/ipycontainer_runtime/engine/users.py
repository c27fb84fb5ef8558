"""User namespaces of containers: who has one of his own, and which ids it has on the machine."""

import os
from collections.abc import Iterable, Sequence

from ipycontainer_runtime.errors import InvalidParameter, Unavailable
from ipycontainer_runtime.layers.ownership import Ownership, Shifted
from ipycontainer_runtime.oci.runtime import Mount
from ipycontainer_runtime.store.records import HostConfig, IdRange, Record

AUTO = "auto"
MODES = ("", "host", AUTO)

COUNT = 1 << 16
# Above what systemd gives to services and machines, and below the last ids, which mean "none":
# https://systemd.io/UIDS-GIDS/
FIRST = 1 << 31
_SLOTS = (1 << 15) - 1


def has_own_users(host: HostConfig, *, rootless: bool, overlay: bool) -> bool:
    """Tell whether a container gets a user namespace of its own.

    Refuses a mode that is none, and what such a container cannot have.
    """
    if host.userns_mode not in MODES:
        raise InvalidParameter(
            f"invalid userns mode: {host.userns_mode!r}: use auto, or host for none of its own"
        )
    if host.userns_mode != AUTO:
        return False
    if rootless:
        raise InvalidParameter(
            "userns mode auto is for root's engine; all containers of this one are in its user's "
            "namespace already: leave --userns out"
        )
    if not overlay:
        raise InvalidParameter(
            "userns mode auto needs overlays, whose layers can be mapped: leave --userns out"
        )
    if host.privileged:
        raise InvalidParameter("privileged mode is incompatible with user namespaces")
    shared = {"network": host.network_mode, "pid": host.pid_mode, "ipc": host.ipc_mode}
    for kind, mode in shared.items():
        if mode == "host":
            raise InvalidParameter(
                f"cannot share the host's {kind} namespace when user namespaces are enabled"
            )
    return True


def shown_as_nobodys(record: Record) -> list[str]:
    """Return what to say of folders of the host that a container with ids of its own is shown."""
    shown = any(point.type == "bind" for point in record.mounts)
    if record.host_config.userns_mode != AUTO or not shown:
        return []
    return [
        "userns mode auto: what is mounted from the host belongs to nobody in the container, which "
        "may do there what others may; what it makes there has ids that a later container can get."
    ]


def give_root(mounts: Sequence[Mount], ids: IdRange) -> None:
    """Give the top folder of a new overlay to who is its owner in the container."""
    for mount in mounts:
        assert not isinstance(mount.options, tuple), "has_own_users lets overlays through alone"
        upper = mount.options.upperdir
        status = os.stat(upper)
        os.chown(upper, ids.first + status.st_uid, ids.first + status.st_gid)


def ownership_of(record: Record, ownership: Ownership) -> Ownership:
    """Return how a container's files keep their owners, where layers do it as `ownership` says."""
    if record.ids is None:
        return ownership
    return Shifted(ownership, record.ids.first, record.ids.count)


def free_range(taken: Iterable[IdRange | None]) -> IdRange:
    """Return ids that no other container has; its files keep them until it is removed."""
    used = {ids.first for ids in taken if ids}
    for slot in range(_SLOTS):
        if (first := FIRST + slot * COUNT) not in used:
            return IdRange(first, COUNT)
    raise Unavailable(f"all {_SLOTS} ranges of ids are taken: remove a container")
