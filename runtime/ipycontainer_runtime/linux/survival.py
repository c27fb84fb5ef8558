"""Whether the engine, and its containers with it, outlive what started them."""

import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from .checks import Check

_MANAGER = re.compile(r"user@(\d+)\.service")
_SESSION = re.compile(r"session-\w+\.scope")
_SPAWNED = re.compile(r"jupyter-.*\.service")
_KEEPS = ("process", "none")
_CONTAINER_FILES = ("/.dockerenv", "/run/.containerenv")
_SECONDS = 5


def lingers(uid: int) -> bool:
    """Tell whether systemd keeps what runs for a user who has logged out."""
    return Path("/var/lib/systemd/linger", pwd.getpwuid(uid).pw_name).exists()


def kill_mode(unit: str) -> str:
    """Return what systemd ends with a unit, in the words of systemd.kill(5); "" where none says."""
    return _asked("systemctl", "show", "--property=KillMode", "--value", unit)


def ends_sessions() -> bool:
    """Tell whether logind ends what a user has started when his session ends: logind.conf(5)."""
    login = "org.freedesktop.login1"
    manager = (login, "/org/freedesktop/login1", f"{login}.Manager")
    return _asked("busctl", "get-property", *manager, "KillUserProcesses") == "b true"


def _asked(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout.strip()


def in_container() -> bool:
    """Tell whether this is inside a container of somebody else's."""
    return any(map(os.path.exists, _CONTAINER_FILES)) or "KUBERNETES_SERVICE_HOST" in os.environ


def survival(
    cgroups: str,
    lingers: Callable[[int], bool] = lingers,
    kill_mode: Callable[[str], str] = kill_mode,
    ends_sessions: Callable[[], bool] = ends_sessions,
    contained: bool = False,
) -> Check:
    """Tell from a /proc/PID/cgroup whether systemd ends the engine with what started it."""
    for line in cgroups.splitlines():
        _, controllers, path = line.split(":", 2)
        units = [part for part in path.split("/") if part.endswith((".service", ".scope"))]
        if controllers not in ("", "name=systemd") or not units:
            continue
        if units[-1].endswith(".service"):
            return _in_service(units[-1], kill_mode(units[-1]))
        if (manager := _MANAGER.fullmatch(units[0])) and not lingers(int(manager[1])):
            return _limited(
                f"the engine is in {units[-1]} of the systemd of user {manager[1]}",
                "when that user has logged out, systemd ends the engine and its containers",
                f"as root run `loginctl enable-linger {manager[1]}`",
            )
        if _SESSION.fullmatch(units[-1]) and ends_sessions():
            return _limited(
                f"the engine is in {units[-1]}, and logind has KillUserProcesses=yes",
                "when that session ends, logind ends the engine and its containers",
                "set KillUserProcesses=no in /etc/systemd/logind.conf, or start it by"
                " `systemd-run --user --scope ipycontainer engine serve`",
            )
    if contained:
        return _limited(
            "the engine is inside a container of another engine",
            "it and its containers end with that one, and what is not on a volume is lost",
            "put the data root (IPYCONTAINER_ROOT) on a volume, or use a remote engine",
        )
    return Check("survival", "ok", "no systemd service ends the engine with its notebook")


def _in_service(unit: str, mode: str) -> Check:
    if mode in _KEEPS:
        return Check("survival", "ok", f"{unit} has KillMode={mode}: the engine outlives it")
    cure = f"set KillMode=process in {unit} (`systemctl edit {unit}`)"
    if _SPAWNED.fullmatch(unit):
        cure = (
            "in jupyterhub_config.py set c.SystemdSpawner.unit_extra_properties ="
            " {'KillMode': 'process'}"
        )
    return _limited(
        f"the engine is in systemd's unit {unit}" + (f", KillMode={mode}" if mode else ""),
        "when that unit stops, systemd ends the engine and its containers",
        f"{cure}, or start `ipycontainer engine serve` elsewhere",
    )


def _limited(detail: str, cost: str, cure: str) -> Check:
    return Check("survival", "limited", detail, cost, cure)
