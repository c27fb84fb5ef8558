"""What the engine keeps of networks, and of a container's place in one."""

import contextlib
import logging
import os
from pathlib import Path

import msgspec

from ipycontainer_runtime.store import atomic
from ipycontainer_runtime.store.private import make_private

_log = logging.getLogger(__name__)

PREDEFINED = ("bridge", "host", "none")
"""The networks that are always there."""


class Subnet(msgspec.Struct, kw_only=True):
    """One range of addresses of a network; CIDR and addresses as text, IPv4 or IPv6."""

    subnet: str
    gateway: str
    ip_range: str = ""
    """The part from which addresses are given out; empty for all of it."""
    reserved: dict[str, str] = {}
    """Addresses that are never given out, by name (`AuxiliaryAddresses`)."""


class Network(msgspec.Struct, kw_only=True):
    """What was asked for: `networks/<id>.json`."""

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
    chosen: bool = False
    """True where the engine has chosen the subnets, and so may choose others."""

    @property
    def predefined(self) -> bool:
        """True for the networks that are always there."""
        return self.name in PREDEFINED

    @property
    def device(self) -> str:
        """The bridge's name on the machine: at most 15 characters (IFNAMSIZ, linux/if.h)."""
        return self.options.get("com.docker.network.bridge.name") or f"ipyc-{self.id[:10]}"


class Endpoint(msgspec.Struct, kw_only=True):
    """A container's place in one network while it runs; part of its `network.json`."""

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


class EndpointSettings(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What was asked for a container's place in one network; part of its `config.json`."""

    network: str
    """The network's id."""
    ipv4: str = ""
    """The address that it must have; empty for any."""
    ipv6: str = ""
    link_local: list[str] = []
    mac: str = ""
    aliases: list[str] = []
    links: list[str] = []
    """CONTAINER:ALIAS."""
    options: dict[str, str] = {}
    priority: int = 0
    """The default route goes by the endpoint with the highest (`GwPriority`)."""
    late: bool = False
    """True where it was connected to a container that existed already."""


class Sandbox(msgspec.Struct, kw_only=True):
    """A run's network: `network.json`, written before anything of it is made."""

    id: str
    """64 hexadecimal characters, new at every start."""
    endpoints: dict[str, Endpoint] = {}
    """By the network's name, in the order of the interfaces."""
    published: list[Published] = []
    variables: list[str] = []
    """NAME=VALUE, by which its processes know of those to which it is linked."""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Network).decode
_decode_sandbox = msgspec.json.Decoder(Sandbox).decode


class NetworkStore:
    """The networks of a data root, by id; the engine is the only writer."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "networks"
        make_private(self._folder)
        self._networks: dict[str, Network] = {}
        for entry in sorted(os.scandir(self._folder), key=lambda entry: entry.name):
            if not entry.name.endswith(".json") or entry.name.startswith("."):
                continue
            try:
                network = _decode(Path(entry.path).read_bytes())
            except msgspec.MsgspecError as error:
                _log.warning("%s: not a network that this version reads: %s", entry.path, error)
            else:
                self._networks[network.id] = network

    def all(self) -> list[Network]:
        """Return every network, the oldest first."""
        return sorted(self._networks.values(), key=lambda network: network.created)

    def get(self, network_id: str) -> Network | None:
        """Return the network with this whole id, if it is there."""
        return self._networks.get(network_id)

    def save(self, network: Network) -> None:
        """Write a network that is new or has changed."""
        atomic.write(self._path(network), _encode(network), mode=0o600)
        self._networks[network.id] = network

    def remove(self, network: Network) -> None:
        """Forget a network."""
        self._networks.pop(network.id, None)
        with contextlib.suppress(FileNotFoundError):
            self._path(network).unlink()

    def _path(self, network: Network) -> Path:
        return self._folder / f"{network.id}.json"


def save_sandbox(folder: str, sandbox: Sandbox) -> None:
    """Write a run's network into its container's folder; not synced, as it ends with the boot."""
    temporary = f"{folder}/.network.json"
    with open(temporary, "wb") as file:
        file.write(_encode(sandbox))
    os.rename(temporary, f"{folder}/network.json")


def read_sandbox(folder: str) -> Sandbox | None:
    """Return what was written of a run's network; None where there is none."""
    try:
        return _decode_sandbox(Path(f"{folder}/network.json").read_bytes())
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def forget_sandbox(folder: str) -> None:
    """Remove what was written of a run's network."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{folder}/network.json")
