"""The other OCI runtimes that a container may be run by: `--runtime crun`.

Those that are installed are offered, by the names that Docker's users know. A container of theirs
gets the bundle that the launcher would get, without what only the launcher knows; the shim calls
the runtime (`shim/foreign.py`).
"""

import functools
import os
import shutil
from typing import Any, cast

from ipycontainer_runtime.engine.cgroups import CGROUP
from ipycontainer_runtime.engine.imagemounts import wants_image
from ipycontainer_runtime.engine.security import Security
from ipycontainer_runtime.errors import InvalidParameter, NotImplementedHere
from ipycontainer_runtime.launch.plan import TOP_READ_ONLY
from ipycontainer_runtime.linux.seccomp import conditional
from ipycontainer_runtime.linux.seccomp.portable import portable
from ipycontainer_runtime.oci.runtime import Spec
from ipycontainer_runtime.store.records import HostConfig

OWN = "ipycontainer"
OTHERS = ("crun", "runc")
VERSION = "1.0.2"  # crun takes none that is later than itself
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_QUIET = ["nosuid", "noexec", "nodev", "relatime"]


@functools.lru_cache(maxsize=1)
def installed() -> dict[str, str]:
    """Return the paths of the other runtimes that this machine has, by name."""
    path = f"{os.environ.get('PATH', '')}:{_PATH}"
    found = {name: shutil.which(name, path=path) for name in OTHERS}
    return {name: os.path.realpath(path) for name, path in found.items() if path}


def described(*, rootless: bool = False) -> dict[str, Any]:
    """Return the `Runtimes` of /info."""
    paths = {OWN: OWN, **({} if rootless else installed())}
    return {name: {"path": path} for name, path in sorted(paths.items())}


def check_runtime(host: HostConfig) -> None:
    """Refuse a runtime that is not there, and what only ours does."""
    name = host.runtime or OWN
    if name == OWN:
        return
    if name not in installed():
        raise InvalidParameter(
            f"unknown or invalid runtime name: {name}; there are {', '.join(described())}"
        )
    for field, asked in (
        ("Init", host.init),
        ("UsernsMode", host.userns_mode == "auto"),
        ("Mounts of an image", wants_image(host)),
    ):
        if asked:
            why = f"HostConfig.{field} with the runtime {name}: leave one of them out"
            raise NotImplementedHere(why)


def check_powers(host: HostConfig, *, rootless: bool) -> None:
    """Refuse another runtime than ours to an engine that is not root's."""
    if rootless and (host.runtime or OWN) != OWN:
        raise NotImplementedHere(
            f"HostConfig.Runtime {host.runtime}: an ordinary user's engine runs its containers"
            " itself, since others want cgroups and mounts that are root's: leave --runtime out"
        )


def path_of(host: HostConfig) -> str:
    """Return the path of the runtime that a container is run by; empty for ours."""
    if not is_foreign(host):
        return ""
    check_runtime(host)  # it may have been removed since
    return installed()[host.runtime or OWN]


def is_foreign(host: HostConfig) -> bool:
    """Tell whether another runtime than ours runs a container."""
    return (host.runtime or OWN) != OWN


def bundle(spec: Spec, host: HostConfig, allowed: Security) -> Spec:
    """Return the bundle as any runtime takes it; its key `ipycontainer` is for the shim alone."""
    linux: dict[str, Any] = {**spec["linux"]}
    names = ("path", "type", "major", "minor")
    given: list[dict[str, Any]] = [{**device} for device in spec["ipycontainer"]["host_devices"]]
    linux["devices"] = [
        {"fileMode": 0o666, **{name: device[name] for name in names}} for device in given
    ]
    linux["resources"] = {**linux["resources"], "devices": _device_rules(linux["devices"], host)}
    linux["readonlyPaths"] = [path for path in linux["readonlyPaths"] if path != CGROUP]
    if allowed.confined:
        own = allowed.profile and conditional.resolved(allowed.profile, allowed.capabilities)
        linux["seccomp"] = own or portable(allowed.capabilities)
    mounts = [_portable(mount) for mount in spec["mounts"]]
    # Else what is mounted there stays there, or what the host mounts does not come, as with Docker.
    spread = {option.removeprefix("r") for mount in mounts for option in mount["options"]}
    if spread & {"shared", "slave"}:
        linux["rootfsPropagation"] = "shared" if "shared" in spread else "rslave"
    shown = [mount for mount in mounts if not mount["destination"].startswith(CGROUP)]
    closed = [] if host.privileged else ["ro"]
    cgroup = {
        "type": "cgroup",
        "source": "cgroup",
        "destination": CGROUP,
        "options": [*_QUIET, *closed],
    }
    at = next(i for i, mount in enumerate(shown) if mount["destination"] == "/sys") + 1
    mounts = [*shown[:at], cgroup, *shown[at:]]
    return cast(Spec, {**spec, "ociVersion": VERSION, "linux": linux, "mounts": mounts})


def _portable(mount: dict[str, Any]) -> dict[str, Any]:
    options = mount["options"]
    if mount["destination"] == "/dev":
        # Others make nodes in it, which their devices cgroup watches over.
        options = [option for option in options if option != "nodev"]
    if mount["type"] == "bind":
        # What others call read-only is of the uppermost mount alone.
        options = ["ro" if option == TOP_READ_ONLY else option for option in options]
        options = [*options, "nodev"]
    return {**mount, "options": options}


def _device_rules(devices: list[dict[str, Any]], host: HostConfig) -> list[dict[str, Any]]:
    if host.privileged:
        return [{"allow": True, "access": "rwm"}]
    shown = [
        {
            "allow": True,
            "type": device["type"],
            "major": device["major"],
            "minor": device["minor"],
            "access": "rwm",
        }
        for device in devices
    ]
    return [{"allow": False, "access": "rwm"}, *shown]
