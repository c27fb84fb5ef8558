"""RUN --mount: what a step sees beside its own root, and what nothing keeps of it.

Sources are resolved in their root by the kernel, and targets by the launcher in the step's, so
neither `..` nor a symlink leads out (CVE-2024-23651, -23652, -9675). What is written to a bind
mount goes to an overlay above it and is discarded; mount points that were made are taken away.
Secrets are in the run folder while their step runs, and neither in a key nor in a message.
"""

import asyncio
import contextlib
import os
import posixpath
import shutil
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from ipycontainer_runtime.build.instructions import Mount as Asked
from ipycontainer_runtime.build.plan import Origin
from ipycontainer_runtime.build.running import SCRIPTS, Invocation
from ipycontainer_runtime.engine.building.binds import Bound, bound, shown
from ipycontainer_runtime.engine.building.layering import Delta
from ipycontainer_runtime.engine.building.mountpoints import Points, find_points
from ipycontainer_runtime.engine.building.placing import in_view
from ipycontainer_runtime.engine.building.sandbox import LENT
from ipycontainer_runtime.engine.building.stage import StageBuild
from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.oci.runtime import Mount

_AGENT = "/run/buildkit/ssh_agent.{}"
"""Where a step has the agents that it is lent, counted from 0; BuildKit's places."""
_AGENT_VARIABLE = "SSH_AUTH_SOCK"
_QUIET = ("nosuid", "nodev")


