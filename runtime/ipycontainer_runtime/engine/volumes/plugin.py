"""One volume plugin of Docker's, over its socket.

https://docs.docker.com/engine/extend/plugins_volume/. What it answers is bounded in time and in
size, and believed no further than it has to be: it may hang, or lie.
"""

import contextlib
import http.client
import os
import socket
import ssl
import threading
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import msgspec

from ipycontainer_runtime.engine.mounts import refuse_own
from ipycontainer_runtime.engine.volumes.driver import Known
from ipycontainer_runtime.errors import InvalidParameter, NotFound, Unavailable
from ipycontainer_runtime.paths import Paths
from ipycontainer_runtime.store.volumes import Volume

_ACCEPT = "application/vnd.docker.plugins.v1.2+json"
_QUICK = 5.0
"""Seconds for a question."""
_SLOW = 120.0
"""Seconds for what may wait for a disk or another machine."""
_LARGEST = 4 << 20
_LONGEST_PATH = 4096
_SHOWN = 300


class Address(NamedTuple):
    """Where a plugin listens: `unix://PATH` or `tcp://HOST:PORT`, and how TLS is spoken there."""

    url: str
    tls: bool = False
    insecure: bool = False
    ca: str = ""
    certificate: str = ""
    key: str = ""


class Activated(msgspec.Struct):
    """The answer of /Plugin.Activate."""

    Implements: list[str] = []


class Answer(msgspec.Struct):
    """What every other call answers."""

    Err: str = ""


class Described(msgspec.Struct):
    """A volume, as a plugin tells of it."""

    Name: str = ""
    Mountpoint: str | None = None
    CreatedAt: str | None = None
    Status: dict[str, Any] | None = None


class Found(Answer):
    """The answer of Get."""

    Volume: Described | None = None


class All(Answer):
    """The answer of List."""

    Volumes: list[Described] | None = None


class Mounted(Answer):
    """The answer of Mount and Path."""

    Mountpoint: str | None = None


class Scope(msgspec.Struct):
    """What a plugin can."""

    Scope: str = ""


class Capable(Answer):
    """The answer of Capabilities."""

    Capabilities: Scope | None = None


Kind = TypeVar("Kind", bound=msgspec.Struct)


