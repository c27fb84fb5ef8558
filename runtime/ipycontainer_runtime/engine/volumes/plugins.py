"""Where Docker's plugins are found: sockets and files that name an address.

https://docs.docker.com/engine/extend/plugin_api/#plugin-discovery. For an ordinary user's engine
the folders are those of rootless Docker.
"""

import os
import re
from collections.abc import Iterator, Sequence

import msgspec

from ipycontainer_runtime.engine.volumes.plugin import Address, Plugin
from ipycontainer_runtime.errors import NotFound
from ipycontainer_runtime.paths import Paths

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")
_LONGEST_FILE = 64 << 10


class TlsConfig(msgspec.Struct):
    """How a plugin at a TCP address proves who it is."""

    InsecureSkipVerify: bool = False
    CAFile: str = ""
    CertFile: str = ""
    KeyFile: str = ""


class Described(msgspec.Struct):
    """A plugin's .json file."""

    Addr: str
    Name: str = ""
    TLSConfig: TlsConfig | None = None


class Plugins:
    """The plugins of this machine, looked for at each use: they come and go."""

    def __init__(self, paths: Paths, *, rootless: bool) -> None:
        self._paths = paths
        self._sockets, self._files = folders(rootless=rootless)
        self._plugins: dict[str, Plugin] = {}

    def get(self, name: str) -> Plugin:
        """Return the plugin of this name; NotFound in Docker's words."""
        if plugin := self.find(name):
            return plugin
        raise NotFound(
            f'error looking up volume plugin {name}: plugin "{name}" not found: start it, so that '
            f"its socket is in {self._sockets}"
        )

    def find(self, name: str) -> Plugin | None:
        """Return the plugin of this name, None where there is none."""
        address = self._address(name) if _NAME.fullmatch(name) else None
        if address is None:
            self._plugins.pop(name, None)
            return None
        known = self._plugins.get(name)
        if known is None or known.address != address:
            known = self._plugins[name] = Plugin(name, address, self._paths)
        return known

    def all(self) -> Sequence[Plugin]:
        """Return every plugin that is there, in the order of their names."""
        found = (self.find(name) for name in sorted(set(self._names())))
        return [plugin for plugin in found if plugin is not None]

    def _names(self) -> Iterator[str]:
        for folder, endings in ((self._sockets, (".sock",)), *((f, _FILES) for f in self._files)):
            for entry in _entries(folder):
                name, ending = os.path.splitext(entry)
                if ending in endings:
                    yield name
                elif any(os.path.exists(f"{folder}/{entry}/{entry}{e}") for e in endings):
                    yield entry

    def _address(self, name: str) -> Address | None:
        for path in (f"{self._sockets}/{name}.sock", f"{self._sockets}/{name}/{name}.sock"):
            if os.path.exists(path):
                return Address(f"unix://{path}")
        for folder in self._files:
            for ending in _FILES:
                for path in (f"{folder}/{name}{ending}", f"{folder}/{name}/{name}{ending}"):
                    if (raw := _content(path)) is not None:
                        return _json(raw) if ending == ".json" else _spec(raw)
        return None


_FILES = (".spec", ".json")


def folders(*, rootless: bool) -> tuple[str, list[str]]:
    """Return the folder of sockets, and those of .spec and .json files."""
    if not rootless:
        return "/run/docker/plugins", ["/etc/docker/plugins", "/usr/lib/docker/plugins"]
    home = os.path.expanduser("~")
    run = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    config = os.environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
    library = os.environ.get("XDG_LIB_HOME") or f"{home}/.local/lib"
    return f"{run}/docker/plugins", [f"{config}/docker/plugins", f"{library}/docker/plugins"]


def _entries(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _content(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read(_LONGEST_FILE)
    except OSError:
        return None


def _spec(raw: bytes) -> Address:
    return Address(raw.decode(errors="replace").strip())


def _json(raw: bytes) -> Address:
    try:
        described = msgspec.json.decode(raw, type=Described)
    except msgspec.MsgspecError:
        return Address("")  # said when it is called
    tls = described.TLSConfig
    if tls is None:
        return Address(described.Addr)
    return Address(
        described.Addr, True, tls.InsecureSkipVerify, tls.CAFile, tls.CertFile, tls.KeyFile
    )
