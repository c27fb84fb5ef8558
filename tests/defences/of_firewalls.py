"""Defences of networks from each other, of containers from neighbours, and of the machine."""

from defence import ORDINARY, Defence

RULES = "network/firewall/rules.py"
ATTACKS = "network/test_firewall_attacks.py::"
SHAPES = "network/test_firewall.py::"
PLACES = "network/test_ownplace.py::"

DEFENCES = (
    Defence(
        "29",
        "a network, or a neighbour who knows the way, reaches another's containers",
        RULES,
        "    ct status dnat accept\n    drop\n",
        "    ct status dnat accept\n",
        (
            SHAPES + "test_networks_do_not_reach_each_other",
            ATTACKS + "test_a_neighbour_who_knows_the_way_reaches_no_container",
        ),
    ),
    Defence(
        "29",
        "a neighbour reaches a port of the loopback address",
        RULES,
        '"nat hook prerouting priority dstnat", [*never, local]',
        '"nat hook prerouting priority dstnat", [local]',
        (ATTACKS + "test_a_neighbour_does_not_reach_a_port_of_the_loopback_address",),
    ),
    Defence(
        "29",
        "a container sends to the machine's 127.0.0.1",
        RULES,
        '["ip daddr 127.0.0.0/8 drop", *lines]',
        "lines",
        (ATTACKS + "test_a_container_does_not_reach_the_machine_s_loopback",),
    ),
    Defence(
        "29",
        "a container sends from another network's address",
        RULES,
        'f"{mine} ip saddr != {{ {four} }} drop" if four else f"{mine} meta nfproto ipv4 drop"',
        '""',
        (ATTACKS + "test_nothing_leaves_a_network_with_another_s_address",),
    ),
    Defence(
        "29",
        "a container sends from another network's IPv6 address",
        RULES,
        '        lines.append(f"{mine} ip6 saddr != {{ {six} }} drop")\n',
        "",
        (ATTACKS + "test_nothing_leaves_a_network_with_another_s_ipv6_address",),
    ),
    Defence(
        "29",
        "an internal network reaches the outside",
        RULES,
        "    iifname @internal drop\n    ct state invalid",
        "    ct state invalid",
        (ATTACKS + "test_nothing_that_an_internal_network_sends_gets_out",),
    ),
    Defence(
        "29",
        "an internal network reaches the machine",
        RULES,
        "nd-neighbor-advert } return\n    drop\n",
        "nd-neighbor-advert } return\n",
        (SHAPES + "test_an_internal_network_reaches_nothing_and_nothing_reaches_it",),
    ),
    Defence(
        "29",
        "an internal network is reached by a published port",
        RULES,
        "    oifname @internal drop\n",
        "",
        (ATTACKS + "test_a_published_port_leads_into_no_internal_network",),
    ),
    Defence(
        "29",
        "containers that may not talk do so by their gateway",
        RULES,
        "    iifname . oifname @talking accept\n",
        "    iifname . oifname @same accept\n",
        (ATTACKS + "test_containers_that_may_not_talk_do_not_by_the_gateway",),
    ),
    Defence(
        "29",
        "neighbours use the machine as their router",
        RULES,
        "    iifname @outer oifname @outer drop\n",
        "",
        (ATTACKS + "test_the_machine_does_not_become_a_router_for_its_neighbours",),
    ),
    Defence(
        "29",
        "a bridge's name is a rule",
        "network/firewall/bridges.py",
        "        if not _NAME.fullmatch(bridge.device):\n",
        "        if not bridge.device:\n",
        (ATTACKS + "test_a_name_is_never_more_than_a_name",),
    ),
    Defence(
        "29",
        "Docker's containers are reached by what is let through beside them",
        "network/firewall/beside.py",
        "for docker in dockers for way",
        "for docker in () for way",
        ("network/test_beside.py::test_docker_s_networks_and_ours_work_side_by_side",),
    ),
    Defence(
        "30",
        "pasta leads the gateway's address to the machine's loopback",
        "network/uplink/pasta.py",
        ', "--no-map-gw")',
        ")",
        (PLACES + "test_the_machine_s_loopback_is_out_of_reach",),
    ),
    Defence(
        "30",
        "pasta opens the machine's ports in the place",
        "network/uplink/pasta.py",
        '"-T", "none"',
        '"-T", "auto"',
        (PLACES + "test_nothing_on_either_side_is_opened_on_the_other",),
    ),
    Defence(
        "30",
        "slirp4netns leads to the machine's loopback",
        "network/uplink/slirp.py",
        '("--disable-host-loopback", ',
        "(",
        (PLACES + "test_the_machine_s_loopback_is_out_of_reach",),
    ),
    Defence(
        "30",
        "a pin of somebody else's is taken for the engine's",
        "linux/pins.py",
        "    if _start_time(pin.pid) == pin.started and _owner(pin.pid) == os.geteuid():\n",
        "    if True:\n",
        ("linux/test_userns.py::test_a_record_of_nobody_is_not_believed",),
        (ORDINARY,),
    ),
)