class Plugin:
    """A driver of volumes in a process of its own."""

    def __init__(self, name: str, address: Address, paths: Paths) -> None:
        self.name = name
        self.address = address
        self._own = [os.path.realpath(folder) for folder in paths]
        self._active = False
        self._scope = "local"

    def activate(self) -> None:
        """Ask it once what it is; NotFound for one that keeps no volumes."""
        if self._active:
            return
        implemented = self._ask("Plugin.Activate", None, Activated).Implements
        if "VolumeDriver" not in implemented:
            raise NotFound(
                f"error looking up volume plugin {self.name}: plugin {self.name} does not "
                "implement the requested interface VolumeDriver: name another driver"
            )
        self._scope = self._asked_scope()
        self._active = True

    def _asked_scope(self) -> str:
        try:
            said = self._ask("VolumeDriver.Capabilities", {}, Capable).Capabilities
        except Unavailable as error:
            if isinstance(error.__cause__, TimeoutError):
                raise
            return "local"  # older than that call
        return "global" if said and said.Scope.lower() == "global" else "local"

    def check(self, volume: Volume) -> None:
        """Leave names and options to the plugin; but one is a folder's name here, too."""
        name = volume.name
        if (
            "/" in name
            or name.startswith(".")
            or not name.isprintable()
            or len(name.encode()) > 255
        ):
            raise InvalidParameter(
                f"volume name {name[:80]!r} is no folder's name: leave out slashes, a dot at its "
                "beginning and control characters, and take 255 bytes at most"
            )

    def create(self, volume: Volume) -> None:
        """Have it make the volume."""
        body = {"Name": volume.name, "Opts": volume.options or {}}
        self._tell("VolumeDriver.Create", body, _SLOW)

    def remove(self, volume: Volume) -> None:
        """Have it remove the volume, unless it has no such one."""
        if self.find(volume.name) is not None:
            self._tell("VolumeDriver.Remove", {"Name": volume.name}, _SLOW)

    def path(self, volume: Volume) -> str:
        """Return nothing: a path is had by Get, and is one while the volume is mounted."""
        return ""

    def mount(self, volume: Volume, word: str) -> str:
        """Have it mounted; Unavailable or InvalidParameter for a path that cannot be shown."""
        body = {"Name": volume.name, "ID": word}
        said = self._tell("VolumeDriver.Mount", body, _SLOW, Mounted).Mountpoint
        if not said:
            said = self._tell(
                "VolumeDriver.Path", {"Name": volume.name}, _QUICK, Mounted
            ).Mountpoint
        return self._checked_path(said or "")

    def _checked_path(self, said: str) -> str:
        what = f"the path {said[:_SHOWN]!r} that volume plugin {self.name} mounted it at"
        if not said.startswith("/") or "\0" in said or len(said) > _LONGEST_PATH:
            raise Unavailable(f"{what} is no absolute path: repair the plugin")
        real = os.path.realpath(said)
        refuse_own(what, real, self._own)
        if any(folder.startswith(real.rstrip("/") + "/") for folder in self._own):
            raise InvalidParameter(f"{what} holds the engine's own folder: repair the plugin")
        if not os.path.exists(real):
            raise Unavailable(f"{what} does not exist: repair the plugin")
        return real

    def unmount(self, volume: Volume, word: str, *, last: bool) -> None:
        """Say that this run needs it no more; the plugin counts for itself."""
        self._tell("VolumeDriver.Unmount", {"Name": volume.name, "ID": word}, _SLOW)

    def find(self, name: str) -> Known | None:
        """Ask for one volume; an error is its way to say that it has none."""
        found = self._ask("VolumeDriver.Get", {"Name": name}, Found)
        if found.Err or found.Volume is None or found.Volume.Name != name:
            return None
        return _known(found.Volume)

    def known(self) -> Iterable[Known]:
        """Ask for all volumes."""
        found = self._tell("VolumeDriver.List", {}, _QUICK, All).Volumes or ()
        return [_known(one) for one in found if one.Name]

    def scope(self) -> str:
        """Return what it said when it was activated."""
        return self._scope

    # -- the protocol

    def _tell(
        self,
        method: str,
        body: dict[str, Any],
        seconds: float,
        kind: type[Kind] = Answer,  # type: ignore[assignment] # a default for a type variable
    ) -> Kind:
        answer = self._ask(method, body, kind, seconds)
        if error := getattr(answer, "Err", ""):
            raise Unavailable(f"{method}: {error[:_SHOWN]}")
        return answer

    def _ask(
        self, method: str, body: dict[str, Any] | None, kind: type[Kind], seconds: float = _QUICK
    ) -> Kind:
        try:
            status, raw = self._post(method, body, seconds)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unavailable(
                f"volume plugin {self.name} at {self.address.url}: {method}: "
                f"{str(error) or type(error).__name__}: start it again"
            ) from error
        try:
            answer = msgspec.json.decode(raw or b"{}", type=kind)
        except (msgspec.MsgspecError, RecursionError) as error:
            if status == http.client.OK:
                raise Unavailable(
                    f"volume plugin {self.name}: {method} answered what is none: {error}"
                ) from error
            said = raw[:_SHOWN].decode(errors="replace").strip()
            raise Unavailable(f"{method}: {said or f'status {status}'}") from error
        if status != http.client.OK and not getattr(answer, "Err", ""):
            raise Unavailable(f"{method}: volume plugin {self.name} answered status {status}")
        return answer

    def _post(self, method: str, body: dict[str, Any] | None, seconds: float) -> tuple[int, bytes]:
        connection = self._connection(seconds)
        connection.connect()
        # Kept, as the connection lets go of it once a reply that ends with it has begun.
        sock, expired = connection.sock, threading.Event()

        def expire() -> None:
            expired.set()
            with contextlib.suppress(OSError):  # it has ended just now
                sock.shutdown(socket.SHUT_RDWR)

        # A socket's own timeout begins anew with each byte.
        timer = threading.Timer(seconds, expire)
        timer.daemon = True
        timer.start()
        try:
            data = b"" if body is None else msgspec.json.encode(body)
            headers = {"Accept": _ACCEPT, "Content-Type": _ACCEPT}
            connection.request("POST", f"/{method}", data, headers)
            response = connection.getresponse()
            raw = response.read(_LARGEST + 1)
        except (OSError, http.client.HTTPException) as error:
            if expired.is_set() or isinstance(error, TimeoutError):
                raise TimeoutError(f"no whole answer within {seconds:.0f} s") from error
            raise
        finally:
            timer.cancel()
            connection.close()
        if expired.is_set():
            raise TimeoutError(f"no whole answer within {seconds:.0f} s")
        if len(raw) > _LARGEST:
            raise ValueError(f"an answer of more than {_LARGEST} bytes")
        return response.status, raw

    def _connection(self, seconds: float) -> http.client.HTTPConnection:
        url = urlsplit(self.address.url)
        if url.scheme == "unix":
            return _UnixConnection(url.path, seconds)
        if url.scheme != "tcp" or not url.hostname:
            raise ValueError("no address: unix://PATH or tcp://HOST:PORT is wanted")
        if not self.address.tls:
            return http.client.HTTPConnection(url.hostname, url.port, timeout=seconds)
        context = ssl.create_default_context(cafile=self.address.ca or None)
        if self.address.insecure:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if self.address.certificate:
            context.load_cert_chain(self.address.certificate, self.address.key or None)
        return http.client.HTTPSConnection(url.hostname, url.port, timeout=seconds, context=context)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("plugin", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _known(volume: Described) -> Known:
    mountpoint = (volume.Mountpoint or "")[:_LONGEST_PATH]
    return Known(volume.Name, mountpoint, volume.CreatedAt or "", volume.Status)
