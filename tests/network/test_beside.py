"""Our bridges beside other firewalls: Docker's, ufw, firewalld and plain iptables."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from ipycontainer_runtime.network.firewall import Firewall
from ipycontainer_runtime.network.firewall.chains import Chains
from ipycontainer_runtime.network.firewall.guard import Guard
from ipycontainer_runtime.network.firewall.tables import Tables
from ipycontainer_runtime.store.networks import Published
from support import leftovers
from support.dockerd import running_dockerd
from support.ends import end
from support.hosts import Host as Docker
from support.netlab import Host
from support.town import BRIDGES, Town

pytestmark = pytest.mark.needs("iptables")

PORT = Published(
    protocol="tcp", host_address="0.0.0.0", host_port=8080, address="172.30.1.2", port=80
)


@pytest.fixture
def firewall(town: Town) -> Iterator[Firewall]:
    made = Guard(town.gate.place, Tables(town.gate.place, "ipyc-test"), "ipyc-test")
    yield made
    made.close()


def all_is_well(town: Town) -> bool:
    """Tell whether containers and their ports are reached, and nothing else is."""
    return [
        town.red.ask("198.51.100.2", 80),
        town.neighbour.ask("198.51.100.1", 8080),
        town.red.ask("172.30.2.2", 80),
        town.neighbour.ask("172.30.1.2", 80),
    ] == ["neighbour 198.51.100.1", "red 198.51.100.2", "silence", "silence"]


def beside_us(gate: Host) -> AbstractContextManager[Docker]:
    """A dockerd with its bridge and rules, on the gate."""
    return running_dockerd(become=("nsenter", f"--net=/run/netns/{gate.name}"), bridge=True)


def rules(gate: Host) -> str:
    return gate.run("iptables", "-S") + gate.run("ip6tables", "-S")


@pytest.mark.parametrize("kind", [Tables, Chains])
def test_a_policy_that_drops_lets_our_bridges_through(
    town: Town, kind: type[Tables] | type[Chains]
) -> None:
    firewall = Guard(town.gate.place, kind(town.gate.place, "ipyc-test"), "ipyc-test")
    for program in ("iptables", "ip6tables"):
        town.gate.run(program, "-P", "FORWARD", "DROP")
    before = rules(town.gate)
    firewall.apply(BRIDGES)
    firewall.publish([PORT])
    assert all_is_well(town)
    assert town.red.ask("2001:db8:1::2", 80) == "neighbour 2001:db8:1::1"
    firewall.close()
    assert rules(town.gate) == before


def test_what_others_refuse_by_rules_stays_refused(town: Town, firewall: Firewall) -> None:
    town.gate.run("iptables", "-A", "FORWARD", "-d", "198.51.100.2", "-j", "DROP")
    firewall.apply(BRIDGES)
    assert town.red.ask("198.51.100.2", 80) == "silence"


def test_nothing_is_put_where_nobody_drops(town: Town, firewall: Firewall) -> None:
    town.gate.run("iptables", "-A", "FORWARD", "-d", "203.0.113.1", "-j", "DROP")
    before = rules(town.gate)
    firewall.apply(BRIDGES)
    assert rules(town.gate) == before


def test_a_policy_that_comes_later_is_seen(town: Town, firewall: Firewall) -> None:
    firewall.apply(BRIDGES)
    firewall.publish([PORT])
    town.gate.run("iptables", "-P", "FORWARD", "DROP")
    assert not leftovers.eventually(lambda: _lacking(town.gate, "FORWARD"))
    assert all_is_well(town)
    town.gate.run("iptables", "-F", "FORWARD")
    assert not leftovers.eventually(lambda: _lacking(town.gate, "FORWARD"))


def _lacking(gate: Host, parent: str) -> list[str]:
    jump = f"-A {parent} -j ipyc-test"
    return [] if jump in gate.run("iptables", "-S").splitlines() else [jump]


@pytest.mark.needs("dockerd")
def test_docker_s_networks_and_ours_work_side_by_side(town: Town, firewall: Firewall) -> None:
    firewall.apply(BRIDGES)
    firewall.publish([PORT])
    with beside_us(town.gate):
        assert not leftovers.eventually(lambda: _lacking(town.gate, "DOCKER-USER"))
        town.gate.run("iptables", "-P", "FORWARD", "DROP")  # which 28 does where it switched it on
        theirs = town.lab.container(town.gate, "docker0", "172.17.0.9/16", "172.17.0.1")
        town.lab.serve(theirs, "theirs", "172.17.0.9", 80)
        assert not leftovers.eventually(lambda: _lacking(town.gate, "DOCKER-USER"))
        assert all_is_well(town)
        assert theirs.ask("198.51.100.2", 80) == "neighbour 198.51.100.1"
        assert town.red.ask("172.17.0.9", 80) == "silence"
        assert theirs.ask("172.30.1.2", 80) == "silence"
        assert theirs.ask("198.51.100.1", 8080).startswith("red ")
    firewall.close()
    assert "ipyc-test" not in rules(town.gate)
    assert "-N DOCKER-USER" in rules(town.gate)
    with beside_us(town.gate):
        firewall.apply(BRIDGES)
        firewall.publish([PORT])
        assert all_is_well(town)


@pytest.fixture
def ufw(town: Town) -> Iterator[Callable[..., str]]:
    """The command `ufw` on the gate, with a copy of its settings."""
    with tempfile.TemporaryDirectory(prefix="ipyc-u", dir="/tmp") as folder:
        shutil.copytree("/etc/ufw", f"{folder}/ufw")
        shutil.copy("/etc/default/ufw", f"{folder}/default")
        shown = (
            f"mount --bind {folder}/ufw /etc/ufw && mount --bind {folder}/default /etc/default/ufw"
            ' && mount -t tmpfs tmpfs /run/lock && exec ufw --force "$@"'
        )

        def run(*words: str) -> str:
            return town.gate.run("unshare", "--mount", "sh", "-c", shown, "ufw", *words)

        yield run


@pytest.mark.needs("ufw")
def test_ufw_lets_our_bridges_through(
    town: Town, firewall: Firewall, ufw: Callable[..., str]
) -> None:
    ufw("enable")
    firewall.apply(BRIDGES)
    firewall.publish([PORT])
    assert all_is_well(town)
    ufw("reload")
    assert not leftovers.eventually(lambda: _lacking(town.gate, "FORWARD"))
    assert all_is_well(town)
    firewall.close()
    assert "ipyc-test" not in rules(town.gate)
    firewall.apply(BRIDGES)
    firewall.publish([PORT])
    ufw("disable")
    ufw("enable")
    assert not leftovers.eventually(lambda: _lacking(town.gate, "FORWARD"))
    assert all_is_well(town)


@pytest.fixture
def firewalld(town: Town, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """firewalld on the gate, with a message bus of its own."""
    with tempfile.TemporaryDirectory(prefix="ipyc-f", dir="/tmp") as folder:
        bus = f"unix:path={folder}/bus"
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus)
        said = (Path(folder) / "log").open("wb")
        commands = (
            ["dbus-daemon", "--session", "--nofork", "--nopidfile", f"--address={bus}"],
            ["nsenter", f"--net=/run/netns/{town.gate.name}", "firewalld", "--nofork", "--nopid"],
        )
        processes = []
        try:
            for command in commands:
                processes.append(subprocess.Popen(command, stdout=said, stderr=said))
                if command[0] == "dbus-daemon":
                    assert not leftovers.eventually(lambda: _absent(f"{folder}/bus"))
            assert not leftovers.eventually(lambda: _stopped(town.gate))
            yield
        finally:
            for process in reversed(processes):
                end(process)
            said.close()


def _absent(path: str) -> list[str]:
    return [] if os.path.exists(path) else [path]


def _stopped(gate: Host) -> list[str]:
    return [] if "inet firewalld" in gate.run("nft", "list", "tables") else ["firewalld"]


def _untrusted(gate: Host) -> list[str]:
    listed = gate.run("nft", "list", "table", "inet", "firewalld")
    return [] if '"br-red" goto filter_FWD_trusted' in listed else ["br-red"]


@pytest.mark.needs("firewalld")
def test_firewalld_lets_our_bridges_through(
    town: Town, firewall: Firewall, firewalld: None
) -> None:
    assert town.red.ask("198.51.100.2", 80) != "neighbour 198.51.100.1"
    firewall.apply(BRIDGES)
    firewall.publish([PORT])
    assert all_is_well(town)
    town.gate.run("firewall-cmd", "--reload")
    assert not leftovers.eventually(lambda: _untrusted(town.gate))
    assert all_is_well(town)
    firewall.close()
    assert "br-" not in town.gate.run("nft", "list", "table", "inet", "firewalld")
