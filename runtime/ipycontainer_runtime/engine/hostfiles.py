"""The files that every container gets from its host: hosts, hostname, resolv.conf."""

import ipaddress
import os
from collections.abc import Iterable, Sequence

from ipycontainer_runtime.store.networks import Endpoint, Sandbox
from ipycontainer_runtime.store.records import Record

_HOSTS = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""
HOST_GATEWAY = "host-gateway"
"""What `--add-host NAME:host-gateway` says in an address's place: the machine, as seen inside."""
_RESOLVER = "127.0.0.11"
"""Where names of containers are resolved, in each container's network namespace."""
_LARGEST = 1 << 20
"""Characters of hosts that a new line is added to: some 20,000 lines."""
_PUBLIC = ("8.8.8.8", "8.8.4.4")
"""What Docker takes where the machine asks only itself."""
_OF_SYSTEMD = "/run/systemd/resolve/resolv.conf"
"""The servers that systemd's resolver asks, where /etc/resolv.conf names only that one."""


def write_host_files(
    record: Record,
    folder: str,
    sandbox: Sandbox | None = None,
    *,
    resolved: bool = False,
    links: Iterable[str] = (),
    gateway: str = "",
) -> None:
    """Write the three files into the container's folder; its root's, readable by all.

    `resolved` says whether names are asked of the engine's own resolver; `links` are lines for
    hosts; `gateway` is what `host-gateway` stands for.
    """
    owner = record.ids.first if record.ids else 0
    host = record.host_config
    hosts = _read("/etc/hosts", _HOSTS) if host.network_mode == "host" else _HOSTS
    hosts += "".join(_host_line(entry, gateway) for entry in host.extra_hosts or ())
    hosts += "".join(f"{line}\n" for line in links)
    ends = sandbox.endpoints.values() if sandbox else ()
    hosts += "".join(_own_line(record, interface) for interface in _interfaces(ends))
    _write(f"{folder}/hosts", hosts, owner)
    _write(f"{folder}/hostname", record.config.hostname + "\n", owner)
    _write(f"{folder}/resolv.conf", _resolver(record, sandbox, resolved=resolved), owner)


def renew_host_files(
    record: Record,
    folder: str,
    sandbox: Sandbox | None,
    *,
    resolved: bool,
    come: Endpoint | None = None,
    gone: Endpoint | None = None,
) -> None:
    """Say in a running container's files that an endpoint has come or gone.

    They are written in place, as they are mounted there; what somebody changed in them stays. One
    that the container made too large for a file of hosts stays as it is.
    """
    text = _read(f"{folder}/hosts", "", _LARGEST + 1)
    if len(text) > _LARGEST:
        return
    lines = text.splitlines(keepends=True)
    left = {_own_line(record, interface) for interface in _interfaces([gone] if gone else ())}
    kept = [line for line in lines if line not in left]
    more = [_own_line(record, interface) for interface in _interfaces([come] if come else ())]
    _write(f"{folder}/hosts", "".join((*kept, *more)), 0)
    path = f"{folder}/resolv.conf"
    ours = {state: _resolver(record, sandbox, resolved=state) for state in (True, False)}
    if _read(path, "", _LARGEST) == ours[not resolved]:
        _write(path, ours[resolved], 0)


def _interfaces(ends: Iterable[Endpoint]) -> Iterable[str]:
    return (interface for end in ends for interface in (end.ipv4, end.ipv6) if interface)


def _own_line(record: Record, interface: str) -> str:
    """Return what the container is called at one of its addresses."""
    config = record.config
    names = config.hostname
    if config.domainname:
        names = f"{config.hostname}.{config.domainname} {config.hostname}"
    return f"{interface.partition('/')[0]}\t{names}\n"


def _host_line(entry: str, gateway: str) -> str:
    separator = "=" if "=" in entry else ":"
    name, _, address = entry.partition(separator)
    if address == HOST_GATEWAY:
        return f"{gateway}\t{name}\n" if gateway else ""
    return f"{address.strip('[]')}\t{name}\n"


def _resolver(record: Record, sandbox: Sandbox | None, *, resolved: bool) -> str:
    """Return the host's resolver file with the container's own servers and domains in it."""
    host = record.host_config
    servers = [_RESOLVER] if resolved else host.dns or ()
    options = host.dns_options or ()
    if resolved and not any(option.startswith("ndots:") for option in options):
        options = (*options, "ndots:0")
    given = [
        *(f"nameserver {address}" for address in servers),
        *([f"search {' '.join(host.dns_search)}"] if host.dns_search else ()),
        *([f"options {' '.join(options)}"] if options else ()),
    ]
    replaced = tuple({line.split()[0] for line in given})
    cabled = sandbox is not None and any(end.interface for end in sandbox.endpoints.values())
    of_host = _reachable() if cabled and not servers else _read("/etc/resolv.conf", "").splitlines()
    kept = [line for line in of_host if not line.startswith(replaced or ("\0",))]
    return "".join(f"{line}\n" for line in (*kept, *given))


def _reachable() -> Sequence[str]:
    """Return the host's resolver file without servers that only the host itself reaches."""
    for path in ("/etc/resolv.conf", _OF_SYSTEMD):
        lines = [line for line in _read(path, "").splitlines() if not _is_loopback(line)]
        if any(line.startswith("nameserver") for line in lines):
            return lines
    return [*lines, *(f"nameserver {address}" for address in _PUBLIC)]


def _is_loopback(line: str) -> bool:
    words = line.split()
    if len(words) < 2 or words[0] != "nameserver":
        return False
    try:
        return ipaddress.ip_address(words[1].partition("%")[0]).is_loopback
    except ValueError:
        return False


def _read(path: str, default: str, most: int = -1) -> str:
    """Return a file's text, or its first characters where a container may have written it."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(most)
    except FileNotFoundError:
        return default


def _write(path: str, text: str, owner: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, text.encode())
        if owner:
            os.fchown(fd, owner, owner)
    finally:
        os.close(fd)
