"""rtnetlink by hand: the interfaces, addresses and routes of containers. See rtnetlink(7).

A container has a few milliseconds for its network, so messages go to the kernel by the batch: one
system call for what the `ip` command takes six processes for.
"""

from .addresses import (
    Address,
    Interface,
    Route,
    Subnet,
    add_address,
    add_default_route,
    remove_default_route,
)
from .links import (
    Link,
    add_bridge,
    add_veth,
    announced,
    isolate,
    mac_bytes,
    remove_link,
    set_alias,
    set_down,
    set_up,
    without_link_local,
)
from .messages import (
    Message,
    attribute,
    attributes,
    split,
)
from .sockets import (
    Netlink,
    opened,
)

__all__ = [
    "Address",
    "Interface",
    "Link",
    "Message",
    "Netlink",
    "Route",
    "Subnet",
    "add_address",
    "add_bridge",
    "add_default_route",
    "add_veth",
    "announced",
    "attribute",
    "attributes",
    "isolate",
    "mac_bytes",
    "opened",
    "remove_default_route",
    "remove_link",
    "set_alias",
    "set_down",
    "set_up",
    "split",
    "without_link_local",
]
