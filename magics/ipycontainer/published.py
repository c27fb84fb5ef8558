"""Where a container's ports are published: as `ps` and `port` print it, and as links in a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from .listing import Listing, html_rows

_EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - compared with, nothing is bound


class Port(NamedTuple):
    """One port of a container; `public` is 0 where it is exposed and not published."""

    private: int
    protocol: str
    address: str = ""
    public: int = 0

    @property
    def inner(self) -> str:
        """The container's end, as Docker writes it: `80/tcp`."""
        return f"{self.private}/{self.protocol}"

    @property
    def outer(self) -> str:
        """The machine's end: `0.0.0.0:8080`, `[::]:8080`."""
        return f"{_bracketed(self.address)}:{self.public}"

    def link(self, machine: str) -> str:
        """Return what a browser opens; empty where it could open nothing."""
        if not self.public or self.protocol != "tcp":
            return ""
        own = self.address in _EVERYWHERE or _is_loopback(self.address)
        return f"http://{machine if own else _bracketed(self.address)}:{self.public}"


def machine(address: str) -> str:
    """Return the name of the engine's machine for a browser here, of what DOCKER_HOST says."""
    parts = urlsplit(address)
    return (parts.scheme in {"tcp", "ssh", "https"} and parts.hostname) or "localhost"


def of_entry(entry: Mapping[str, Any]) -> list[Port]:
    """Return the ports in one entry of `GET /containers/json`."""
    found = entry.get("Ports") or ()
    return [
        Port(one["PrivatePort"], one["Type"], one.get("IP") or "", one.get("PublicPort") or 0)
        for one in found
    ]


def of_document(document: Mapping[str, Any]) -> list[Port]:
    """Return the published ports of an inspected container, in their order."""
    found = []
    for inner, outers in ((document["NetworkSettings"] or {}).get("Ports") or {}).items():
        number, _, protocol = inner.partition("/")
        for outer in outers or ():
            found.append(
                Port(int(number), protocol or "tcp", outer["HostIp"], int(outer["HostPort"]))
            )
    return sorted(found)


def once(ports: Iterable[Port]) -> list[Port]:
    """Return the published ports, one that is published for IPv4 and IPv6 alike once."""
    found: dict[tuple[str, int], Port] = {}
    for port in sorted(port for port in ports if port.public):
        found.setdefault((port.inner, port.public), port)
    return list(found.values())


def summary(ports: Iterable[Port]) -> str:
    """Return the PORTS of `ps`: neighbours that keep their number outside are one range.

    In the order of the `docker` command (cli/command/formatter, DisplayablePorts).
    """
    whole, mapped = [], []
    runs: dict[tuple[str, str], list[Port]] = {}
    for port in sorted(set(ports), key=lambda p: (p.private, p.address, p.public, p.protocol)):
        if port.public and port.public != port.private:
            mapped.append(f"{port.outer}->{port.inner}")
            continue
        run = runs.setdefault((port.address, port.protocol), [])
        if run and port.private != run[-1].private + 1:
            whole.append(_run(run))
            run.clear()
        run.append(port)
    return ", ".join([*whole, *map(_run, runs.values()), *mapped])


def _run(run: Sequence[Port]) -> str:
    first, last = run[0], run[-1].private
    numbers = str(first.private) if first.private == last else f"{first.private}-{last}"
    outer = f"{_bracketed(first.address)}:{numbers}->" if first.public else ""
    return f"{outer}{numbers}/{first.protocol}"


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or address == "::1"


class Published(Listing[Port]):
    """Published ports, as the `docker` command prints them; in a page they can be opened."""

    def __init__(
        self, ports: Sequence[Port], caption: str, machine: str, *, outer_only: bool = False
    ) -> None:
        super().__init__(ports)
        self._caption = caption
        self._machine = machine
        self._outer_only = outer_only

    def text(self) -> str:
        """Return a line for each, `80/tcp -> 0.0.0.0:8080`."""
        return "\n".join(self._line(port) for port in self)

    def _line(self, port: Port) -> str:
        return port.outer if self._outer_only else f"{port.inner} -> {port.outer}"

    def html(self) -> str:
        """Return a table with a link for each that a browser can open; IPv4 and IPv6 are one."""
        cells = [[escape(port.inner), opened(port, self._machine)] for port in once(self)]
        return html_rows(self._caption, ["PORT", "PUBLISHED"], cells)


def opened(port: Port, machine: str) -> str:
    """Return a port as HTML: a link to a page of its own, or its text."""
    link = port.link(machine)
    if not link:
        return escape(port.outer)
    return (
        f"<a href='{escape(link, quote=True)}' target='_blank' rel='noopener noreferrer'>"
        f"{escape(link)}</a>"
    )
