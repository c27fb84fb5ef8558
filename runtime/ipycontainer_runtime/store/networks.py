"""What the engine keeps of networks, and of a container's place in one."""

import msgspec


class Subnet(msgspec.Struct, kw_only=True):
    """One range of addresses of a network; CIDR and addresses as text, IPv4 or IPv6."""

    subnet: str
    gateway: str
    ip_range: str = ""
    """The part from which addresses are given out; empty for all of it."""
    reserved: dict[str, str] = {}
    """Addresses that are never given out, by name (`AuxiliaryAddresses`)."""


class Network(msgspec.Struct, kw_only=True):
    """What was asked for: `networks/<id>.json`, written once."""

    id: str
    """64 hexadecimal characters."""
    name: str
    driver: str
    created: str
    """RFC 3339, UTC, nanoseconds."""
    subnets: list[Subnet] = []
    internal: bool = False
    """True where nothing outside is reached, nor reaches in."""
    attachable: bool = False
    ipv6: bool = False
    options: dict[str, str] = {}
    ipam_options: dict[str, str] = {}
    labels: dict[str, str] = {}

    @property
    def device(self) -> str:
        """The bridge's name on the machine: at most 15 characters (IFNAMSIZ, linux/if.h)."""
        return self.options.get("com.docker.network.bridge.name") or f"ipyc-{self.id[:10]}"


class Endpoint(msgspec.Struct, kw_only=True):
    """A container's place in one network while it runs; part of its `state.json`."""

    id: str
    """64 hexadecimal characters, new at every attachment."""
    network: str
    """The network's id."""
    interface: str
    """Its name in the container: eth0, eth1, …"""
    device: str
    """The machine's end of it, at most 15 characters."""
    mac: str
    ipv4: str = ""
    """Address and prefix length: 172.17.0.2/16."""
    ipv6: str = ""
    gateway: str = ""
    """Of IPv4; empty on an internal network."""
    gateway6: str = ""
    default: bool = False
    """True for the one endpoint of a container by which its default route goes."""
    names: list[str] = []
    """What it is called there: the container's name, its short id, aliases."""


class Published(msgspec.Struct, kw_only=True, frozen=True):
    """A port of the machine that leads into a container."""

    protocol: str
    """tcp or udp."""
    host_address: str
    """0.0.0.0, ::, or one address of the machine."""
    host_port: int
    address: str
    """Of the container."""
    port: int
