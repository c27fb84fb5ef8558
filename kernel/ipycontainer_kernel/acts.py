"""What a kernel's container may have done to itself, and what it is told of itself."""

from __future__ import annotations

import json
import posixpath
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from ipycontainer.failures import Failure
from ipycontainer.units import ago, binary_size, duration, parse_time
from ipycontainer_kernel import checkpoints

if TYPE_CHECKING:
    from pathlib import Path

    from ipycontainer.session import Session
    from ipycontainer_kernel.settings import Settings

IMAGES: Final = 100
"""How many images one kernel may make."""
_LONGEST_NAME: Final = 300
_NAME: Final = re.compile(r"(?!sha256:)[a-z0-9][a-zA-Z0-9_./:-]*")


class Owned(Protocol):
    """What is needed of a `KernelContainer`."""

    id: str
    notebook: Path | None
    settings: Settings
    session: Session


@dataclass
class Keeping:
    """What is remembered of a kernel for as long as its owner has it, over its restarts."""

    every_cell: bool = False
    """Whether each cell leaves a checkpoint."""
    checkpoints: int = 0
    """How many were made of the container that there is now."""
    lost: int = 0
    """How many went with the container before it."""
    made: dict[str, str] = field(default_factory=dict)
    """Names that were given to images, and the images that have them."""
    commits: int = 0
    """How many images were made: one that lost its name to the next takes room as well."""

    def begin_anew(self) -> str:
        """Take note that the container is another one; return what is to be told of it, if any."""
        self.lost, self.checkpoints = self.checkpoints, 0
        return self.told if self.lost else ""

    @property
    def told(self) -> str:
        """What went with the container before, in words."""
        count = "the checkpoint" if self.lost == 1 else f"the {self.lost} checkpoints"
        return (
            f"{count} of before the restart went with that container: `%container commit NAME`"
            " keeps files for longer"
        )


