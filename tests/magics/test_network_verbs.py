"""Networks, volumes and ports in cells, with Docker's bridge and with our own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from cells import Box, Kernel, Shell, errors, remove, streamed

from ipycontainer.failures import Failure, Usage
from support.alone import FULL, IMAGE, docker_alone, engine_alone
from support.needs import require

pytestmark = pytest.mark.needs("busybox", "root")
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module", params=["dockerd", "engine"])
def served(request: pytest.FixtureRequest) -> Iterator[Box]:
    """An engine with a bridge for this module's tests."""
    with ExitStack() as stack:
        if request.param == "dockerd":
            require("dockerd")
            docker, _ = stack.enter_context(docker_alone())
            yield Box("dockerd", docker.client, {"DOCKER_HOST": docker.url})
        else:
            ours, _ = stack.enter_context(engine_alone())
            own = {k: v for k, v in ours.variables.items() if k.startswith("IPYCONTAINER_")}
            yield Box("engine", ours.client, own)


@pytest.fixture(autouse=True)
def emptied(served: Box) -> Iterator[None]:
    """Afterwards there are neither containers nor networks nor volumes."""
    yield
    api = served.client.api
    for entry in api.containers(all=True):
        remove(served.client, entry["Id"])
    for network in api.networks(filters={"type": "custom"}):
        api.remove_network(network["Id"])
    for volume in api.volumes()["Volumes"] or ():
        api.remove_volume(volume["Name"])


def test_a_network_is_made_listed_and_removed(box: Box, shell: Shell) -> None:
    ran = shell.run("%container network create --subnet 10.99.0.0/24 --label a=b app")
    assert ran.value.name == "app"
    assert ran.value.id in ran.out
    [listed] = shell.run("%container network ls --filter label=a").value
    assert listed.attrs["IPAM"]["Config"][0]["Subnet"] == "10.99.0.0/24"
    shown = shell.run("%container network ls").displayed[0].splitlines()
    assert shown[0].split() == ["NETWORK", "ID", "NAME", "DRIVER", "SCOPE"]
    assert [line.split()[1] for line in shown[1:]] == ["app", "bridge", "host", "none"]
    assert shell.run("%container network inspect -f '{{.Name}}' app").value == ["app"]
    assert shell.run("%container inspect app").value[0].name == "app"
    assert shell.run("%container network rm app").out == "app\n"
    assert isinstance(shell.run("%container network rm app").error, Failure)
    assert shell.run("%container network rm -f app").error is None


def test_containers_meet_in_networks(box: Box, shell: Shell) -> None:
    shell.run("%container network create --subnet 10.99.0.0/24 app")
    shell.run("%container network create back")
    web = f"--network name=app,alias=www,ip=10.99.0.9 {IMAGE} httpd -f -p 80 -h /etc"
    assert shell.run(f"%container run -d --name web {web}").error is None
    asked = f"%container run --rm --network app {IMAGE} wget -qO- http://www/hosts"
    assert "10.99.0.9" in shell.run(asked).out
    assert shell.run("%container network connect --alias side back web").error is None
    asked = f"%container run --rm --network back {IMAGE} wget -qO- http://side/hosts"
    assert "10.99.0.9" in shell.run(asked).out
    table = shell.run("%container network show app back").displayed[0].splitlines()
    assert table[0].split() == ["NETWORK", "SUBNET", "CONTAINER", "ADDRESS", "PUBLISHED"]
    assert table[1].split() == ["app", "10.99.0.0/24", "web", "10.99.0.9", "-"]
    assert table[2].split()[0::2] == ["back", "web", "-"]
    assert shell.run("%container network disconnect back web").error is None
    drawn = shell.run("%container network show back").displayed[0]
    assert drawn.splitlines()[1].split()[2:] == ["-", "-", "-"]


def test_the_cell_says_where_a_port_is_published(box: Box, kernel: Kernel) -> None:
    told = kernel.run(f"%container run -d --name web -p 8080:80 {IMAGE} httpd -f -p 80")
    assert not errors(told)
    pages = [m.content["data"] for m in told if m.kind == "display_data"]
    assert "80/tcp -> 0.0.0.0:8080" in pages[0]["text/plain"]
    assert "href='http://localhost:8080'" in pages[0]["text/html"]
    assert streamed(told, "stdout").strip() == box.client.api.inspect_container("web")["Id"]
    [shown] = [
        m.content["data"] for m in kernel.run("%container port web 80") if "data" in m.content
    ]
    assert shown["text/plain"].splitlines()[0] == "0.0.0.0:8080"


def test_what_was_not_published_has_no_port(box: Box, shell: Shell) -> None:
    shell.run(f"%container run -d --name web {IMAGE} sleep 100")
    assert "no public port '80/tcp'" in str(shell.run("%container port web 80").error)
    assert shell.run("%container port web").value == []


def test_every_exposed_port_is_published(box: Box, shell: Shell) -> None:
    shell.run(f"%container run -d --name web -P {FULL} sleep 100")
    assert {port.inner for port in shell.run("%container port web").value} == {"80/tcp", "90/udp"}
    [row] = shell.run("%container ps --format '{{.Ports}}'").value
    assert "->80/tcp" in row
    assert "->90/udp" in row


