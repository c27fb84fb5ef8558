"""The command `ipycontainer-oci`, with runc's operations and flags."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from .. import __version__
from ..errors import Conflict, ContainerError, NotFound, NotImplementedHere
from ..launch.process import CAPABILITIES
from . import bundle, console, control, execs, states
from .arguments import parser
from .create import Wishes, create
from .template import template

SPEC_VERSION = "1.2.0"


def main(arguments: list[str] | None = None) -> int:
    """Do one operation and return the exit code; errors go to --log and to standard error."""
    asked = parser(f"ipycontainer-oci version {__version__}\nspec: {SPEC_VERSION}").parse_args(
        arguments
    )
    asked.root = asked.root or states.default_root()
    try:
        if asked.systemd_cgroup:
            raise NotImplementedHere(
                "--systemd-cgroup is not supported: have cgroupfs manage cgroups"
            )
        return OPERATIONS[asked.operation](asked) or 0
    except (ContainerError, OSError) as error:
        _log(asked, str(error))
        print(f"ipycontainer-oci: {asked.operation}: {error}", file=sys.stderr)
        return 1


def _log(asked: argparse.Namespace, text: str) -> None:
    if not asked.log:
        return
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if asked.log_format == "json":
        line = json.dumps({"level": "error", "msg": text, "time": now})
    else:
        line = f'time="{now}" level=error msg={json.dumps(text)}'
    with open(asked.log, "a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def _find(asked: argparse.Namespace) -> states.Container:
    return states.find(asked.root, asked.id)


def _wishes(asked: argparse.Namespace) -> Wishes:
    return Wishes(asked.console_socket, asked.pid_file, asked.no_pivot, asked.preserve_fds)


def _create(asked: argparse.Namespace) -> None:
    create(asked.root, asked.id, asked.bundle, _wishes(asked))


def _run(asked: argparse.Namespace) -> int:
    container, birth = create(
        asked.root, asked.id, asked.bundle, _wishes(asked), relayed=not asked.detach
    )
    try:
        control.start(container)
        if asked.detach:
            return 0
        return console.attended(birth)
    finally:
        if not (asked.detach or asked.keep):
            control.delete(container, force=True)


def _exec(asked: argparse.Namespace) -> int:
    container = _find(asked)
    if asked.process:
        process = execs.read_process(asked.process)
    else:
        if not asked.args:
            raise Conflict("exec needs a command, or --process FILE")
        process = execs.like_first(
            container,
            asked.args,
            cwd=asked.cwd,
            env=asked.env,
            user=asked.user,
            additional_gids=asked.additional_gids,
            capabilities=asked.cap,
            terminal=asked.tty,
            noNewPrivileges=asked.no_new_privs or None,
        )
    wishes = execs.ExecWishes(
        asked.console_socket, asked.pid_file, asked.preserve_fds, asked.detach, asked.ignore_paused
    )
    birth = execs.execute(container, process, wishes)
    return 0 if asked.detach else console.attended(birth)


def _delete(asked: argparse.Namespace) -> None:
    try:
        container = _find(asked)
    except NotFound:
        if asked.force:
            return
        raise
    control.delete(container, force=asked.force)


def _kill(asked: argparse.Namespace) -> None:
    control.kill(_find(asked), control.signal_number(asked.signal), every=asked.all)


def _list(asked: argparse.Namespace) -> None:
    rows = [container.state() for container in states.every(asked.root)]
    if asked.quiet:
        print("\n".join(row["id"] for row in rows))
    elif asked.format == "json":
        print(json.dumps(rows or None))
    else:
        columns = ("id", "pid", "status", "bundle", "created", "owner")
        _table([[name.upper() for name in columns], *([str(r[c]) for c in columns] for r in rows)])


def _table(rows: list[list[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("   ".join(cells).rstrip())


def _ps(asked: argparse.Namespace) -> int:
    pids = _find(asked).groups.pids()
    if asked.format == "json":
        print(json.dumps(pids))
        return 0
    wanted = asked.options or ["-ef"]
    return os.spawnlp(os.P_WAIT, "ps", "ps", *wanted, "--pid", ",".join(map(str, pids)))  # noqa: S606 - no shell


def _spec(asked: argparse.Namespace) -> None:
    path = os.path.join(asked.bundle, "config.json")
    written = template(rootless=asked.rootless, uid=os.getuid(), gid=os.getgid())
    try:
        with open(path, "x", encoding="utf-8") as file:
            json.dump(written, file, indent=4)
    except FileExistsError as error:
        raise Conflict(f"{path} is there already: remove it, or name another --bundle") from error


def _features(asked: argparse.Namespace) -> None:
    from ..launch.plan import MOUNT_ATTRIBUTES, PROPAGATION, WORDLESS
    from ..linux.seccomp.custom import ACTIONS, ARCHITECTURES, COMPARISONS

    options = sorted({*MOUNT_ATTRIBUTES, *PROPAGATION, *WORDLESS, "tmpcopyup"})
    print(json.dumps({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": SPEC_VERSION,
        "hooks": list(bundle.HOOKS),
        "mountOptions": options,
        "linux": {
            "namespaces": sorted(bundle.KINDS),
            "capabilities": [f"CAP_{name}" for name in CAPABILITIES],
            "cgroup": {"v1": True, "v2": True, "systemd": False, "systemdUser": False},
            "seccomp": {
                "enabled": True,
                "actions": sorted(ACTIONS),
                "operators": sorted(COMPARISONS),
                "archs": sorted(ARCHITECTURES),
            },
            "apparmor": {"enabled": False},
            "selinux": {"enabled": False},
        },
        "annotations": {"org.ipycontainer.oci.version": __version__},
    }, indent=4))  # fmt: skip


OPERATIONS: dict[str, Callable[[argparse.Namespace], Any]] = {
    "create": _create,
    "delete": _delete,
    "exec": _exec,
    "features": _features,
    "kill": _kill,
    "list": _list,
    "pause": lambda asked: control.pause(_find(asked), paused=True),
    "ps": _ps,
    "resume": lambda asked: control.pause(_find(asked), paused=False),
    "run": _run,
    "spec": _spec,
    "start": lambda asked: control.start(_find(asked)),
    "state": lambda asked: print(json.dumps(_find(asked).state(), indent=2)),
    "update": lambda asked: control.update(_find(asked), control.read_resources(asked.resources)),
}
