"""What the flags for ports, mounts and networks mean, without an engine."""

from typing import Any

import pytest

from ipycontainer.failures import Usage
from ipycontainer.published import Port, Published, machine, opened, summary
from ipycontainer.verbs import main
from ipycontainer.verbs.endpoints import container_links, network_mode, networking_of
from ipycontainer.verbs.ipam import pools
from ipycontainer.verbs.mounts import mount
from ipycontainer.verbs.ports import bindings, exposed


def flags(*words: str) -> dict[str, Any]:
    context = main.commands["create"].make_context("create", [*words, "busybox"])
    return dict(context.params)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", {"80/tcp": [("", "")]}),
        ("8080:80", {"80/tcp": [("", "8080")]}),
        ("8080:80/udp", {"80/udp": [("", "8080")]}),
        ("127.0.0.1:8080:80", {"80/tcp": [("127.0.0.1", "8080")]}),
        ("127.0.0.1::80", {"80/tcp": [("127.0.0.1", "")]}),
        ("[::1]:8080:80", {"80/tcp": [("::1", "8080")]}),
        ("8000-8001:80-81", {"80/tcp": [("", "8000")], "81/tcp": [("", "8001")]}),
        ("8000-8009:80", {"80/tcp": [("", "8000-8009")]}),
        ("target=80,published=8080,protocol=udp", {"80/udp": [("", "8080")]}),
        ("target=80", {"80/tcp": [("", "")]}),
    ],
)
def test_a_published_port_has_all_of_dockers_forms(text: str, expected: dict[str, Any]) -> None:
    found = bindings([text])
    assert {
        port: [(one["HostIp"], one["HostPort"]) for one in made] for port, made in found.items()
    } == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("70000:80", "a port is a number"),
        ("x:80", "a port is a number"),
        ("", "write"),
        ("81-80", "ends before it begins"),
        ("8000-8002:80-81", "not equally long"),
        ("host:80:80", "no address"),
        ("80:80/icmp", "tcp, udp, sctp"),
        ("published=80", "no target"),
        ("target=80,to=90", "'to=90'"),
    ],
)
def test_what_is_no_port_is_refused(text: str, why: str) -> None:
    with pytest.raises(Usage, match=why):
        bindings([text])


def test_one_port_may_be_published_twice_and_ranges_exposed() -> None:
    assert [one["HostPort"] for one in bindings(["1:80", "2:80"])["80/tcp"]] == ["1", "2"]
    assert exposed(["80", "90-91/udp"]) == ["80/tcp", "90/udp", "91/udp"]
    with pytest.raises(Usage, match="--expose 'web'"):
        exposed(["web"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("target=/a", {"Type": "volume", "Target": "/a"}),
        ("type=bind,src=/s,dst=/a,ro", {"Type": "bind", "Source": "/s", "ReadOnly": True}),
        ("type=bind,source=/s,target=/a,readonly=false", {"ReadOnly": False}),
        (
            "type=bind,source=/s,target=/a,bind-propagation=rslave,bind-nonrecursive",
            {"BindOptions": {"Propagation": "rslave", "NonRecursive": True}},
        ),
        (
            "type=bind,source=/s,target=/a,readonly,bind-recursive=readonly",
            {"BindOptions": {"ReadOnlyForceRecursive": True}},
        ),
        (
            'source=v,target=/a,volume-nocopy,volume-driver=local,"volume-opt=o=uid=1,gid=2"',
            {
                "VolumeOptions": {
                    "NoCopy": True,
                    "DriverConfig": {"Name": "local", "Options": {"o": "uid=1,gid=2"}},
                }
            },
        ),
        (
            "source=v,target=/a,volume-subpath=b/c,volume-label=k=v",
            {"VolumeOptions": {"Subpath": "b/c", "Labels": {"k": "v"}}},
        ),
        (
            "type=tmpfs,destination=/a,tmpfs-size=64m,tmpfs-mode=1770",
            {"TmpfsOptions": {"SizeBytes": 64 << 20, "Mode": 0o1770}},
        ),
        (
            "type=image,source=busybox,target=/a,image-subpath=bin",
            {"ImageOptions": {"Subpath": "bin"}},
        ),
    ],
)
def test_a_mount_has_all_of_dockers_keys(text: str, expected: dict[str, Any]) -> None:
    found = mount(text)
    assert found | expected == found
    assert found["Target"] == "/a"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("type=bind,target=/a", "no source=PATH"),
        ("type=image,target=/a", "no source=IMAGE"),
        ("source=v", "no target=PATH"),
        ("type=cloud,target=/a", "bind, image, tmpfs, volume"),
        ("target=/a,colour=red", "no key 'colour'"),
        ("target=/a,readonly=perhaps", "true or false"),
        ("target", "has no value"),
        ("type=tmpfs,target=/a,volume-nocopy", "does not go with type=tmpfs"),
        ("type=tmpfs,target=/a,tmpfs-mode=9", "octal"),
        ("type=tmpfs,target=/a,tmpfs-size=much", "a number and its unit"),
        ("type=bind,source=/s,target=/a,bind-recursive=readonly", "go with readonly"),
        ("type=bind,source=/s,target=/a,bind-recursive=often", "enabled, disabled"),
        ('target=/a,"open', "in quotes"),
    ],
)
def test_what_is_no_mount_is_refused(text: str, why: str) -> None:
    with pytest.raises(Usage, match=why):
        mount(text)


