"""Ports: `-p`, `--expose` and their forms, and the verb `port`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import ip_address

import click

from ..failures import Failure, Usage
from ..published import Published, machine, of_document
from ..session import Session
from .base import container_argument, main, pass_session

# https://docs.docker.com/reference/cli/docker/container/run/#publish
_PUBLISHED = re.compile(
    r"(?:(?P<host>\[[^\]]*\]|[^:\[\]]*):)?(?:(?P<outer>[^:]*):)?(?P<inner>[^:/]+)(?:/(?P<kind>\w+))?"
)
_PROTOCOLS = ("tcp", "udp", "sctp")
_LAST_PORT = 65535
_SAMPLE = "write [ADDRESS:][HOST:]CONTAINER[/udp], as 8080:80 or 127.0.0.1:8000-8009:8000-8009"

Bindings = dict[str, list[dict[str, str]]]


def bindings(published: Iterable[str]) -> Bindings:
    """Return `HostConfig.PortBindings` for these texts; raises `Usage` for what is no port."""
    found: Bindings = {}
    for text in published:
        for port, binding in _binding(text):
            found.setdefault(port, []).append(binding)
    return found


def exposed(texts: Iterable[str]) -> list[str]:
    """Return the ports of `--expose`, each with its protocol; a range becomes its ports."""
    found = []
    for text in texts:
        numbers, _, kind = text.partition("/")
        first, last = _range(numbers, "--expose", text)
        found += [f"{number}/{_protocol(kind, '--expose', text)}" for number in _from(first, last)]
    return found


def _binding(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    match = _PUBLISHED.fullmatch(_short(text) if "=" in text else text)
    if match is None:
        raise Usage(f"--publish {text!r}: {_SAMPLE}")
    host, outer = match["host"] or "", match["outer"]
    if outer is None:  # one colon: what stands before it is the port of the machine
        host, outer = "", host
    address = _address(host.strip("[]"), text)
    kind = _protocol(match["kind"] or "", "--publish", text)
    first, last = _range(match["inner"], "--publish", text)
    ports = [f"{number}/{kind}" for number in _from(first, last)]
    for port, number in zip(ports, _outer(outer, len(ports), text), strict=True):
        yield port, {"HostIp": address, "HostPort": number}


def _outer(outer: str, count: int, text: str) -> list[str]:
    """Return the machine's ports, as text: empty for any, a range for the first that is free."""
    if not outer:
        return [""] * count
    first, last = _range(outer, "--publish", text)
    if count == 1:
        return [outer]
    if last - first + 1 != count:
        raise Usage(f"--publish {text!r}: the two ranges are not equally long")
    return [str(number) for number in _from(first, last)]


def _short(text: str) -> str:
    """Return `published=8080,target=80` as the short form has it."""
    fields = {"protocol": "tcp", "published": ""}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals or name not in {"protocol", "published", "target", "mode"}:
            raise Usage(
                f"--publish {text!r}: {part!r} is not one of target=, published=, protocol=, mode="
            )
        fields[name] = value
    if "target" not in fields:
        raise Usage(f"--publish {text!r}: it has no target=PORT")
    return f"{fields['published']}:{fields['target']}/{fields['protocol']}"


def _address(host: str, text: str) -> str:
    try:
        return str(ip_address(host)) if host else ""
    except ValueError as error:
        raise Usage(f"--publish {text!r}: {host!r} is no address of this machine") from error


def _protocol(kind: str, option: str, text: str) -> str:
    found = kind.lower() or "tcp"
    if found not in _PROTOCOLS:
        raise Usage(f"{option} {text!r}: the protocol is one of {', '.join(_PROTOCOLS)}")
    return found


def _range(numbers: str, option: str, text: str) -> tuple[int, int]:
    first, dash, last = numbers.partition("-")
    ends = (first, last) if dash else (first, first)
    if not all(end.isascii() and end.isdecimal() and int(end) <= _LAST_PORT for end in ends):
        raise Usage(f"{option} {text!r}: a port is a number up to {_LAST_PORT}, a range 8000-8009")
    if int(ends[0]) > int(ends[1]):
        raise Usage(f"{option} {text!r}: the range {numbers} ends before it begins")
    return int(ends[0]), int(ends[1])


def _from(first: int, last: int) -> range:
    return range(first, last + 1)


@main.command()
@container_argument()
@click.argument("private", metavar="[PORT[/PROTOCOL]]", required=False)
@pass_session
def port(session: Session, /, container: str, private: str | None) -> object:
    """Show where a container's ports are published."""
    found = of_document(session.api.inspect_container(container))
    machine_ = machine(session.address)
    if private is None:
        return session.surface.show(Published(found, f"Published by {container}", machine_))
    number, _, kind = private.partition("/")
    wanted = f"{number}/{_protocol(kind, 'port', private)}"
    chosen = [one for one in found if one.inner == wanted]
    if not chosen:
        raise Failure(f"no public port '{wanted}' published for {container}")
    caption = f"{wanted} of {container}"
    return session.surface.show(Published(chosen, caption, machine_, outer_only=True))
