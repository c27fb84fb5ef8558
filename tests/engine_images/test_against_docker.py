"""The same requests to Docker's engine and to ours: statuses, messages and shapes agree."""

import json
import re
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from support.engines import Engine, running_engine
from support.hosts import Host
from support.made import image, tar, write_layout
from support.registry import Registry

pytestmark = pytest.mark.needs("root", "dockerd", "docker", "docker-registry", "skopeo")

# `{}` as X-Registry-Auth, as clients send it that are not logged in.
HEAD = "Host: docker\r\nConnection: close\r\nX-Registry-Auth: e30=\r\nContent-Length: 0\r\n\r\n"


class Pair(NamedTuple):
    """Two engines that pulled the same image, and that image's repository."""

    dockerd: Host
    ours: Engine
    repository: str

    @property
    def name(self) -> str:
        return f"{self.repository}:latest"

    def answers(self, method: str, path: str) -> list[tuple[int, str]]:
        """Return what each engine answers."""
        return [request(host, method, path) for host in (self.dockerd, self.ours)]


def request(host: Host, method: str, path: str) -> tuple[int, str]:
    """Make one request as bare bytes; return status and body, chunks joined."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(host.socket))
        connection.sendall(f"{method} /v1.41{path} HTTP/1.1\r\n{HEAD}".encode())
        raw = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    head, _, body = raw.partition("\r\n\r\n")
    if "chunked" in head.lower():
        body = re.sub(r"(?:^|\r\n)[0-9a-f]+\r\n", "", body).removesuffix("\r\n\r\n")
    return int(head.split()[1]), body


def told(host: Host, method: str, path: str) -> list[dict[str, Any]]:
    status, body = request(host, method, path)
    assert status == 200, body
    return [json.loads(line) for line in body.splitlines() if line.strip()]


def steps(messages: list[dict[str, Any]]) -> tuple[list[str], dict[str, list[str]]]:
    """Return the messages of their own, and each layer's statuses without repetition.

    Docker leaves out the bars of layers that come faster than it draws; so do we here.
    """
    alone: list[str] = []
    layers: dict[str, list[str]] = {}
    drawn = ("Waiting", "Downloading", "Verifying Checksum", "Pushing")
    for message in messages:
        if "progressDetail" not in message or "aux" in message:
            alone.append(json.dumps(message, sort_keys=True))
        elif message["status"] not in drawn:
            own = layers.setdefault(message["id"], [])
            if message["status"] not in own:
                own.append(message["status"])
    return alone, layers


@pytest.fixture(scope="module")
def pair(
    dockerd: Host, registry: Registry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    lower, upper = tar({"lower": b"1" * 1000}), tar({"upper": b"2"})
    config = {
        "Cmd": ["sh"],
        "Env": ["PATH=/bin"],
        "Labels": {"a": "b"},
        "ExposedPorts": {"80/tcp": {}},
        "WorkingDir": "/w",
    }
    made = image(lower, upper, lower, config=config)
    name = registry.add(write_layout(made, tmp_path_factory.mktemp("layout") / "l"), "team/cmp")
    with running_engine() as ours:
        ours.start()
        pair = Pair(dockerd, ours, name.removesuffix(":latest"))
        create = f"/images/create?fromImage={pair.repository}&tag=latest"
        theirs, own = (steps(told(host, "POST", create)) for host in (dockerd, ours))
        assert own == theirs
        yield pair
        for host in (dockerd, ours):
            host.docker("rmi", "-f", name)


def test_a_pull_of_what_is_here_tells_the_same(pair: Pair) -> None:
    create = f"/images/create?fromImage={pair.repository}&tag=latest"
    assert told(pair.ours, "POST", create) == told(pair.dockerd, "POST", create)


def test_inspection_differs_in_folders_alone(pair: Pair) -> None:
    answers = [json.loads(body) for _, body in pair.answers("GET", f"/images/{pair.name}/json")]
    for answer in answers:
        assert answer.pop("GraphDriver")["Name"] == "overlay2"
    assert answers[1] == answers[0]


def listed(body: bytes, name: str) -> list[dict[str, object]]:
    """Return what a list says, but for the images that other tests have put there."""
    return [one for one in json.loads(body) if name in one.get("RepoTags", [name])]


@pytest.mark.parametrize("path", ["/images/{name}/history", "/images/json"])
def test_history_and_list_are_the_same(pair: Pair, path: str) -> None:
    theirs, ours = pair.answers("GET", path.format(name=pair.name))
    assert listed(ours[1], pair.name) == listed(theirs[1], pair.name)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/images/create?fromImage={repository}&tag=absent"),
        ("POST", "/images/create?fromImage={repository}-none&tag=latest"),
        ("GET", "/images/none/history"),
        ("DELETE", "/images/none:1"),
        ("DELETE", "/images/abcdef"),
        ("POST", "/images/none/tag?repo=x&tag=y"),
        ("POST", "/images/{name}/tag?repo=cmp-again&tag=v1"),
        ("DELETE", "/images/cmp-again:v1"),
        ("POST", "/images/none/push?tag=x"),
        ("POST", "/images/{repository}/push?tag=x"),
    ],
)
def test_statuses_and_bodies_are_the_same(pair: Pair, method: str, path: str) -> None:
    theirs, ours = pair.answers(method, path.format(name=pair.name, repository=pair.repository))
    assert ours[0] == theirs[0]
    assert ours[1].split() == theirs[1].split()


def test_a_push_tells_the_same_steps(pair: Pair) -> None:
    pushed = []
    for host, tag in ((pair.dockerd, "theirs"), (pair.ours, "ours")):
        copy = f"{pair.repository}-pushed"
        assert request(host, "POST", f"/images/{pair.name}/tag?repo={copy}&tag={tag}")[0] == 201
        messages = told(host, "POST", f"/images/{copy}/push?tag={tag}")
        # Docker's engine writes a manifest of its own; ours goes as it came, digest and all.
        masked = re.sub(r"sha256:\w{64}|size: \d+|\"Size\": \d+", "", json.dumps(messages))
        alone, layers = steps(json.loads(masked.replace(tag, "TAG").replace(", }", "}")))
        # Docker found the layers where it pulled them from, or finds them where we pushed them.
        pushed.append((alone, {name: states[0] for name, states in layers.items()}))
        host.succeed("rmi", f"{copy}:{tag}")
    assert pushed[1] == pushed[0]


def test_what_a_registry_has_is_described(pair: Pair) -> None:
    theirs, ours = pair.answers("GET", f"/distribution/{pair.name}/json")
    assert json.loads(ours[1])["Descriptor"] == json.loads(theirs[1])["Descriptor"]
    assert [platform["os"] for platform in json.loads(ours[1])["Platforms"]] == ["linux"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("fromSrc=file:///etc", "one of http or https is wanted"),
        ("fromImage=", "fromImage=NAME is wanted"),
        ("fromImage=127.0.0.1:1/x&tag=1", "cannot reach the registry 127.0.0.1:1: connection refu"),
    ],
)
def test_what_this_engine_does_not_do_is_refused_by_name(
    pair: Pair, query: str, words: str
) -> None:
    status, body = request(pair.ours, "POST", f"/images/create?{query}")
    assert status in (400, 500, 501)
    assert words in json.loads(body)["message"]
