"""`version` and `info`: what runs the containers, and where."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ..failures import one_line
from ..session import Session
from ..templates import render
from .base import formats, main, pass_session


def _told(session: Session, document: dict[str, Any], template: str | None, text: str) -> None:
    if template == "json":
        text = json.dumps(document, ensure_ascii=False)
    elif template is not None:
        text = render(template, document)
    session.surface.say(text)


@main.group(no_args_is_help=False)
def system() -> None:
    """What the disk holds (df), what happens (events), and removing what is unused (prune)."""


@main.command()
@formats
@pass_session
def version(session: Session, template: str | None) -> None:
    """Show the versions of this and of the engine."""
    import docker

    import ipycontainer

    engine = session.api.version(api_version=False)
    client = {"Version": ipycontainer.__version__, "docker-py": docker.__version__}
    name = (engine.get("Platform") or {}).get("Name") or "Engine"
    facts = {
        "ipycontainer": client["Version"],
        "docker-py": f"{client['docker-py']} (API {session.api._version})",
        "Engine": f"{name} {engine.get('Version', '')}",
        "API": f"{engine.get('ApiVersion')} (at least {engine.get('MinAPIVersion')})",
        "Kernel": engine.get("KernelVersion", ""),
        "Platform": f"{engine.get('Os')}/{engine.get('Arch')}",
    }
    _told(session, {"Client": client, "Server": engine}, template, "\n".join(_aligned(facts)))


@main.command()
@formats
@pass_session
def info(session: Session, template: str | None) -> None:
    """Show what the engine is, what it has and what it can do here."""
    found = session.api.info()
    for warning in found.get("Warnings") or ():
        session.surface.note(warning)
    facts = {
        "Engine": f"{found.get('ServerVersion')} at {session.address}",
        "Containers": (
            f"{found['Containers']} ({found['ContainersRunning']} running, "
            f"{found['ContainersStopped']} stopped)"
        ),
        "Images": found["Images"],
        "Storage": f"{found['Driver']} in {found['DockerRootDir']}",
        "Cgroups": f"{found.get('CgroupDriver')}, version {found.get('CgroupVersion')}",
        "Security": ", ".join(found.get("SecurityOptions") or ()),
        "Machine": f"{found['OperatingSystem']}, {found['Architecture']}, {found['NCPU']} CPUs",
        "Kernel": found["KernelVersion"],
    }
    _told(session, found, template, "\n".join(_aligned(facts)))


def _aligned(facts: dict[str, Any]) -> Iterator[str]:
    width = max(map(len, facts)) + 2
    return (f"{name + ':':{width}}{one_line(str(value))}" for name, value in facts.items())
