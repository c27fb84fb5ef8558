"""Root who may mount and may not configure networks: its engine has a place of its own."""

from collections.abc import Iterator

import pytest

from support.engines import Engine, running_engine

pytestmark = pytest.mark.needs(
    "root", "docker", "setpriv", "user_namespaces", "nft", "pasta", "tun"
)
BECOME = ("setpriv", "--bounding-set=-net_admin", "--inh-caps=-all")


@pytest.fixture
def engine(busybox: str) -> Iterator[Engine]:
    with running_engine(become=BECOME) as running:
        running.succeed("pull", "-q", busybox)
        yield running


def test_it_runs_containers_in_networks_with_all_ids(engine: Engine, busybox: str) -> None:
    assert "name=rootless" in engine.client.info()["SecurityOptions"]
    said = engine.succeed("run", "--rm", busybox, "ip", "route")
    assert said.startswith("default via 172.")
    said = engine.succeed("run", "--rm", "--user", "1000", busybox, "id", "-u")
    assert said.strip() == "1000"
