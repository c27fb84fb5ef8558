"""The files that every container gets from its host: hosts, hostname, resolv.conf."""

import os

from ipycontainer_runtime.store.records import Record

_HOSTS = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


def write_host_files(record: Record, folder: str) -> None:
    """Write the three files into the container's folder; its root's, readable by all."""
    owner = record.ids.first if record.ids else 0
    host = record.host_config
    of_host = host.network_mode == "host"
    hosts = _read("/etc/hosts", _HOSTS) if of_host else _HOSTS
    hosts += "".join(_host_line(entry) for entry in host.extra_hosts or ())
    _write(f"{folder}/hosts", hosts, owner)
    _write(f"{folder}/hostname", record.config.hostname + "\n", owner)
    _write(f"{folder}/resolv.conf", _resolver(record), owner)


def _host_line(entry: str) -> str:
    separator = "=" if "=" in entry else ":"
    name, _, address = entry.partition(separator)
    return f"{address.strip('[]')}\t{name}\n"


def _resolver(record: Record) -> str:
    """Return the host's resolver file with the container's own servers and domains in it."""
    host = record.host_config
    given = [
        *(f"nameserver {address}" for address in host.dns or ()),
        *([f"search {' '.join(host.dns_search)}"] if host.dns_search else ()),
        *([f"options {' '.join(host.dns_options)}"] if host.dns_options else ()),
    ]
    replaced = tuple({line.split()[0] for line in given})
    kept = [
        line
        for line in _read("/etc/resolv.conf", "").splitlines()
        if not line.startswith(replaced or ("\0",))
    ]
    return "".join(f"{line}\n" for line in (*kept, *given))


def _read(path: str, default: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
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
