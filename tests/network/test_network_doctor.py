"""What the doctor tells of networks."""

import os
from pathlib import Path

import pytest

from ipycontainer_runtime.linux import userns
from ipycontainer_runtime.network import doctor, uplink
from ipycontainer_runtime.network.firewall import beside
from support.town import Town


@pytest.mark.ordinary_user
def test_this_machine_has_what_networks_need() -> None:
    found = doctor.examine(rootless=userns.must_enter())
    names = {check.name for check in found}
    assert {"firewall", "uplink" if os.getuid() else "forwarding"} <= names
    assert {check.state for check in found} == {"ok"}, found


@pytest.mark.needs("root")
def test_programs_that_are_missing_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = {check.name: check for check in doctor.examine(rootless=True)}
    assert found["firewall"].state == found["uplink"].state == "limited"
    assert found["firewall"].cure == "as root run `apt-get install nftables`"
    assert found["uplink"].cure == "as root run `apt-get install passt`"
    assert found["uplink"].detail == "there is no pasta and no slirp4netns"


@pytest.mark.needs("pasta")
def test_a_device_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uplink, "TUN", Path("/dev/net/none"))
    found = {check.name: check for check in doctor.examine(rootless=True)}
    assert found["uplink"].state == "limited"
    assert "`--device /dev/net/none`" in found["uplink"].cure


@pytest.mark.needs("iptables")
def test_other_firewalls_are_found(town: Town) -> None:
    assert beside.found(town.gate.place) == []
    town.gate.run("ip6tables", "-P", "FORWARD", "DROP")
    assert beside.found(town.gate.place) == ["iptables"]
    town.gate.run("iptables", "-N", "DOCKER-USER")
    assert beside.found(town.gate.place) == ["Docker", "iptables"]
