"""In which networks a container is to be: from its creation request, checked as far as can be.

A network that is not there is no error yet, as with Docker: the start is refused then.
"""

from collections.abc import Callable

from ipycontainer_runtime.engine.container import Container
from ipycontainer_runtime.engine.networks import asked, ports
from ipycontainer_runtime.engine.networks.networks import Networks
from ipycontainer_runtime.errors import InvalidParameter, NotFound
from ipycontainer_runtime.store.networks import EndpointSettings
from ipycontainer_runtime.store.records import Config, HostConfig, Record

Find = Callable[[str], Container]

_ALONE = ("host", "none")
_PRIVATE = (
    "container cannot be connected to multiple networks with one of the networks in private "
    "(none) mode"
)
_SHARED = "container sharing network namespace with another container or host cannot be connected "


def places(
    networking: asked.NetworkingConfig | None,
    config: Config,
    host: HostConfig,
    networks: Networks,
    *,
    several: bool = True,
) -> dict[str, EndpointSettings]:
    """Return a new container's networks by name, that of its network mode first.

    `several` says whether the client's version of the API knows more than one. Raises
    InvalidParameter.
    """
    given = dict((networking and networking.endpoints_config) or {})
    mode = main_name(host)
    if mode.startswith("container:"):
        _refuse_others(mode, [name for name in given if name != mode])
        return {}
    if len(given) > 1 and not several:
        raise InvalidParameter(
            f"Container cannot be connected to network endpoints: {', '.join(sorted(given))}"
        )
    found: dict[str, EndpointSettings] = {}
    main, settings = _place(mode, None, networks)
    found[main] = settings
    for reference, body in given.items():
        name, settings = _place("bridge" if reference == "default" else reference, body, networks)
        found[name] = settings
    _refuse_others(main, [name for name in found if name != main])
    if mac := asked.checked_mac(config.mac_address or ""):
        if found[main].mac not in ("", mac):
            raise InvalidParameter(
                "the container-wide MAC address must match the endpoint-specific MAC address for "
                "the main network, or be left empty"
            )
        found[main].mac = mac
    return found


def _place(
    reference: str, body: asked.EndpointBody | None, networks: Networks
) -> tuple[str, EndpointSettings]:
    try:
        network = networks.get(reference)
    except (InvalidParameter, NotFound):
        return reference, EndpointSettings(network=reference)
    return network.name, asked.endpoint(body, network)


def _refuse_others(main: str, others: list[str]) -> None:
    if others and main == "none":
        raise InvalidParameter(_PRIVATE)
    if others and (main == "host" or main.startswith("container:")):
        raise InvalidParameter(f"{_SHARED}to any other network")
    for name in others:
        if name in _ALONE:
            raise InvalidParameter(
                f"conflicting options: cannot attach both to {name} and to {main}"
            )


def check_published(config: Config, host: HostConfig, find: Find) -> None:
    """Refuse ports that are none, and links to nobody. Raises InvalidParameter."""
    ports.asked(config, host)
    for link in host.links or ():
        name = link.partition(":")[0]
        try:
            find(name)
        except NotFound as error:  # by which a client would take the image for missing
            raise InvalidParameter(f"could not get container for {name}: {error}") from error


def main_name(host: HostConfig) -> str:
    """Return the network that a network mode names, or container:ID."""
    mode = host.network_mode
    return "bridge" if mode in ("", "default") else mode


def complete(record: Record, networks: Networks) -> None:
    """Give a record of an engine that knew no networks those of its network mode."""
    if not record.networks and not main_name(record.host_config).startswith("container:"):
        name, settings = _place(main_name(record.host_config), None, networks)
        record.networks[name] = settings
