"""`version` and `info`: what runs the containers, and where, in Docker's layout."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from ..listing import Outline
from ..session import Session
from ..templates import formatted
from ..units import binary_size
from .base import formats, main, pass_session

Line = tuple[int, str, str | None]
_VALUES = 20
"""The column at which `version` writes values."""


@main.group(no_args_is_help=False)
def system() -> None:
    """What the disk holds (df), what happens (events), and removing what is unused (prune)."""


@main.command()
@formats
@pass_session
def version(session: Session, template: str | None) -> object:
    """Show the versions of this and of the engine."""
    server = session.api.version(api_version=False)
    document = {"Client": _client(session), "Server": server}
    if template is not None:
        return session.surface.show(formatted(template, [document]))
    lines = [*_client_lines(document["Client"]), (0, "", None), *_server_lines(server)]
    return session.surface.show(Outline(document, "versions", lines, _VALUES))


def _client(session: Session) -> dict[str, str]:
    import docker

    import ipycontainer

    return {
        "Version": ipycontainer.__version__,
        "ApiVersion": session.api._version,
        "DockerPy": docker.__version__,
        "Python": platform.python_version(),
        "Os": platform.system().lower(),
        "Arch": platform.machine(),
    }


def _client_lines(client: dict[str, str]) -> list[Line]:
    return [
        (0, "Client: ipycontainer", None),
        (1, "Version", client["Version"]),
        (1, "API version", client["ApiVersion"]),
        (1, "docker-py", client["DockerPy"]),
        (1, "Python version", client["Python"]),
        (1, "OS/Arch", f"{client['Os']}/{client['Arch']}"),
    ]


def _server_lines(server: dict[str, Any]) -> Iterator[Line]:
    name = (server.get("Platform") or {}).get("Name") or ""
    yield 0, f"Server: {name}".rstrip(), None
    for component in server.get("Components") or ():
        details = component.get("Details") or {}
        yield 1, component["Name"], ""
        yield 2, "Version", component["Version"]
        if "ApiVersion" in details:
            least = f"(minimum version {details.get('MinAPIVersion')})"
            yield 2, "API version", f"{details['ApiVersion']} {least}"
            yield 2, "Go version", details.get("GoVersion", "")
            yield 2, "Git commit", details.get("GitCommit", "")
            yield 2, "Built", _date(details.get("BuildTime", ""))
            yield 2, "OS/Arch", f"{details.get('Os')}/{details.get('Arch')}"
            yield 2, "Experimental", details.get("Experimental", "false")
        else:
            yield 2, "GitCommit", details.get("GitCommit", "")


def _date(text: str) -> str:
    """Return an RFC 3339 time as `version` shows it; another text as it is."""
    try:
        return datetime.fromisoformat(text[:19]).strftime("%a %b %e %H:%M:%S %Y")
    except ValueError:
        return text


@main.command()
@formats
@pass_session
def info(session: Session, template: str | None) -> object:
    """Show what the engine is, what it has and what it can do here."""
    found = session.api.info()
    if template is not None:
        return session.surface.show(formatted(template, [found]))
    for warning in found.get("Warnings") or ():
        session.surface.note(warning)
    client = _client(session)
    lines: list[Line] = [
        (0, "Client", ""),
        (1, "Version", client["Version"]),
        (1, "Context", os.environ.get("DOCKER_CONTEXT", "default")),
        (0, "", None),
        (0, "Server", ""),
        *_engine_lines(found, session.address),
        *_machine_lines(found),
    ]
    return session.surface.show(Outline(found, "the engine and its machine", lines))


def _engine_lines(found: dict[str, Any], address: str) -> Iterator[Line]:
    yield 1, "Address", address
    yield 1, "Containers", str(found["Containers"])
    for state in ("Running", "Paused", "Stopped"):
        yield 2, state, str(found[f"Containers{state}"])
    yield 1, "Images", str(found["Images"])
    yield 1, "Server Version", found["ServerVersion"]
    yield 1, "Storage Driver", found["Driver"]
    for name, value in found.get("DriverStatus") or ():
        yield 2, name, value
    yield 1, "Logging Driver", found["LoggingDriver"]
    yield 1, "Cgroup Driver", found["CgroupDriver"]
    yield 1, "Cgroup Version", found["CgroupVersion"]
    yield 1, "Plugins", ""
    for kind in ("Volume", "Network", "Log"):
        yield 2, kind, " ".join((found.get("Plugins") or {}).get(kind) or ())
    yield 1, "Swarm", (found.get("Swarm") or {}).get("LocalNodeState") or "inactive"
    yield 1, "Runtimes", " ".join(sorted(found.get("Runtimes") or ()))
    yield 1, "Default Runtime", found.get("DefaultRuntime") or ""
    yield 1, "Init Binary", found.get("InitBinary") or ""
    yield 1, "Security Options", ""
    for option in found.get("SecurityOptions") or ():
        name, *more = (part.partition("=")[2] for part in option.split(","))
        yield 2, name, None
        for profile in more:
            yield 3, "Profile", profile


def _machine_lines(found: dict[str, Any]) -> Iterator[Line]:
    yield 1, "Kernel Version", found["KernelVersion"]
    yield 1, "Operating System", found["OperatingSystem"]
    yield 1, "OSType", found["OSType"]
    yield 1, "Architecture", found["Architecture"]
    yield 1, "CPUs", str(found["NCPU"])
    yield 1, "Total Memory", binary_size(found["MemTotal"])
    yield 1, "Name", found["Name"]
    yield 1, "ID", found["ID"]
    yield 1, "Docker Root Dir", found["DockerRootDir"]
    yield 1, "Debug Mode", str(found["Debug"]).lower()
    for setting, name in (("HttpProxy", "HTTP Proxy"), ("NoProxy", "No Proxy")):
        if found.get(setting):
            yield 1, name, found[setting]
    yield 1, "Experimental", str(found.get("ExperimentalBuild", False)).lower()
    registries = found.get("RegistryConfig") or {}
    yield 1, "Insecure Registries", ""
    for cidr in registries.get("InsecureRegistryCIDRs") or ():
        yield 2, cidr, None
    yield 1, "Live Restore Enabled", str(found.get("LiveRestoreEnabled", False)).lower()
