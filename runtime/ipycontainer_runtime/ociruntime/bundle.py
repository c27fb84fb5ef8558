"""A bundle: config.json, read and checked. What this runtime does not do is refused by name.

https://github.com/opencontainers/runtime-spec/blob/main/config.md and config-linux.md.
"""

import json
import os
from typing import Any

from ..errors import InvalidParameter, NotFound, NotImplementedHere
from ..launch import NAMESPACES
from ..launch.process import CAPABILITIES

KINDS = {*NAMESPACES, "user"}
HOOKS = (
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
)  # in the order in which they run
# What of the spec would have to be silently left out.
UNSUPPORTED = {
    "linux": ("intelRdt", "memoryPolicy", "netDevices", "personality", "timeOffsets"),
    "process": ("apparmorProfile", "execCPUAffinity", "ioPriority", "scheduler", "selinuxLabel"),
    "": ("solaris", "vm", "windows", "zos"),
}


def load(folder: str) -> dict[str, Any]:
    """Return the spec of the bundle in `folder`; raises a ContainerError naming what is wrong."""
    path = os.path.join(folder, "config.json")
    spec = read_json(path, cure=": `ipycontainer-oci spec` writes one")
    try:
        check(spec)
    except (AttributeError, KeyError, TypeError) as error:
        raise InvalidParameter(f"{path} is no runtime spec: {error!r}") from error
    root = os.path.join(folder, spec["root"]["path"])
    spec["root"]["path"] = os.path.realpath(root)
    if not os.path.isdir(root):
        raise InvalidParameter(f"root.path {root} is not a folder: make it, or name another")
    for mount in spec.get("mounts") or ():
        if is_bind(mount):
            mount["source"] = os.path.realpath(os.path.join(folder, mount["source"]))
    return spec


def read_json(path: str, *, of: str = "", cure: str = "") -> dict[str, Any]:
    """Return a file's object; a message begins with the flag it is `of`, and ends with a cure."""
    try:
        with open(path, encoding="utf-8") as file:
            found: dict[str, Any] = json.load(file)
    except FileNotFoundError as error:
        raise NotFound(f"{of}there is no {path}{cure}") from error
    except ValueError as error:
        raise InvalidParameter(f"{of}{path} is not JSON: {error}") from error
    return found


def check(spec: dict[str, Any]) -> None:
    """Refuse what is malformed and what this runtime does not do."""
    version = spec["ociVersion"]
    if version.partition(".")[0] != "1":
        raise InvalidParameter(f"ociVersion {version} is not 1.x: write a newer bundle")
    for section, names in UNSUPPORTED.items():
        _refuse(spec.get(section) or {} if section else spec, names, section)
    if not spec["root"]["path"]:
        raise InvalidParameter("root.path is empty: name the folder of the root file system")
    check_process(spec["process"])
    linux = spec.get("linux") or {}
    if linux.get("mountLabel"):
        raise NotImplementedHere(
            f"linux.mountLabel {linux['mountLabel']}: SELinux is not used here"
        )
    seen = [namespace["type"] for namespace in linux.get("namespaces") or ()]
    for kind in seen:
        if kind not in KINDS or seen.count(kind) > 1:
            raise InvalidParameter(f"linux.namespaces has {kind!r}: each of {sorted(KINDS)} once")
    if "mount" not in seen or paths(spec).get("mount"):
        raise NotImplementedHere(
            "a container needs a mount namespace of its own: ask for a new one"
        )
    if spec.get("hostname") and "uts" not in seen:
        raise InvalidParameter(
            "hostname is set without a uts namespace: add one to linux.namespaces"
        )
    for mount in spec.get("mounts") or ():
        _check_mount(mount)
    for name in spec.get("hooks") or {}:
        if name not in HOOKS:
            raise InvalidParameter(f"unknown hook {name!r}: there are {', '.join(HOOKS)}")


def check_process(process: dict[str, Any]) -> None:
    """Refuse a process that is malformed or asks for what this runtime does not do."""
    _refuse(process, UNSUPPORTED["process"], "process")
    if not process.get("args"):
        raise InvalidParameter("process.args is empty: name a command")
    if not os.path.isabs(process["cwd"]):
        raise InvalidParameter(f"process.cwd {process['cwd']!r} is not an absolute path")
    sets = (process.get("capabilities") or {}).values()
    unknown = {name for names in sets for name in names or ()} - {f"CAP_{n}" for n in CAPABILITIES}
    if unknown:
        raise InvalidParameter(f"unknown capability {min(unknown)}: see capabilities(7)")


def _check_mount(mount: dict[str, Any]) -> None:
    where = f"the mount at {mount['destination']}"
    for option in mount.get("options") or ():
        if option in ("idmap", "ridmap", "rro", "remount") or option.startswith("rno"):
            raise NotImplementedHere(f"option {option} of {where} is not supported: leave it out")
    _refuse(mount, ("uidMappings", "gidMappings"), where)
    if is_bind(mount) and not mount.get("source"):
        raise InvalidParameter(f"{where} has no source")


def is_bind(mount: dict[str, Any]) -> bool:
    """Tell whether a mount shows something that is mounted already."""
    options = mount.get("options") or ()
    return mount.get("type", "bind") == "bind" or "bind" in options or "rbind" in options


def _refuse(section: dict[str, Any], names: tuple[str, ...], where: str) -> None:
    for name in names:
        if section.get(name):
            full = f"{where}.{name}".lstrip(".")
            raise NotImplementedHere(f"{full} is not supported: leave it out of the bundle")


def new_kinds(spec: dict[str, Any]) -> list[str]:
    """Return the kinds of namespaces that the container gets new."""
    return [n["type"] for n in spec["linux"].get("namespaces") or () if not n.get("path")]


def paths(spec: dict[str, Any]) -> dict[str, str]:
    """Return the paths of the namespaces that it joins, by kind."""
    namespaces = (spec.get("linux") or {}).get("namespaces") or ()
    return {n["type"]: n["path"] for n in namespaces if n.get("path")}
