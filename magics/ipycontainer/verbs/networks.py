"""`network` and its verbs: create, ls, inspect, show, rm, prune, connect and disconnect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .. import rows
from ..failures import Usage
from ..session import Session
from ..templates import formatted
from .base import (
    container_argument,
    flag,
    formats,
    main,
    network_argument,
    pass_session,
)
from .endpoints import settings
from .filters import NETWORKS, PRUNED
from .ipam import pools
from .looking import listed
from .options import ADDRESSES, declared
from .pruning import Pruned, force_option, sure

if TYPE_CHECKING:
    from docker.models.networks import Network


@main.group()
def network() -> None:
    """Make networks, and let containers into them."""


_CREATE = (
    click.option("-d", "--driver", default="bridge", metavar="NAME", help="Its driver (bridge)."),
    click.option(
        "--subnet", multiple=True, metavar="CIDR", help="A range of addresses: 172.28.0.0/16."
    ),
    click.option("--gateway", multiple=True, metavar="ADDRESS", help="The subnet's gateway."),
    click.option(
        "--ip-range", multiple=True, metavar="CIDR", help="Give out addresses of this part alone."
    ),
    click.option(
        *("--aux-address", "reserved"),
        multiple=True,
        metavar="NAME=ADDRESS",
        help="Never give out this address.",
    ),
    flag("--internal", help="Let nothing out, nor in."),
    flag("--attachable", help="Let containers join that were made by hand."),
    click.option("--ipv4/--no-ipv4", default=None, help="Give out IPv4 addresses."),
    click.option("--ipv6/--no-ipv6", default=None, help="Give out IPv6 addresses."),
    click.option("--label", multiple=True, metavar="NAME=VALUE", help="Label the network."),
    click.option(
        *("-o", "--opt", "options"),
        multiple=True,
        metavar="NAME=VALUE",
        help="An option of the driver.",
    ),
    click.option("--ipam-driver", default="default", metavar="NAME", help="Who gives addresses."),
    click.option(
        *("--ipam-opt", "ipam_options"),
        multiple=True,
        metavar="NAME=VALUE",
        help="An option of the one who gives addresses.",
    ),
    click.option("--scope", metavar="SCOPE", help="local, or swarm with an engine that has one."),
    flag("--config-only", help="Keep the settings only, for --config-from."),
    click.option("--config-from", metavar="NETWORK", help="Take its settings."),
    flag("--ingress", help="The routing mesh of a swarm."),
)


@network.command()
@declared(_CREATE)
@click.argument("name", metavar="NETWORK")
@pass_session
def create(session: Session, /, name: str, **flags: Any) -> Network:
    """Make a network, and return it."""
    pools_ = pools(
        flags["subnet"],
        flags["ip_range"],
        flags["gateway"],
        _pairs(flags["reserved"], "aux-address"),
    )
    body = {
        "Name": name,
        "Driver": flags["driver"],
        "CheckDuplicate": True,  # engines before API 1.44 make a second of that name without it
        "Internal": flags["internal"],
        "Attachable": flags["attachable"],
        "Ingress": flags["ingress"],
        "Scope": flags["scope"],
        "EnableIPv4": flags["ipv4"],
        "EnableIPv6": flags["ipv6"],
        "Options": _pairs(flags["options"], "opt"),
        "Labels": {n: v for n, _, v in (text.partition("=") for text in flags["label"])},
        "ConfigOnly": flags["config_only"],
        "ConfigFrom": {"Network": flags["config_from"]} if flags["config_from"] else None,
        "IPAM": {
            "Driver": flags["ipam_driver"],
            "Options": _pairs(flags["ipam_options"], "ipam-opt"),
            "Config": pools_,
        },
    }
    api = session.api
    response = api._post_json(
        api._url("/networks/create"),
        data={key: value for key, value in body.items() if value is not None},
    )
    made = api._result(response, json=True)
    if warning := made.get("Warning"):
        session.warn(warning)
    session.surface.say(made["Id"])
    return session.client.networks.get(made["Id"])


def _pairs(texts: tuple[str, ...], option: str) -> dict[str, str]:
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise Usage(f"--{option} {text!r}: write NAME=VALUE")
        found[name] = value
    return found


@network.command()
@flag("-q", "--quiet", help="Show only ids.")
@flag("--no-trunc", help="Cut nothing short.")
@NETWORKS.option
@formats
@pass_session
def ls(
    session: Session,
    /,
    filters: tuple[str, ...],
    template: str | None,
    *,
    quiet: bool,
    no_trunc: bool,
) -> object:
    """List networks; in a notebook with the containers that are in them."""
    from ..explain.networklist import NetworkTable, drawn

    with NETWORKS.read(filters) as wanted:
        entries = session.api.networks(filters=wanted)
    entries.sort(key=lambda entry: entry["Name"])
    items = [session.client.networks.prepare_model(entry) for entry in entries]
    found = [rows.network(entry, whole=no_trunc) for entry in entries]
    table = NetworkTable(items, found, lambda: drawn(session, entries))
    return listed(session, table, found, template, quiet=quiet)


@network.command()
@network_argument(many=True, required=False)
@pass_session
def show(session: Session, /, networks: tuple[str, ...]) -> object:
    """Draw networks: the containers in them, their addresses and published ports.

    Without NETWORK all of them.
    """
    from ..explain.networklist import drawn

    api = session.api
    entries = [api.inspect_network(name) for name in networks] if networks else api.networks()
    return session.surface.show(drawn(session, entries, everything=bool(networks)))


@network.command()
@flag("-v", "--verbose", help="Ask for what a swarm knows of it, too.")
@formats
@network_argument(many=True)
@pass_session
def inspect(
    session: Session, /, networks: tuple[str, ...], *, verbose: bool, template: str | None
) -> object:
    """Show all that is known of networks."""
    from ..explain.networklist import NetworkDocuments, drawn

    documents = [session.api.inspect_network(name, verbose=verbose or None) for name in networks]
    if template is not None and template != "json":
        return session.surface.show(formatted(template, documents))
    items = [session.client.networks.prepare_model(document) for document in documents]
    return session.surface.show(
        NetworkDocuments(items, documents, lambda found: drawn(session, found, everything=True))
    )


@network.command()
@flag("-f", "--force", help="Do not fail for a network that is not there.")
@network_argument(many=True)
@pass_session
def rm(session: Session, networks: tuple[str, ...], *, force: bool) -> None:
    """Remove networks."""
    from docker.errors import NotFound

    def remove(name: str) -> None:
        try:
            session.api.remove_network(name)
        except NotFound:
            if not force:
                raise

    session.each(networks, remove)


@network.command()
@PRUNED.option
@force_option
@pass_session
def prune(session: Session, filters: tuple[str, ...], *, force: bool) -> None:
    """Remove all networks that no container uses."""
    what = "all custom networks not used by at least one container"
    if force or sure(session, what):
        Pruned(session, filters, PRUNED).networks()


@network.command()
@click.option("--alias", multiple=True, metavar="NAME", help="Another name for it there.")
@declared(ADDRESSES)
@click.option(
    *("--driver-opt", "options"),
    multiple=True,
    metavar="NAME=VALUE",
    help="An option of the driver.",
)
@click.option(
    "--gw-priority",
    type=int,
    default=0,
    metavar="NUMBER",
    help="The way out goes by the network with the highest.",
)
@network_argument()
@container_argument()
@pass_session
def connect(session: Session, /, network: str, container: str, **flags: Any) -> None:
    """Let a container into a network, while it runs."""
    one = {"ip": flags["ip"], "ip6": flags["ip6"], "gw-priority": str(flags["gw_priority"] or "")}
    fields = {
        "alias": flags["alias"],
        "driver-opt": flags["options"],
        "link-local-ip": flags["link_local_ip"],
        **{key: [value] for key, value in one.items() if value},
    }
    body = {"Container": container, "EndpointConfig": settings(fields, flags["link"])}
    api = session.api
    url = api._url("/networks/{0}/connect", network)
    api._raise_for_status(api._post_json(url, data=body))


@network.command()
@flag("-f", "--force", help="Do it though the container is in no state for it.")
@network_argument()
@container_argument()
@pass_session
def disconnect(session: Session, network: str, container: str, *, force: bool) -> None:
    """Take a container out of a network."""
    session.api.disconnect_container_from_network(container, network, force=force)
