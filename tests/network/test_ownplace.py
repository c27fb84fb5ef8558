"""The place of an ordinary user's engine: kept, found again, and reaching what is outside."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from ipycontainer_runtime.linux import pins
from ipycontainer_runtime.network import ownplace
from ipycontainer_runtime.network.firewall import Bridge, choose
from ipycontainer_runtime.network.place import NamespacePlace
from ipycontainer_runtime.store.networks import Published
from support import leftovers
from support.netlab import Host, Lab
from support.users import OrdinaryUser

pytestmark = pytest.mark.needs("root", "user_namespaces", "nft", "pasta", "slirp4netns", "tun")

RUNTIME = Path(ownplace.__file__).parents[2]
PRELUDE = f"""
import ctypes, os, sys
sys.path.insert(0, {str(RUNTIME)!r})
from pathlib import Path
from ipycontainer_runtime.linux import userns
from ipycontainer_runtime.network import uplink
from ipycontainer_runtime.network.ownplace import OwnPlace
from ipycontainer_runtime.network.uplink import pasta, slirp
run, uid, gid = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
# The checkout may lie where only root can look: so the user is become when all is imported.
os.setgroups([])
os.setresgid(gid, gid, gid)
os.setresuid(uid, uid, uid)
ctypes.CDLL(None).prctl(4, 1)  # PR_SET_DUMPABLE: else /proc/self stays root's
userns.enter(run)
place = OwnPlace(run)
"""


class Alone(NamespacePlace):
    """The place as its engine has it."""

    alone = True


class Settled(NamedTuple):
    """An ordinary user on a machine with a neighbour, and what his engines do there."""

    user: OrdinaryUser
    run: Path
    lab: Lab
    machine: Host
    """198.51.100.1, with a default route to the neighbour."""

    def python(self, code: str) -> str:
        """Do this as an engine of the user's, which leaves then, and return what it prints."""
        ours = subprocess.run(self.user.command("test", "-x", sys.executable), check=False)
        python = "/usr/bin/python3" if ours.returncode else sys.executable
        known = (str(self.run), str(self.user.uid), str(self.user.gid))
        return self.machine.run(python, "-c", PRELUDE + code, *known).strip()

    def pin(self) -> int:
        """Return the process that keeps the place."""
        return int(json.loads((self.run / ownplace.RECORD).read_text())["pid"])

    def place(self) -> Host:
        """Return the place as a host, whose descriptor is the laboratory's to close."""
        return self.lab.known("place", f"/proc/{self.pin()}/ns/net")

    def inhabitants(self) -> list[int]:
        """Return the pin and the uplink, which has the namespace's file among its words."""
        mark = f"{self.run}/".encode()
        return [
            pid for pid in _pids() if mark in leftovers.read(pid, "cmdline") or pid == self.pin()
        ]


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


@pytest.fixture
def settled(lab: Lab, ordinary_user: OrdinaryUser) -> Iterator[Settled]:
    machine, neighbour = lab.host("machine"), lab.host("out")
    lab.wire(machine, "eth0", neighbour, "eth0")
    machine.ip("addr add 198.51.100.1/24 dev eth0")
    neighbour.ip("addr add 198.51.100.2/24 dev eth0")
    machine.ip("route add default via 198.51.100.2")
    for kind in ("tcp", "udp"):
        lab.serve(neighbour, "neighbour", "198.51.100.2", 80, kind)
    run = Path(tempfile.mkdtemp(prefix="ipyc-p", dir="/tmp"))
    os.chown(run, ordinary_user.uid, ordinary_user.gid)
    made = Settled(ordinary_user, run, lab, machine)
    try:
        yield made
    finally:
        try:
            made.python("place.end()\nuserns.release(run)")
        finally:
            shutil.rmtree(run)


UPLINKS = pytest.mark.parametrize("program", ["pasta", "slirp"])


@UPLINKS
@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_a_container_reaches_the_outside_by_the_uplink(
    settled: Settled, program: str, kind: str
) -> None:
    settled.python(f"uplink.UPLINKS = ({program},)\nplace.netns\nassert not place.lacks()")
    place = settled.place()
    place.ip("link add br-red type bridge")
    place.ip("addr add 172.30.1.1/24 dev br-red")
    place.ip("link set br-red up")
    choose(place.place, "ipyc-test").apply([Bridge("br-red", ("172.30.1.0/24",))])
    red = settled.lab.container(place, "br-red", "172.30.1.2/24", "172.30.1.1")
    assert red.ask("198.51.100.2", 80, kind) == "neighbour 198.51.100.1"


@UPLINKS
def test_the_machine_s_loopback_is_out_of_reach(settled: Settled, program: str) -> None:
    for address in ("127.0.0.1", "::1"):
        settled.lab.serve(settled.machine, "private", address, 80)
    settled.python(f"uplink.UPLINKS = ({program},)\nplace.netns")
    place = settled.place()
    gateway = "198.51.100.2" if program == "pasta" else "10.0.2.2"
    place.ip("route add 127.5.0.0/16 dev uplink")
    asked = [
        place.ask(address, 80)
        for address in ("127.0.0.1", "::1", "198.51.100.1", "10.0.2.2", "10.0.2.3", "127.5.0.1")
    ]
    asked.append(place.ask(gateway, 80).partition(" ")[0])
    assert not [said for said in asked if said.startswith("private")]


