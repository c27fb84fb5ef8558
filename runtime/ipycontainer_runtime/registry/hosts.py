"""Which server a registry's domain means, and how it may be spoken to.

`docker.io` is served by registry-1.docker.io. Registries on this machine (127.0.0.0/8, ::1,
localhost) speak plain http, as Docker allows, unless there are certificates for them. Those that
are configured as insecure may have any certificate, or no TLS. Everything else is https, with no
way back.
"""

import ipaddress
import re
import socket
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from ipycontainer_runtime.errors import InvalidParameter

DOCKER_HUB = "docker.io"
_NUMBERS = re.compile(r"[0-9][0-9A-Fa-fXx]*(\.[0-9A-Fa-fXx]+){0,3}")
_DOCKER_HUB_HOST = "registry-1.docker.io"
SYSTEM_CERTIFICATES = "/etc/docker/certs.d"
"""A folder for each registry in it, with what its TLS is checked against: see `certificates`."""


class Endpoint(NamedTuple):
    """A registry: the domain that references use, and the server that answers for it."""

    domain: str
    netloc: str
    scheme: str
    insecure: bool = False
    """True for one that may do without a certificate, or without TLS, as it was configured."""

    @property
    def base(self) -> str:
        """The URL that API paths are appended to, without a slash at its end."""
        return f"{self.scheme}://{self.netloc}"

    @property
    def hostname(self) -> str:
        """The server's name without its port."""
        return _hostname(self.base)

    @property
    def certificates(self) -> str:
        """The folder for what its TLS is checked against, and is shown."""
        return f"{SYSTEM_CERTIFICATES}/{self.domain}"

    @property
    def loopback(self) -> bool:
        """Tell whether this registry is on this machine."""
        return is_loopback(self.hostname)


def endpoint(domain: str, *, certified: bool = False, insecure: Sequence[str] = ()) -> Endpoint:
    """Return the server for the domain of a reference, such as `docker.io` or `localhost:5000`.

    `certified` tells that there are certificates for it, so that it speaks TLS wherever it is;
    `insecure` are the registries that are configured to be so.
    """
    netloc = _DOCKER_HUB_HOST if domain in (DOCKER_HUB, "index.docker.io") else domain
    try:
        parts = urlsplit(f"//{netloc}")
        named = parts.hostname
        _ = parts.port
    except ValueError as error:
        raise InvalidParameter(f'"{domain}" is not a registry: {error}') from error
    if not named or parts.username is not None or parts.path:
        raise InvalidParameter(f'"{domain}" is not a registry: write HOST or HOST:PORT')
    plain = is_loopback(named) and not certified
    lax = not plain and not certified and is_listed(netloc, insecure)
    return Endpoint(domain, netloc, "http" if plain else "https", lax)


def is_listed(netloc: str, insecure: Sequence[str]) -> bool:
    """Tell whether a registry is among those listed: by its name with its port, or its network.

    A name is not looked up: who answers for it is what TLS would have told.
    """
    address = _address(_hostname(f"//{netloc}"))
    for listed in insecure:
        if listed.lower() == netloc.lower():
            return True
        within = "/" in listed and address is not None  # a network: that was checked
        if within and address in ipaddress.ip_network(listed, strict=False):
            return True
    return False


def mirror_domain(url: str) -> str:
    """Return the registry that a mirror's URL names; InvalidParameter for what is none."""
    parts = urlsplit(url)
    whole = parts.scheme in ("http", "https") and parts.netloc and parts.path in ("", "/")
    if not whole or parts.query or parts.fragment or parts.username is not None:
        raise InvalidParameter(
            f'"{without_login(url)[:200]}" in registry-mirrors is no mirror: write'
            " https://HOST[:PORT], and log in to it with `login`"
        )
    return parts.netloc


def without_login(url: str) -> str:
    """Return a URL as it may be shown and kept: without the user and the password in it."""
    scheme, colon, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{colon}{host.rpartition('@')[2]}{slash}{path}"


def is_loopback(hostname: str) -> bool:
    """Tell whether a host name or address can only be this machine."""
    if hostname.rstrip(".").lower() == "localhost":
        return True
    address = _address(hostname)
    return address is not None and address.is_loopback


def is_private_address(hostname: str) -> bool:
    """Tell whether this is an address literal that only this machine or its link can mean.

    A registry elsewhere that names one wants this machine to make a request on its behalf,
    typically to a cloud's metadata service at 169.254.169.254.
    """
    if is_loopback(hostname):
        return True
    address = _reached(hostname)
    return address is not None and (
        address.is_loopback or address.is_link_local or address.is_unspecified
    )


def may_follow(origin: Endpoint, url: str) -> str | None:
    """Return why a registry may not send this client to `url`, or None where it may.

    Never from https to http; a registry on this machine may name its own host, no other an address
    that only this machine can reach.
    """
    try:
        parts = urlsplit(url)
        hostname = parts.hostname or ""
        _ = parts.port  # raises for what is none
    except ValueError as error:
        return str(error)
    if parts.username is not None:
        return "it carries a user name"
    if "%" in hostname or not hostname.isascii():
        # `requests` undoes both on its way: %31%32%37.0.0.1 would be looked at as a name.
        return "its host is not written plainly"
    if origin.loopback and parts.scheme in ("https", origin.scheme) and is_loopback(hostname):
        return None
    if origin.insecure and parts.scheme == origin.scheme and hostname == origin.hostname:
        return None
    if parts.scheme != "https":
        return f"it is {parts.scheme or 'no'} where https is required"
    if is_private_address(hostname):
        return f"{hostname} is an address of this machine or its link"
    return None


# Clouds whose customers each have a host, and second levels that countries give away under.
_PUBLIC = re.compile(
    r"(?:^|\.)(?:amazonaws\.com(?:\.cn)?|azurecr\.(?:io|cn|us)|gcr\.io|pkg\.dev)$"
    r"|^(?:ac|co|com|edu|go|gov|ne|net|or|org)\.[a-z]{2}$"
)


def is_kin(origin: Endpoint, hostname: str) -> bool:
    """Tell whether a token service may be given the credentials of this registry.

    The same host, or hosts under one parent (registry-1.docker.io and auth.docker.io,
    registry.gitlab.com and gitlab.com), unless anybody may have a host under that parent.
    """
    ours, theirs = origin.hostname.lower(), hostname.lower()
    if ours == theirs:
        return True
    if _address(ours) is not None or _address(theirs) is not None:
        return False
    parent = ours.partition(".")[2]
    if theirs.endswith("." + ours):
        return True
    if _PUBLIC.search(parent):
        return False
    return "." in parent and (theirs == parent or theirs.endswith("." + parent))


def _hostname(url: str) -> str:
    return urlsplit(url).hostname or ""


def _address(hostname: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(hostname.strip("[]"))
    except ValueError:
        return None


def _reached(hostname: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that is connected to, also for what C libraries take for one.

    That is 127.1, 0177.0.0.1, 2130706433, 0x7f.1, and ::ffff:127.0.0.1, which stands for IPv4's.
    """
    address = _address(hostname)
    if address is None and _NUMBERS.fullmatch(hostname):
        try:
            return ipaddress.IPv4Address(socket.inet_aton(hostname))
        except OSError:
            return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
