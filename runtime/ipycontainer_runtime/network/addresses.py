"""Which addresses networks and containers have: pure arithmetic, without a system call.

Subnets are Docker's default pools, less what the machine and its other networks use. Addresses are
given out from the lowest on, as with Docker, so that a lone container always has the same.
"""

import ipaddress
import secrets
from collections.abc import Iterable, Iterator

from ipycontainer_runtime.errors import ContainerError, Forbidden, InvalidParameter
from ipycontainer_runtime.linux.netlink import Address
from ipycontainer_runtime.linux.netlink import Subnet as Range
from ipycontainer_runtime.store.networks import Subnet

POOLS = (
    *(f"172.{number}.0.0/16" for number in range(17, 32)),
    *(f"192.168.{number}.0/20" for number in range(0, 256, 16)),
)
"""Docker's default-address-pools of scope local, in the order in which they are tried."""

OVERLAPS = "Pool overlaps with other one on this address space"
TAKEN = "Address already in use"
FULL = "No available addresses on this pool"


def free_pool(taken: Iterable[Range]) -> Range:
    """Return the first default pool that overlaps with nothing; Forbidden when all are taken."""
    used = [*taken]
    for text in POOLS:
        pool = ipaddress.ip_network(text)
        if not overlapping(pool, used):
            return pool
    raise Forbidden(
        "all predefined address pools have been fully subnetted: "
        "give the network one with --subnet, or remove networks that nobody uses"
    )


def free_pool6(taken: Iterable[Range]) -> Range:
    """Return a subnet of IPv6 that nobody else is likely to have: a unique local one (RFC 4193)."""
    used = [*taken]
    while True:
        prefix = (0xFD << 120) | (secrets.randbits(40) << 80)
        pool = ipaddress.IPv6Network((prefix, 64))
        if not overlapping(pool, used):
            return pool


def overlapping(pool: Range, others: Iterable[Range]) -> bool:
    """Tell whether a subnet shares an address with one of the others."""
    return any(other.version == pool.version and pool.overlaps(other) for other in others)


def completed(subnet: Subnet) -> Subnet:
    """Check a subnet as it was asked for, and fill in its gateway.

    Raises InvalidParameter, Forbidden for an address that is asked for twice, and ContainerError
    where nothing is left for the gateway.
    """
    pool = _network(subnet.subnet)
    if _is_nobodys(pool):
        raise InvalidParameter(
            f"invalid subnet {subnet.subnet}: it has addresses that no container can have"
        )
    _check_beginning("subnet", subnet.subnet, pool)
    if subnet.ip_range:
        part = _network(subnet.ip_range)
        _check_beginning("ip-range", subnet.ip_range, part)
        if not contains(pool, part):
            raise InvalidParameter(f"no matching subnet for range {subnet.ip_range}")
    for name, text in subnet.reserved.items():
        if _address(text) not in pool:
            raise InvalidParameter(f"no matching subnet for aux-address {name}={text}")
    gateway = _gateway(pool, subnet)
    if len({*subnet.reserved.values(), gateway}) != len(subnet.reserved) + 1:
        raise Forbidden(f"failed to allocate secondary ip address: {TAKEN}")
    return Subnet(
        subnet=str(pool), gateway=gateway, ip_range=subnet.ip_range, reserved=subnet.reserved
    )


def _gateway(pool: Range, subnet: Subnet) -> str:
    """Return the gateway that was asked for, or the lowest address that nobody has reserved."""
    asked = subnet.gateway
    if asked and _address(asked) not in pool:
        raise InvalidParameter(f"no matching subnet for gateway {asked}")
    used = {_address(text) for text in subnet.reserved.values()}
    free = next((str(address) for address in _usable(pool, pool) if address not in used), "")
    if (not asked and not free) or _is_too_small(pool):
        raise ContainerError(f"failed to allocate gateway ({asked}): {FULL}: {pool} is too small")
    if asked and not _is_hosts(pool, _address(asked)):
        raise Forbidden(f"failed to allocate gateway ({asked}): {TAKEN}: it means all of {pool}")
    return asked or free


def _is_too_small(pool: Range) -> bool:
    """Tell whether a subnet has no room for a gateway and a container beside it."""
    return pool.num_addresses < (4 if pool.version == 4 else 2)


def _check_beginning(what: str, text: str, range_: Range) -> None:
    """Refuse an address of the middle of a range, as it may be the length that is wrong."""
    if _address(text.partition("/")[0]) != range_.network_address:
        raise InvalidParameter(f"invalid {what} {text}: it should be {range_}")


