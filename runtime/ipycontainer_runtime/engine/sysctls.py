"""Which kernel parameters a container may set: those that its own namespaces keep apart."""

from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.store.records import HostConfig

_OF_IPC = frozenset(
    f"kernel.{name}" for name in ("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni")
) | {"kernel.shm_rmid_forced"}


def check_sysctls(host: HostConfig) -> None:
    """Refuse a parameter that would change the host, or that is no parameter's name.

    A shared namespace's parameters are the host's as well. Names: sysctl(8), ipc_namespaces(7).
    """
    for name in host.sysctls or {}:
        if "/" in name or ".." in name:
            raise InvalidParameter(f"sysctl {name!r}: a name has dots and no slashes")
        if name.startswith("net."):
            _refuse_if_shared(name, "network", host.network_mode)
        elif name in _OF_IPC or name.startswith("fs.mqueue."):
            _refuse_if_shared(name, "ipc", host.ipc_mode)
        else:
            raise InvalidParameter(
                f"sysctl {name!r} is not in a separate kernel namespace: set it on the host, "
                "or use one of net.*, fs.mqueue.*, kernel.msg*, kernel.sem or kernel.shm*"
            )


def _refuse_if_shared(name: str, kind: str, mode: str) -> None:
    if mode == "host":
        raise InvalidParameter(
            f"sysctl {name!r} is not allowed in the host's {kind} namespace: "
            f"leave out --{kind} host, or set it on the host"
        )
