"""A part of the cgroup tree for an ordinary user's engine, asked of systemd over D-Bus.

The cgroup of a login belongs to root, and there a user can limit nothing. What is his is below his
own systemd, which gives parts of it away: a *scope* with Delegate=yes. The first engine of a run
folder has one made with itself in it; it lasts as long as anything runs in it, and later engines
join it, as containers can only be cloned from inside. The engine sits in a leaf, since on v2 what
hands controllers down may hold no process.

Source: https://systemd.io/CGROUP_DELEGATION, org.freedesktop.systemd1(5).
"""

import binascii
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .cgroup.base import mounts, own_paths
from .cgroup.v2 import LEAF, delegated

if TYPE_CHECKING:
    from jeepney import MatchRule
    from jeepney.io.blocking import DBusConnection

_SECONDS = 15  # the first who connects waits for the bus itself to start
_TRIES = 3
_BUS_NAME = "org.freedesktop.systemd1"
_BUS_PATH = "/org/freedesktop/systemd1"
_CALLER = 0  # instead of a process's number: whoever asks
_EVERYTHING = 2**64 - 1


def claim(run: Path) -> str:
    """Move this process to where it can make cgroups, if systemd lets it; return why it does not.

    Called by the engine while it has one thread, has started nothing, and is still the user
    whom the bus knows: before it enters a user namespace. For root, on cgroup v1 and where there
    is nothing to do, an empty text. Takes 60 ms, most of it for the import of a D-Bus library.
    """
    own = own_paths().get("", "/")
    if os.geteuid() == 0 or "memory" in own_paths() or not mounts("cgroup2"):
        return ""
    if f"/{_scope(run)}/" in own or delegated(_folder(own.removesuffix(f"/{LEAF}"))):
        return ""
    bus = _bus()
    if not os.path.exists(bus):
        return f"there is no user session of systemd's ({bus} is not there)"
    from jeepney import AuthenticationError, DBusErrorResponse
    from jeepney.io.blocking import open_dbus_connection

    try:
        with open_dbus_connection(f"unix:path={bus}", auth_timeout=_SECONDS) as connection:
            _join(_Systemd(connection), _scope(run))
    except (OSError, AuthenticationError, DBusErrorResponse) as error:
        return f"systemd gives no scope: {error}"
    return ""


def _scope(run: Path) -> str:
    return f"ipycontainer-{binascii.crc32(os.fsencode(run)):08x}.scope"


def _folder(path: str) -> str:
    _, point, _ = mounts("cgroup2")[0]
    return point + path


def _bus() -> str:
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    return f"{runtime}/bus"


class _Systemd:
    """The user's systemd, at the other end of a connection to his bus."""

    def __init__(self, connection: "DBusConnection") -> None:
        self._connection = connection

    def call(self, method: str, signature: str = "", *body: object) -> tuple[Any, ...]:
        """Call a method of its manager; raises DBusErrorResponse."""
        return self._ask(_BUS_PATH, f"{_BUS_NAME}.Manager", method, signature, body)

    def delegates(self) -> bool:
        """Tell whether the unit that we are in was delegated to who started us."""
        from jeepney import DBusErrorResponse

        try:
            (unit,) = self.call("GetUnitByPID", "u", _CALLER)
        except DBusErrorResponse:  # we are in none of his units, as in a login by ssh
            return False
        name = own_paths()[""].rpartition("/")[2]
        interface = f"{_BUS_NAME}.{'Service' if name.endswith('.service') else 'Scope'}"
        properties = "org.freedesktop.DBus.Properties"
        try:
            ((_, value),) = self._ask(unit, properties, "Get", "ss", (interface, "Delegate"))
        except DBusErrorResponse:  # some other kind of unit
            return False
        return bool(value)

    def listen(self) -> None:
        """Have the ends of its jobs announced to us."""
        from jeepney import message_bus

        self._connection.send_and_get_reply(message_bus.AddMatch(_jobs()), timeout=_SECONDS)
        self.call("Subscribe")

    def start_scope(self, name: str) -> None:
        """Have a delegated scope made that has us in it, and wait until it is there."""
        properties = [
            ("Description", ("s", "The container engine of ipycontainer")),
            ("PIDs", ("au", [_CALLER])),
            ("Delegate", ("b", True)),
            ("TasksMax", ("t", _EVERYTHING)),
            ("CollectMode", ("s", "inactive-or-failed")),
        ]
        with self._connection.filter(_jobs(), bufsize=64) as removed:
            signature = "ssa(sv)a(sa(sv))"
            (job,) = self.call("StartTransientUnit", signature, name, "fail", properties, [])
            while self._connection.recv_until_filtered(removed, timeout=_SECONDS).body[1] != job:
                continue

    def _ask(
        self, path: str, interface: str, method: str, signature: str, body: tuple[object, ...]
    ) -> tuple[Any, ...]:
        from jeepney import DBusAddress, DBusErrorResponse, MessageType, new_method_call

        address = DBusAddress(path, _BUS_NAME, interface)
        message = new_method_call(address, method, signature or None, body)
        reply = self._connection.send_and_get_reply(message, timeout=_SECONDS)
        if reply.header.message_type is MessageType.error:
            raise DBusErrorResponse(reply)
        found: tuple[Any, ...] = reply.body
        return found


def _jobs() -> "MatchRule":
    from jeepney import MatchRule

    interface = f"{_BUS_NAME}.Manager"
    return MatchRule(type="signal", interface=interface, member="JobRemoved", path=_BUS_PATH)


def _join(systemd: _Systemd, scope: str) -> None:
    """Put this process into a leaf of the unit that was delegated to it, or else of our scope."""
    if systemd.delegates():
        _enter_leaf()
        return
    from jeepney import DBusErrorResponse

    systemd.listen()
    # The scope's last process may leave it just before we join, or we may ask while it goes.
    for _ in range(_TRIES):
        try:
            systemd.call("AttachProcessesToUnit", "ssau", scope, f"/{LEAF}", [_CALLER])
        except DBusErrorResponse as error:
            refused = error
        else:
            return
        try:
            systemd.start_scope(scope)
        except DBusErrorResponse as error:
            if error.name != f"{_BUS_NAME}.UnitExists":
                raise
        else:
            _enter_leaf()
            return
    raise refused


def _enter_leaf() -> None:
    own = own_paths()[""]
    if own.endswith(f"/{LEAF}"):
        return
    leaf = Path(_folder(own), LEAF)
    leaf.mkdir(exist_ok=True)
    (leaf / "cgroup.procs").write_text("0")