def _is_hosts(pool: Range, address: Address) -> bool:
    """Tell whether an address of a subnet can be a host's: its first, and IPv4's last, are not."""
    if pool.num_addresses <= 2:
        return True
    last = pool.broadcast_address if pool.version == 4 else None
    return address not in (pool.network_address, last)


def _is_nobodys(pool: Range) -> bool:
    """Tell whether a bridge with this subnet would take what is for the machine, or for all."""
    first, last = pool[0], pool[-1]
    return any(
        one.is_loopback or one.is_multicast or one.is_unspecified or one.packed[0] == 0xFF
        for one in (first, last)
    )


def contains(pool: Range, part: Range) -> bool:
    """Tell whether all of a range is in a pool."""
    return (
        pool.version == part.version
        and pool.prefixlen <= part.prefixlen
        and (part.network_address in pool)
    )


class Addresses:
    """The addresses of one subnet: which are given out, and which is next."""

    def __init__(self, subnet: Subnet) -> None:
        """Begin with what is never given out: the gateway's, and those that are reserved."""
        self.pool: Range = ipaddress.ip_network(subnet.subnet)
        self._part: Range = ipaddress.ip_network(subnet.ip_range or subnet.subnet, strict=False)
        fixed = (subnet.gateway, *subnet.reserved.values())
        self._fixed = {ipaddress.ip_address(text) for text in fixed if text}
        self._taken: set[Address] = set()
        self._low: Address | None = None
        """No address below this one is free."""

    @property
    def taken(self) -> int:
        """How many addresses are given out."""
        return len(self._taken)

    def has(self, interface: str) -> bool:
        """Tell whether ADDRESS/LENGTH is of this subnet."""
        return ipaddress.ip_interface(interface).ip in self.pool

    def take(self, wanted: str = "") -> str:
        """Give out an address, the lowest or the one that is wanted, as ADDRESS/LENGTH.

        Raises InvalidParameter for one of another subnet, Forbidden when it, or all, are in use.
        """
        address = self._wanted(wanted) if wanted else self._next()
        self._taken.add(address)
        return f"{address}/{self.pool.prefixlen}"

    def hold(self, interface: str) -> None:
        """Note that ADDRESS/LENGTH is in use already: a new engine has found it."""
        self._taken.add(ipaddress.ip_interface(interface).ip)

    def release(self, interface: str) -> None:
        """Take ADDRESS/LENGTH back; one that was never given out is none."""
        address = ipaddress.ip_interface(interface).ip
        self._taken.discard(address)
        if self._low is not None and int(address) < int(self._low):
            self._low = address

    def _wanted(self, text: str) -> Address:
        address = _address(text)
        if address not in self.pool:
            raise InvalidParameter(
                f"no configured subnet contains IP address {text}: choose one of {self.pool}"
            )
        if address in self._fixed or address in self._taken or not _is_hosts(self.pool, address):
            raise Forbidden(TAKEN)
        return address

    def _next(self) -> Address:
        for address in _usable(self.pool, self._part, self._low):
            if address not in self._fixed and address not in self._taken:
                self._low = address
                return address
        raise Forbidden(
            f"no available IPv{self.pool.version} addresses on this network's address pools: "
            f"all of {self._part} are in use"
        )


def _usable(pool: Range, part: Range, low: Address | None = None) -> Iterator[Address]:
    """Yield the addresses of a part of a pool that a host may have, from the lowest on."""
    first, last = int(part.network_address), int(part.broadcast_address)
    if first == int(pool.network_address) and pool.num_addresses > 2:
        first += 1
    if last == int(pool.broadcast_address) and pool.num_addresses > 2 and pool.version == 4:
        last -= 1
    kind = type(pool.network_address)
    for number in range(max(first, int(low) if low is not None else 0), last + 1):
        yield kind(number)


def mac_of(address: str) -> str:
    """Return the MAC address that goes with an IPv4 address, as Docker's: 02:42 and its bytes."""
    packed = ipaddress.IPv4Address(address).packed
    return f"02:42:{packed.hex(':')}"


def random_mac() -> str:
    """Return a MAC address of nobody's: locally administered, for one host."""
    return f"02:42:{secrets.token_bytes(4).hex(':')}"


def _network(text: str) -> Range:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise InvalidParameter(
            f"invalid CIDR address: {text}: an address and a length are wanted, as in 10.5.0.0/16"
        ) from error


def _address(text: str) -> Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError as error:
        raise InvalidParameter(f"invalid IP address: {text}") from error