class Mounts:
    """The mounts of one RUN; a context manager that lets go of what they hold."""

    def __init__(self, stage: StageBuild, asked: Sequence[Asked], invoked: Invocation) -> None:
        self._stage = stage
        self._site = stage.site
        self._asked = asked
        self._invoked = invoked
        self._held = contextlib.AsyncExitStack()
        self._binds: dict[int, Bound] = {}
        self._caches: dict[str, Path] = {}
        agents = (number for number, mount in enumerate(asked) if mount.kind == "ssh")
        self._agents = {number: _AGENT.format(count) for count, number in enumerate(agents)}
        self._points: Points = []
        self.environment: tuple[str, ...] = ()
        """The variables that secrets and agents are given in, once the mounts are placed."""
        self.inputs: list[Any] = []
        """What of the mounts goes into the step's key: never a secret."""

    async def __aenter__(self) -> "Mounts":
        try:
            for number, mount in enumerate(self._asked):
                if mount.kind == "bind" or (mount.kind == "cache" and mount.origin):
                    self._binds[number] = await self._bind(mount)
                self.inputs.append(self._input(number, mount))
        except BaseException:
            await self._held.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._held.aclose()

    def _input(self, number: int, mount: Asked) -> list[Any]:
        content = self._binds[number].digest if number in self._binds else ""
        return [
            *(
                mount.kind,
                self._target(number, mount),
                mount.read_only,
                mount.identity,
                mount.sharing,
            ),
            *(mount.origin, mount.source, mount.mode, mount.uid, mount.gid, mount.size),
            *(mount.env, content),
        ]

    def _target(self, number: int, mount: Asked) -> str:
        target = mount.target or self._agents.get(number, "")
        if not target:
            return ""
        return posixpath.normpath(posixpath.join("/", self._stage.state.described.folder, target))

    async def _bind(self, mount: Asked) -> Bound:
        root = await self._root(mount.origin)
        self._held.callback(os.close, root)
        ownership = self._site.layering.ownership
        source = mount.source or "/"
        return await asyncio.to_thread(bound, root, source, ownership)

    async def _root(self, origin: str) -> int:
        if not origin:
            return os.open(self._site.context, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return await self._site.root(self._origin(origin))

    def _origin(self, origin: str) -> Origin:
        return self._stage.planned.origins[origin]

    # -- placing

    async def place(self, delta: Delta) -> list[Mount]:
        """Make what the launcher is to mount, and note which mount points it will make."""
        placed: list[Mount] = []
        environment: list[str] = []
        if self._invoked.script:
            placed.append(self._script())
        await self._claim()
        for number, mount in enumerate(self._asked):
            placed += await self._placed(number, mount, environment)
        self.environment = tuple(environment)
        targets = [
            mount.destination for mount in placed if not mount.destination.startswith("/dev/")
        ]
        if targets:
            self._points = await in_view(
                delta, lambda view: find_points(view, targets), lambda: None
            )
        return placed

    def _script(self) -> Mount:
        folder = self._scratch("script")
        file = folder / posixpath.basename(self._invoked.path)
        file.write_text(self._invoked.script)
        file.chmod(0o755)
        return Mount("bind", str(folder), SCRIPTS, ("rbind", "rprivate", "ro"))

    async def _placed(self, number: int, mount: Asked, environment: list[str]) -> list[Mount]:
        target = self._target(number, mount)
        if mount.kind in ("bind", "cache", "tmpfs") and target in ("", "/"):
            raise InvalidParameter(
                f"RUN --mount=type={mount.kind} has the target {mount.target!r}: name a folder"
            )
        if mount.kind == "bind":
            return [await self._placed_bind(self._binds[number], mount, target)]
        if mount.kind == "cache":
            return [await self._cache(mount, target, self._binds.get(number))]
        if mount.kind == "tmpfs":
            size = (f"size={mount.size}",) if mount.size else ()
            return [Mount("tmpfs", "tmpfs", target, (*_QUIET, "mode=1777", *size))]
        if mount.kind == "secret":
            return self._secret(mount, target, environment)
        return self._agent(mount, target, environment)

    async def _placed_bind(self, source: Bound, mount: Asked, target: str) -> Mount:
        stack = None
        if mount.origin:
            origin = self._origin(mount.origin)
            stack = await self._site.stack(origin)
        make = shown(
            source,
            mount,
            target,
            self._site.layering,
            stack,
            self._site.context,
            self._scratch("bind"),
        )
        return await make

    async def _cache(self, mount: Asked, target: str, source: Bound | None) -> Mount:
        folder = self._caches[self._cache_name(mount, source)]
        async with self._site.persistent.beginning(folder):
            if not folder.exists():
                await self._begin_cache(mount, folder, source)
        options = ("rbind", "rprivate", *(("ro",) if mount.read_only else ()))
        return Mount("bind", str(folder), target, options)

    def _cache_name(self, mount: Asked, source: Bound | None) -> str:
        """Return a cache's id; what it begins with is a part of it, as in BuildKit."""
        return f"{mount.identity}:{source.digest}" if source else mount.identity

    async def _claim(self) -> None:
        """Have the folders of all caches, each once and in one order, so that none waits for us."""
        wanted: dict[str, str] = {}
        for number, mount in enumerate(self._asked):
            if mount.kind == "cache":
                name = self._cache_name(mount, self._binds.get(number))
                # Of two mounts of one cache the one that shares less counts: locked, private.
                wanted[name] = min(wanted.get(name, mount.sharing), mount.sharing)
        for name, sharing in sorted(wanted.items()):
            claim = self._site.persistent.claim(name, sharing)
            self._caches[name] = await self._held.enter_async_context(claim)

    async def _begin_cache(self, mount: Asked, folder: Path, source: Bound | None) -> None:
        """Make a cache's folder, with the contents of its `from` and `source` if it has any."""
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = folder.with_name(f".{folder.name}")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        if source is not None:
            await asyncio.to_thread(source.copy_to, fresh, self._site.layering)
        self._owned(fresh, mount.mode if mount.mode is not None else 0o755, mount)
        fresh.rename(folder)

    def _owned(self, path: Path, mode: int, mount: Asked) -> None:
        ownership = self._site.layering.ownership
        ids = (mount.uid or 0, mount.gid or 0)
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            ownership.record(file, *ids)
            os.fchmod(file, mode & 0o7777)
            os.fchown(file, *ownership.to_disk(*ids))
        finally:
            os.close(file)

    def _secret(self, mount: Asked, target: str, environment: list[str]) -> list[Mount]:
        content = self._site.request.secrets.content(mount.identity)
        if content is None:
            if mount.required:
                raise InvalidParameter(
                    f"secret {mount.identity}: not found: give it with --secret id={mount.identity}"
                )
            environment += [f"{mount.env}="] if mount.env is not None else []
            return []
        if mount.env is not None:
            environment.append(f"{mount.env}={content.decode('utf-8', 'surrogateescape')}")
        if not mount.target and mount.env is not None:
            return []
        run = self._site.machine.paths.run
        folder = Path(tempfile.mkdtemp(prefix=LENT, dir=os.path.realpath(run)))
        self._held.callback(shutil.rmtree, folder)
        file = folder / "secret"
        file.touch(0o600)
        file.write_bytes(content)
        self._owned(file, 0o400 if mount.mode is None else mount.mode, mount)
        return [Mount("bind", str(file), target, ("rbind", "rprivate", "ro"))]

    def _agent(self, mount: Asked, target: str, environment: list[str]) -> list[Mount]:
        path = self._site.request.secrets.ssh.get(mount.identity)
        if path is None:
            if mount.required:
                raise InvalidParameter(
                    f"ssh agent {mount.identity}: not found: give it with --ssh {mount.identity}"
                )
            return []
        real = os.path.realpath(path)
        if not os.path.exists(real) or not stat.S_ISSOCK(os.stat(real).st_mode):
            raise InvalidParameter(f"ssh agent {mount.identity}: {path} is no socket here")
        if not any(variable.startswith(f"{_AGENT_VARIABLE}=") for variable in environment):
            environment.append(f"{_AGENT_VARIABLE}={target}")  # of several the first one's
        return [Mount("bind", real, target, ("rbind", "rprivate"))]

    def _scratch(self, kind: str) -> Path:
        folder = Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=self._site.folder))
        folder.chmod(0o755)
        return folder

    async def clean(self, delta: Delta) -> None:
        """Take away the mount points that were made for the step, unless it used them."""
        if self._points:
            async with delta.layering.still():
                await asyncio.to_thread(delta.take_away, self._points)