@UPLINKS
def test_nothing_on_either_side_is_opened_on_the_other(settled: Settled, program: str) -> None:
    settled.lab.serve(settled.machine, "private", "0.0.0.0", 8080)
    settled.python(f"uplink.UPLINKS = ({program},)\nplace.netns")
    settled.lab.serve(settled.place(), "inside", "0.0.0.0", 8081)
    assert settled.place().ask("127.0.0.1", 8080) == "Connection refused"
    assert settled.machine.ask("127.0.0.1", 8081) == "Connection refused"


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_containers_reach_each_other_and_themselves_by_published_ports(
    settled: Settled, kind: str
) -> None:
    settled.python("uplink.UPLINKS = ()\nplace.netns")
    place = settled.place()
    for number, bridge in ((1, "br-red"), (2, "br-blue")):
        place.ip(f"link add {bridge} type bridge")
        place.ip(f"addr add 172.30.{number}.1/24 dev {bridge}")
        place.ip(f"link set {bridge} up")
    red = settled.lab.container(place, "br-red", "172.30.1.2/24", "172.30.1.1")
    pink = settled.lab.container(place, "br-red", "172.30.1.3/24", "172.30.1.1")
    blue = settled.lab.container(place, "br-blue", "172.30.2.2/24", "172.30.2.1")
    settled.lab.serve(red, "red", "172.30.1.2", 80, kind)
    firewall = choose(Alone(place.netns), "ipyc-test")
    firewall.apply([Bridge("br-red", ("172.30.1.0/24",)), Bridge("br-blue", ("172.30.2.0/24",))])
    port = Published(
        protocol=kind, host_address="0.0.0.0", host_port=8080, address="172.30.1.2", port=80
    )
    firewall.publish([port])
    asked = [host.ask("172.30.1.1", 8080, kind) for host in (red, pink, blue)]
    assert [said.partition(" ")[0] for said in asked] == ["red"] * 3


def test_a_later_engine_finds_the_place_and_its_uplink(settled: Settled) -> None:
    settled.python("place.netns")
    before = settled.inhabitants()
    settled.python("place.run(['ip', 'link', 'add', 'br-red', 'type', 'bridge'])")
    assert "br-red" in settled.python("print(place.run(['ip', 'link']))\nassert not place.lacks()")
    assert settled.inhabitants() == before


def test_an_uplink_that_has_ended_is_begun_again(settled: Settled) -> None:
    settled.python("place.netns")
    uplinks = [pid for pid in settled.inhabitants() if pid != settled.pin()]
    leftovers.kill(uplinks)
    assert not leftovers.outlived(uplinks)
    settled.python("place.netns")
    assert "uplink" in settled.place().run("ip", "link")


@UPLINKS
def test_the_uplink_ends_with_the_pin(settled: Settled, program: str) -> None:
    settled.python(f"uplink.UPLINKS = ({program},)\nplace.netns")
    inhabitants = settled.inhabitants()
    assert len(inhabitants) > 1
    leftovers.kill([settled.pin()])
    assert not leftovers.outlived(inhabitants)


def test_nothing_is_left_of_a_place_that_ended(settled: Settled) -> None:
    settled.python("place.netns")
    inhabitants = settled.inhabitants()
    settled.python("place.end()\nuserns.release(run)\nplace.end()")
    assert not leftovers.outlived(inhabitants)
    assert list(settled.run.iterdir()) == []


def test_a_place_of_another_user_namespace_is_given_up(settled: Settled) -> None:
    settled.python("place.netns\nuserns.release(run)")
    old = settled.inhabitants()
    settled.python("place.netns")
    assert not leftovers.outlived(old)
    assert len(settled.inhabitants()) > 1


def test_without_an_uplink_it_is_said_and_containers_talk(settled: Settled) -> None:
    said = settled.python("uplink.UPLINKS = ()\nplace.netns\nprint(place.lacks())")
    assert said.endswith("as root run `apt-get install passt`")
    place = settled.place()
    place.ip("link add br-red type bridge")
    place.ip("link set br-red up")
    red = settled.lab.container(place, "br-red", "172.30.1.2/24")
    pink = settled.lab.container(place, "br-red", "172.30.1.3/24")
    settled.lab.serve(pink, "pink", "172.30.1.3", 80)
    assert red.ask("172.30.1.3", 80) == "pink 172.30.1.2"


def test_a_device_that_may_not_be_opened_is_said(settled: Settled) -> None:
    code = "uplink.TUN = Path('/dev/kmsg')\nplace.netns\nprint(place.lacks())"
    said = settled.python(code)
    assert "as root run `chmod 0666 /dev/kmsg`" in said


def test_the_pin_is_one_small_process(settled: Settled) -> None:
    settled.python("place.netns")
    assert leftovers.command(settled.pin()).startswith(f"{settled.pin()} {pins.COMMAND[0]}")
    assert sorted(os.listdir(f"/proc/{settled.pin()}/fd")) == ["0", "1", "2"]