def test_a_relative_source_is_of_this_folder(tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert mount("type=bind,source=./a,target=/a")["Source"] == str(tmp_path / "a")


def test_a_network_has_its_short_and_its_long_form() -> None:
    short = flags("--network", "app", "--network-alias", "db", "--ip", "10.0.0.2")
    long = flags("--network", "name=app,alias=db,ip=10.0.0.2")
    expected = {"app": {"IPAMConfig": {"IPv4Address": "10.0.0.2"}, "Aliases": ["db"]}}
    for given in (short, long):
        assert networking_of(given)["NetworkingConfig"]["EndpointsConfig"] == expected
        assert network_mode(given) == "app"
    assert networking_of(flags("--network", "none")) == {}
    assert networking_of(flags()) == {}


def test_a_container_may_be_in_several_networks() -> None:
    given = flags("--net", "a", "--net", "name=b,mac-address=02:00:00:00:00:01", "--link", "x:y")
    found = networking_of(given)["NetworkingConfig"]["EndpointsConfig"]
    assert found == {"a": {"Links": ["x:y"]}, "b": {"MacAddress": "02:00:00:00:00:01"}}
    assert network_mode(given) == "a"


def test_links_are_the_containers_own_on_the_default_bridge_alone() -> None:
    assert container_links(flags("--link", "x:y")) == ["x:y"]
    assert container_links(flags("--net", "a", "--link", "x:y")) == []


def test_one_address_is_told_to_old_engines_as_well() -> None:
    found = networking_of(flags("--mac-address", "02:00:00:00:00:01"))
    assert found["MacAddress"] == "02:00:00:00:00:01"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--net", "a", "--net", "a"], "multiple times"),
        (["--net", "a", "--net", "host"], "cannot attach both"),
        (["--net", "alias=x"], "no name=NETWORK"),
        (["--net", "name=a,colour=red"], "colour=red"),
        (["--net", "name=a,ip=1.2.3.4,ip=1.2.3.5"], "stands there twice"),
        (["--net", "name=a,ip=1.2.3.4", "--ip", "1.2.3.4"], "leave one out"),
        (["--net", "name=a,gw-priority=high"], "whole number"),
    ],
)
def test_networks_that_do_not_go_together_are_refused(words: list[str], why: str) -> None:
    with pytest.raises(Usage, match=why):
        networking_of(flags(*words))


def test_each_range_gateway_and_reserved_address_belongs_to_its_subnet() -> None:
    found = pools(
        ["10.1.0.0/16", "fd00::/64"], ["10.1.2.0/24"], ["fd00::1", "10.1.0.1"], {"nas": "10.1.0.9"}
    )
    assert found == [
        {
            "Subnet": "10.1.0.0/16",
            "IPRange": "10.1.2.0/24",
            "Gateway": "10.1.0.1",
            "AuxiliaryAddresses": {"nas": "10.1.0.9"},
        },
        {"Subnet": "fd00::/64", "Gateway": "fd00::1"},
    ]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (([], [], ["10.1.0.1"], {}), "corresponding subnet"),
        ((["10.1.0.0/16", "10.1.2.0/24"], [], [], {}), "overlapping"),
        ((["10.1.0.0/16"], [], ["10.2.0.1"], {}), "no matching subnet for gateway"),
        ((["10.1.0.0/16"], [], [], {"a": "10.2.0.1"}), "no matching subnet for aux-address"),
        ((["10.1.0.0/16", "10.2.0.0/16"], [], ["10.1.0.1", "10.1.0.2"], {}), "multiple gateways"),
        ((["10.1.0.0/33"], [], [], {}), "--subnet '10.1.0.0/33'"),
        ((["10.1.0.0/16"], [], ["here"], {}), "--gateway 'here'"),
    ],
)
def test_addresses_that_fit_no_subnet_are_refused(given: Any, why: str) -> None:
    with pytest.raises(Usage, match=why):
        pools(*given)


def test_ports_are_summed_up_as_docker_does() -> None:
    ports = [
        *(Port(number, "tcp", "0.0.0.0", number) for number in (9000, 9001, 9002)),
        Port(90, "tcp", "0.0.0.0", 90),
        Port(80, "tcp", "::", 8080),
        Port(53, "udp"),
    ]
    assert summary(ports) == (
        "0.0.0.0:90->90/tcp, 53/udp, 0.0.0.0:9000-9002->9000-9002/tcp, [::]:8080->80/tcp"
    )


def test_a_port_is_opened_where_a_browser_finds_it() -> None:
    assert Port(80, "tcp", "0.0.0.0", 8080).link("localhost") == "http://localhost:8080"
    assert Port(80, "tcp", "10.0.0.1", 8080).link("localhost") == "http://10.0.0.1:8080"
    assert Port(53, "udp", "0.0.0.0", 53).link("localhost") == ""
    assert Port(80, "tcp").link("localhost") == ""
    assert machine("tcp://box:2375") == "box"
    assert machine("unix:///run/docker.sock") == "localhost"
    assert "&lt;b&gt;" in opened(Port(80, "tcp", "<b>", 80), "localhost")


def test_a_port_of_both_kinds_of_addresses_is_one_link_and_two_lines() -> None:
    both = [Port(80, "tcp", "0.0.0.0", 8080), Port(80, "tcp", "::", 8080)]
    shown = Published(both, "web", "localhost")
    assert shown.text() == "80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080"
    assert shown.html().count("<a ") == 1