def test_networks_are_drawn_and_hostile_words_are_text(box: Box, shell: Shell) -> None:
    api = box.client.api
    labels = {"x": HOSTILE}
    shell.names["hostile"] = HOSTILE
    api.create_network("app", labels=labels)
    shell.run(f"%container run -d --name web --network app -p 8080:80 {IMAGE} sleep 100")
    for verb in ("ls", "inspect app", "show"):
        page = shell.run(f"%container network {verb}").value._repr_mimebundle_()["text/html"]
        assert "<img" not in page
        assert "href='http://localhost:8080'" in page
        assert "<script" not in page
    assert isinstance(shell.run("%container network inspect {hostile}").error, Failure)


def test_a_volume_is_made_measured_and_removed(box: Box, shell: Shell) -> None:
    made = shell.run("%container volume create --label a=b kept").value
    assert made.name == "kept"
    shell.run(f"%container run --rm -v kept:/v {IMAGE} sh -c 'head -c 5000 /dev/zero > /v/file'")
    shell.run(f"%container create --name keeper -v kept:/v:ro {IMAGE} true")
    assert shell.run("%container volume ls").displayed[0].split()[-2:] == ["local", "kept"]
    table = shell.run("%container volume ls --size").displayed[0].splitlines()
    assert table[0].split() == ["DRIVER", "VOLUME", "NAME", "LINKS", "SIZE"]
    assert table[1].split()[:3] == ["local", "kept", "1"]
    assert table[1].split()[3].endswith("kB")
    assert shell.run("%container volume ls -q --filter label=a").value == ["kept"]
    assert shell.run("%container volume inspect kept").value[0].name == "kept"
    assert shell.run("%container inspect --type volume kept").value[0].name == "kept"
    assert "in use" in str(shell.run("%container volume rm kept").error)
    shell.run("%container rm keeper")
    assert shell.run("%container volume rm kept").out == "kept\n"


def test_mounts_of_every_kind_are_there(box: Box, shell: Shell) -> None:
    shell.run(f"%container run --name first -v one:/one -v /two {IMAGE} touch /one/a /two/b")
    line = (
        f"%container run --rm --volumes-from first --mount source=one,target=/v,readonly "
        f"--mount type=tmpfs,target=/t,tmpfs-size=1m --tmpfs /u {IMAGE} ls /one /two /v /t /u"
    )
    assert shell.run(line).out.split() == ["/one:", "a", "/t:", "/two:", "b", "/u:", "/v:", "a"]


def test_what_nobody_uses_goes(box: Box, shell: Shell) -> None:
    shell.run("%container network create idle")
    shell.run("%container volume create")
    assert "This will remove all custom networks" in str(
        shell.run("%container network prune").error
    )
    assert shell.run("%container network prune -f").out == "Deleted Networks:\nidle\n\n"
    asked = shell.run("%container volume prune").error
    assert isinstance(asked, Usage)
    assert "local volumes not used by at least one container" in str(asked)
    gone = shell.run("%container volume prune -f").out
    assert gone.startswith("Deleted Volumes:\n")
    assert shell.run("%container volume ls").value == []
    shell.run("%container volume create named")
    shell.run("%container volume prune -af")
    assert shell.run("%container volume ls").value == []


def test_bad_input_names_the_value_and_the_cure(box: Box, shell: Shell) -> None:
    shell.run("%container network create app")
    for line, told in (
        ("network create app", "network with name app already exists"),
        ("network inspect absent", "`%container network ls` lists them"),
        ("network rm bridge", "cannot be removed"),
        ("network connect app absent", "`%container ps -a` lists all containers"),
        ("network create --subnet 10.0.0.0/33 x", "--subnet '10.0.0.0/33'"),
        ("volume inspect absent", "`%container volume ls` lists them"),
        ("volume create a/b", "includes invalid characters"),
        (f"run --rm --network absent {IMAGE} true", "`%container network ls` lists them"),
        (f"run --rm -v one:relative {IMAGE} true", "mount path must be absolute"),
        (f"run --rm -p x:80 {IMAGE} true", "--publish 'x:80'"),
    ):
        error = shell.run(f"%container {line}").error
        assert isinstance(error, Failure), line
        assert told in str(error)


def test_what_is_not_wanted_of_a_network_is_asked_of_the_engine(box: Box, shell: Shell) -> None:
    line = "%container network create --no-ipv6 --label family=four app"
    assert shell.run(line).value.attrs["EnableIPv6"] is False
    if box.name == "engine":  # Docker's of 1.41 knows of no network without IPv4
        refused = shell.run("%container network create --no-ipv4 --ipv6 six").error
        assert str(refused).startswith("EnableIPv4=false is not supported")


def test_names_are_completed(box: Box, kernel: Kernel) -> None:
    kernel.run("%container network create first\n%container volume create second")
    assert "first" in kernel.complete("%container network rm f")["matches"]
    assert "second" in kernel.complete("%container volume rm s")["matches"]
    assert "first" in kernel.complete("%container run --network f")["matches"]
