"""RUN --mount: what a step sees beside its own root, and what nothing keeps of it.

Sources are resolved in their root by the kernel, and targets by the launcher in the step's, so
neither `..` nor a symlink leads out (CVE-2024-23651, -23652, -9675). What is written to a bind
mount goes to an overlay above it and is discarded; mount points that were made are taken away.
"""

import contextlib
import posixpath
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from ipycontainer_runtime.build.instructions import Mount as Asked
from ipycontainer_runtime.build.running import SCRIPTS, Invocation
from ipycontainer_runtime.engine.building.layering import Delta
from ipycontainer_runtime.engine.building.stage import StageBuild
from ipycontainer_runtime.errors import NotImplementedHere
from ipycontainer_runtime.oci.runtime import Mount


class Mounts:
    """The mounts of one RUN; a context manager that lets go of what they hold."""

    def __init__(self, stage: StageBuild, asked: Sequence[Asked], invoked: Invocation) -> None:
        self._stage = stage
        self._asked = asked
        self._invoked = invoked
        self._held = contextlib.AsyncExitStack()
        self.environment: tuple[str, ...] = ()
        """The variables that secrets are given in."""
        self.inputs: list[Any] = []
        """What of the mounts goes into the step's key: never a secret."""

    async def __aenter__(self) -> "Mounts":
        if self._asked:
            raise NotImplementedHere("RUN --mount is not supported yet: leave it out")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._held.aclose()

    async def place(self, delta: Delta) -> list[Mount]:
        """Make what the launcher is to mount."""
        if not self._invoked.script:
            return []
        folder = delta.staging.diff.parent / "script"
        folder.mkdir()
        file = folder / posixpath.basename(self._invoked.path)
        file.write_text(self._invoked.script)
        file.chmod(0o755)
        return [Mount("bind", str(folder), SCRIPTS, ("rbind", "rprivate", "ro"))]

    async def clean(self, delta: Delta) -> None:
        """Take away what the mounts left in the step's root."""
