"""The doctor's lines of networks: bridges, the firewall, forwarding, others' rules, the uplink."""

import os
import shutil
from pathlib import Path

from ipycontainer_runtime.errors import ContainerError
from ipycontainer_runtime.linux import calls, netlink, userns
from ipycontainer_runtime.linux.checks import Check
from ipycontainer_runtime.linux.inside import on_a_thread
from ipycontainer_runtime.linux.netns import may_configure
from ipycontainer_runtime.network import uplink
from ipycontainer_runtime.network.firewall import beside
from ipycontainer_runtime.network.firewall.nothing import Nothing
from ipycontainer_runtime.network.place import MachinePlace, run

_BRIDGES_CURE = (
    "as root run `modprobe -a bridge veth`; in a container, start that with `--cap-add NET_ADMIN"
    " --cap-add SYS_ADMIN` or as one of an ordinary user's user namespace"
)
_APART = "containers of one network reach others', and published ports are relayed by a process"


def examine(*, rootless: bool) -> list[Check]:
    """Return what an engine has for its networks; `rootless` as its grade says.

    Bridges and rules are tried in a network namespace that goes at once. That takes a user
    namespace where a process is not in one yet that will be: there only the programs are looked at.
    """
    foreseen = rootless and userns.must_enter()
    found = [] if foreseen else [_bridges()]
    found.append(_firewall(tried=not foreseen))
    if rootless or not may_configure():
        return [*found, _uplink()]
    return [*found, _forwarding(), *_others()]


def _bridges() -> Check:
    try:
        on_a_thread(_try_bridge)
    except OSError as error:
        cost = "containers have no network but --network host and none"
        return Check("network", "missing", f"no bridge: {error.strerror}", cost, _BRIDGES_CURE)
    where = "on the machine" if may_configure() else "in a network namespace of the engine's own"
    return Check("network", "ok", f"bridges {where}")


def _try_bridge() -> None:
    calls.unshare(calls.CLONE_NEWNET)
    with netlink.opened() as socket:
        socket.do(netlink.add_bridge("ipyc-trial", "02:00:00:00:00:01"))


def _firewall(*, tried: bool) -> Check:
    program = next((name for name in ("nft", "iptables") if shutil.which(name)), "")
    if not program:
        return Check("firewall", "limited", "no nft and no iptables", Nothing().lacks(), _NFT)
    try:
        if tried:
            on_a_thread(lambda: _try_rules(program))
    except (OSError, ContainerError) as error:
        cure = "as root run `modprobe -a nf_tables nft_nat nft_masq nft_fib_inet`"
        return Check("firewall", "limited", str(error), _APART, cure)
    return Check("firewall", "ok", program)


_NFT = "as root run `apt-get install nftables`"


def _try_rules(program: str) -> None:
    calls.unshare(calls.CLONE_NEWNET)
    if program == "iptables":
        run(["iptables", "-w", "-t", "nat", "-S"], "")
        return
    chain = "type nat hook postrouting priority srcnat;"
    run(["nft", "-f", "-"], f"table inet trial {{ chain one {{ {chain}\n masquerade\n }}\n }}\n")


def _uplink() -> Check:
    if lack := uplink.lack():
        reason, _, cure = lack.partition("; ")
        what = reason.rpartition(": ")[2]
        return Check("uplink", "limited", what, "containers reach nothing outside", cure)
    return Check("uplink", "ok", uplink.program())


def _forwarding() -> Check:
    switch = Path("/proc/sys/net/ipv4/ip_forward")
    if switch.read_text().strip() == "1":
        return Check("forwarding", "ok", "on")
    if os.access(switch, os.W_OK):
        return Check("forwarding", "ok", "off; the first network switches it on")
    cure = "set it on the machine: `sysctl net.ipv4.ip_forward=1`"
    cost = "containers reach nothing outside"
    return Check("forwarding", "limited", "off, and it cannot be set from here", cost, cure)


def _others() -> list[Check]:
    try:
        names = beside.found(MachinePlace())
    except ContainerError as error:
        return [Check("other firewalls", "limited", str(error), _KEPT, "look at its rules")]
    if not names:
        return []
    return [Check("other firewalls", "ok", f"{', '.join(names)}: our bridges are let through")]


_KEPT = "they may keep containers from the outside"