class Acts:
    """What the control socket does for one container; one thread at a time.

    Images that it makes are named below `below`. Whatever else runs in the container may ask as
    well, and a name such as `python:3.12` would be taken for what a registry has.
    """

    def __init__(self, container: Owned, keeping: Keeping, *, below: str = "") -> None:
        self._container = container
        self._keeping = keeping
        self._below = below

    @property
    def _api(self) -> Any:
        return self._container.session.api

    def do(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Do what a request asks for, and return what is answered; raises `Failure`."""
        verbs = {
            "commit": self._commit,
            "checkpoint": self._checkpoint,
            "checkpoints": self._checkpoints,
            "info": self._info,
            "lock": self._lock,
            "every-cell": self._every_cell,
            "cell": self._cell,
            "hello": self._hello,
        }
        verb = request.get("verb")
        if not isinstance(verb, str) or verb not in verbs:
            raise Failure(f"there is no such request: one of {', '.join(verbs)}, restore is wanted")
        try:
            return verbs[verb](request)
        except Failure:
            raise
        except Exception as error:
            raise self._container.session.explained(error) from error

    def _lock(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        from ipycontainer_kernel.notebooks.lock import lock

        settings = self._container.settings
        if not settings.digest:
            image = self._api.inspect_container(self._container.id)["Image"]
            settings = replace(settings, digest=image)
        found = lock(settings, self._container.notebook)
        return {"lock": found.metadata, "notes": found.notes}

    def check(self, name: object) -> None:
        """Refuse what is no checkpoint of this container."""
        wanted = _name(name)
        if all(entry["Name"] != wanted for entry in self._listed()):
            gone = f"; {self._keeping.told}" if self._keeping.lost else ""
            raise Failure(
                f"there is no checkpoint {wanted!r}: `%container checkpoints` lists those there"
                f" are{gone}"
            )

    def _listed(self) -> list[checkpoints.Checkpoint]:
        try:
            return [*checkpoints.listed(self._api, self._container.id)]
        except Failure:
            raise
        except Exception as error:
            raise self._container.session.explained(error) from error

    def _hello(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        return {"every_cell": self._keeping.every_cell}

    def _every_cell(self, request: Mapping[str, Any]) -> dict[str, Any]:
        wanted = request.get("on") is True
        if wanted:
            self._listed()  # an engine that has no checkpoints says so here
        self._keeping.every_cell = wanted
        what = "keeps a checkpoint" if wanted else "keeps no checkpoints any more"
        return {"every_cell": wanted, "text": f"every cell that changes files {what}"}

    def _cell(self, request: Mapping[str, Any]) -> dict[str, Any]:
        count = request.get("count")
        if not self._keeping.every_cell or not isinstance(count, int) or not 0 <= count < 1 << 31:
            return {"text": ""}
        made = checkpoints.after_cell(self._api, self._container.id, count)
        self._keeping.checkpoints += made is not None
        return {"text": f"{made['Name']}: {checkpoints.summary(made)}" if made else ""}

    def _checkpoint(self, request: Mapping[str, Any]) -> dict[str, Any]:
        name = request.get("name") or ""
        made = checkpoints.create(self._api, self._container.id, _name(name) if name else "")
        lines = [f"{made['Name']}: {checkpoints.summary(made)}", *checkpoints.details(made)]
        if not self._keeping.checkpoints:
            lines.append(
                "(kept until Jupyter restarts or ends this kernel; `%container commit NAME` keeps"
                " files for longer)"
            )
        self._keeping.checkpoints += 1
        return {"name": made["Name"], "text": "\n".join(lines)}

    def _checkpoints(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        found = self._listed()
        lines = [
            f"{'*' if entry['Current'] else ' '} {entry['Name']:<16} "
            f"{ago(parse_time(entry['Created'])):<16} {checkpoints.summary(entry)}"
            for entry in found
        ]
        names = [entry["Name"] for entry in found]
        none = "there are no checkpoints: `%container checkpoint` makes one"
        if self._keeping.lost:
            none = f"{none}; {self._keeping.told}"
        return {"names": names, "text": "\n".join(lines) or none}

    def _commit(self, request: Mapping[str, Any]) -> dict[str, Any]:
        from docker.errors import ImageNotFound
        from docker.utils import parse_repository_tag

        name = _name(request.get("name"))
        if not _NAME.fullmatch(name):
            raise Failure(f"{name!r} is no name for an image: REPOSITORY[:TAG] is wanted")
        name = self._placed(name)
        try:
            there = self._api.inspect_image(name)["Id"]
        except ImageNotFound:
            there = ""
        if there and self._keeping.made.get(name) != there:
            raise Failure(f"an image is called {name} already: take another name, or `rmi` it")
        if self._keeping.commits >= IMAGES:
            raise Failure(f"this kernel has made {IMAGES} images: make more from outside")
        repository, tag = parse_repository_tag(name)
        changes = self._as_image()
        # Who asks waits for the answer, and not every machine can pause.
        made = self._api.commit(self._container.id, repository, tag, changes=changes, pause=False)[
            "Id"
        ]
        self._keeping.made[name] = made
        self._keeping.commits += 1
        return {"id": made, "text": f"{name}: {made.removeprefix('sha256:')[:12]}"}

    def _placed(self, name: str) -> str:
        if name.startswith(self._below):
            return name
        host, slash, rest = name.partition("/")
        if slash and ("." in host or ":" in host or host == "localhost"):
            raise Failure(
                f"what a kernel makes is named below {self._below}: `%container commit {rest}`, and"
                f" `ipycontainer tag {self._below}{rest} {name}` outside"
            )
        return self._below + name

    def _as_image(self) -> list[str]:
        """Return what makes of a kernel's container an image like the one that it is of."""
        details = self._api.inspect_container(self._container.id)
        config = self._api.inspect_image(details["Image"])["Config"] or {}
        return [
            f"ENTRYPOINT {json.dumps(config.get('Entrypoint') or [])}",
            f"CMD {json.dumps(config.get('Cmd') or [])}",
            f"WORKDIR {config.get('WorkingDir') or '/'}",
        ]

    def _info(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        api, container = self._api, self._container.id
        details = api.inspect_container(container)
        used = api.stats(container, stream=False, one_shot=True).get("memory_stats") or {}
        facts = {
            "image": _image(self._container.settings, details),
            "limits": _limits(details["HostConfig"]),
            "network": details["HostConfig"]["NetworkMode"],
            "mounts": _mounts(details),
            "running for": duration(time.time() - parse_time(details["State"]["StartedAt"])),
            "memory": _memory(used),
            "files": _changed(api.diff(container) or [], details),
            "checkpoints": self._kept(),
        }
        return {"text": "\n".join(f"{name:<12} {value}" for name, value in facts.items())}

    def _kept(self) -> str:
        try:
            kept = self._listed()
        except Failure:
            return "none: this engine has none of files"
        every = ", one after every cell" if self._keeping.every_cell else ""
        return f"{len(kept)}{every}"


def _name(given: object) -> str:
    if not isinstance(given, str) or not given or len(given) > _LONGEST_NAME:
        raise Failure(f"a name is wanted, of {_LONGEST_NAME} characters at most")
    return given


def _image(settings: Settings, details: Mapping[str, Any]) -> str:
    return f"{settings.image} ({details['Image'].removeprefix('sha256:')[:12]})"


def _limits(host: Mapping[str, Any]) -> str:
    limits = []
    if host.get("Memory"):
        limits.append(f"{binary_size(host['Memory'])} of memory")
    if host.get("NanoCpus"):
        limits.append(f"{host['NanoCpus'] / 1e9:g} cpus")
    if (host.get("PidsLimit") or 0) > 0:
        limits.append(f"{host['PidsLimit']} processes")
    return ", ".join(limits) or "none"


def _mounts(details: Mapping[str, Any]) -> str:
    # Ours are how the kernel is reached and what it is made of.
    shown = [
        f"{mount['Destination']}{'' if mount.get('RW', True) else ' (read-only)'}"
        for mount in details.get("Mounts") or ()
        if not mount["Destination"].startswith("/run/ipycontainer-")
    ]
    return ", ".join(shown) or "none"


def _memory(used: Mapping[str, Any]) -> str:
    if "usage" not in used:
        return "not known: there is no cgroup for it"
    peak = used.get("max_usage")
    return binary_size(used["usage"]) + (f", {binary_size(peak)} at most" if peak else "")


def _changed(changes: list[dict[str, Any]], details: Mapping[str, Any]) -> str:
    # `diff` has what things were mounted at too, and each folder that has a change in it.
    left_out = {mount["Destination"] for mount in details.get("Mounts") or ()}
    left_out |= {*(details["HostConfig"].get("Tmpfs") or ())}
    folders = {posixpath.dirname(change["Path"]) for change in changes}
    left_out |= {change["Path"] for change in changes if not change["Kind"]} & folders
    kinds = [change["Kind"] for change in changes if change["Path"] not in left_out]
    counts = ((kinds.count(1), "added"), (kinds.count(0), "changed"), (kinds.count(2), "deleted"))
    return ", ".join(f"{number} {word}" for number, word in counts if number) or "as in the image"
