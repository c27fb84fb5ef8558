"""Defences of the machine's interfaces, and of containers' addresses, against what networks ask."""

from defence import Defence

DRIVERS = "network/test_drivers.py::"
REQUESTS = "network/test_network_requests.py::"
NETWORKS = "network/test_networks.py::"
RECOVERY = "network/test_network_recovery.py::"

DEFENCES = (
    Defence(
        "26",
        "a network's name is more than a name",
        "engine/networks/asked.py",
        "    if not _NAME.fullmatch(body.name):\n",
        "    if False:\n",
        (REQUESTS + "test_a_network_that_cannot_be_made_is_refused",),
    ),
    Defence(
        "26",
        "a network takes an interface of the machine for its bridge",
        "network/bridge.py",
        "            if there is not None and not self._is_ours(there):\n",
        "            if False:\n",
        (DRIVERS + "test_an_interface_of_the_machines_is_no_networks_bridge",),
    ),
    Defence(
        "26",
        "a network that is removed takes an interface of the machine along",
        "network/bridge.py",
        "        if there is None or not self._is_ours(there):\n",
        "        if there is None:\n",
        (DRIVERS + "test_an_interface_of_the_machines_is_no_networks_bridge",),
    ),
    Defence(
        "29",
        "a bridge takes a container for the machine's router",
        "network/bridge.py",
        '        _switch_off(f"{conf}/accept_ra")\n',
        "        pass\n",
        (DRIVERS + "test_a_container_is_no_router_of_the_machine",),
    ),
    Defence(
        "31",
        "containers that are not to talk do so over their bridge",
        "network/bridge.py",
        "            *(() if talking else (netlink.isolate(endpoint.device),)),\n",
        "",
        (DRIVERS + "test_without_talking_containers_reach_the_machine_alone",),
    ),
    Defence(
        "31",
        "a container has the address of one that an earlier engine started",
        "engine/networks/endpoints.py",
        "                    pool.hold(address)\n",
        "                    pass\n",
        (RECOVERY + "test_a_new_engine_gives_nobodys_address_away",),
    ),
    Defence(
        "11",
        "a hosts file that a container makes without end is read whole",
        "engine/hostfiles.py",
        '", _LARGEST + 1)\n    if len(text) > _LARGEST:\n        return\n',
        '")\n',
        (NETWORKS + "test_a_hosts_file_without_end_is_not_read",),
    ),
)
