"""Where an engine keeps its data and its sockets. Both sides of the socket agree by this file."""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

ROOT_VARIABLE = "IPYCONTAINER_ROOT"
RUN_VARIABLE = "IPYCONTAINER_RUN"


class Paths(NamedTuple):
    """The two folders of one engine: `root` survives a reboot, `run` need not."""

    root: Path
    run: Path

    @property
    def socket(self) -> Path:
        """The unix socket of the Engine API."""
        return self.run / "engine.sock"

    @property
    def activation_lock(self) -> Path:
        """Held while a client starts the engine, and by an engine that is about to leave."""
        return self.run / "activation.lock"

    @property
    def pid(self) -> Path:
        """Names the running engine's process id."""
        return self.run / "engine.pid"

    @property
    def log(self) -> Path:
        """What the engine writes to its standard error."""
        return self.run / "engine.log"

    @property
    def root_lock(self) -> Path:
        """Held by the one engine that may write this data root."""
        return self.root / "lock"


def paths() -> Paths:
    """Return the folders of this user's engine.

    `IPYCONTAINER_ROOT` and `IPYCONTAINER_RUN` override the defaults: /var/lib/ipycontainer and
    /run/ipycontainer for root, else $XDG_DATA_HOME/ipycontainer and $XDG_RUNTIME_DIR/ipycontainer
    (without a runtime folder, /tmp/ipycontainer-UID). An engine whose root is not the default gets
    a run folder of its own, so that two roots never share a socket. Nothing is created here.
    """
    uid = os.getuid()
    if uid == 0:
        default_root, base = Path("/var/lib/ipycontainer"), Path("/run/ipycontainer")
    else:
        data_home = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
        default_root = Path(data_home) / "ipycontainer"
        runtime = os.environ.get("XDG_RUNTIME_DIR")
        base = Path(runtime) / "ipycontainer" if runtime else Path(f"/tmp/ipycontainer-{uid}")  # noqa: S108 - checked for its owner before use
    root = Path(os.environ.get(ROOT_VARIABLE) or default_root).absolute()
    if given := os.environ.get(RUN_VARIABLE):
        return Paths(root, Path(given).absolute())
    if root == default_root:
        return Paths(root, base)
    return Paths(root, base / hashlib.sha256(os.fsencode(root)).hexdigest()[:12])
