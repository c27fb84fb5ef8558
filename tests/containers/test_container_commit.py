"""A container becomes an image, which runs; what it changed is listed."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import pytest

from ipycontainer_runtime.engine.instructions import changed
from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.oci.model import ContainerConfig
from support.calls import Make, Reply, call, create, ended, logged, remove, start, state
from support.engines import Engine

pytestmark = [pytest.mark.needs("docker", "busybox"), pytest.mark.ordinary_user]


def commit(engine: Engine, container: str, **query: Any) -> Reply:
    text = urlencode({"container": container, **query}, doseq=True)
    return call(engine, "POST", f"/commit?{text}")


def output(engine: Engine, image: str, *command: str) -> bytes:
    container = create(engine, image, *command)
    start(engine, container)
    ended(engine, container)
    found = logged(engine, container)
    remove(engine, container)
    return found


def test_changes_are_listed_as_docker_lists_them(shared_engine: Engine, run: Make) -> None:
    container = run("sh", "-c", "mkdir /new; echo x > /new/file; rm /bin/vi; chmod 700 /etc")
    ended(shared_engine, container)
    found = call(shared_engine, "GET", f"/containers/{container}/changes").body
    assert {"Path": "/new/file", "Kind": 1} in found
    assert {"Path": "/bin/vi", "Kind": 2} in found
    assert {"Path": "/etc", "Kind": 0} in found


def test_a_container_that_changed_nothing_has_no_changes(shared_engine: Engine, run: Make) -> None:
    container = run("true")
    ended(shared_engine, container)
    assert call(shared_engine, "GET", f"/containers/{container}/changes").body is None


def test_a_committed_image_runs_with_what_was_changed(shared_engine: Engine, run: Make) -> None:
    container = run("sh", "-c", "echo kept > /file; rm /bin/vi", Env=["A=1"])
    ended(shared_engine, container)
    reply = commit(shared_engine, container, repo="made", tag="1", comment="why", author="me")
    assert reply.status == 201
    image = call(shared_engine, "GET", "/images/made:1/json").body
    assert image["Id"] == reply.body["Id"]
    assert (image["Author"], image["Comment"]) == ("me", "why")
    assert output(shared_engine, "made:1", "sh", "-c", "cat /file; echo $A; ls /bin/vi") == (
        b"kept\n1\n" + output(shared_engine, "made:1", "ls", "/bin/vi")
    )
    shared_engine.succeed("rmi", "made:1")


def test_instructions_change_the_image(shared_engine: Engine, make: Make) -> None:
    container = make("true")
    lines = ['CMD ["echo", "new"]', "ENV B=2 C=3", "WORKDIR /w", "EXPOSE 80", "LABEL k=v"]
    image = commit(shared_engine, container, changes=lines).body["Id"]
    config = call(shared_engine, "GET", f"/images/{image}/json").body["Config"]
    assert config["Cmd"] == ["echo", "new"]
    assert {"B=2", "C=3"} <= set(config["Env"])
    assert (config["WorkingDir"], config["Labels"]) == ("/w", {"k": "v"})
    assert config["ExposedPorts"] == {"80/tcp": {}}
    assert output(shared_engine, image) == b"new\n"
    shared_engine.succeed("rmi", image)


@pytest.mark.needs("root")
def test_a_running_container_is_still_while_it_is_committed(
    shared_engine: Engine, run: Make
) -> None:
    # Two files that grow by turns: caught at one moment, one is a line longer at most.
    script = "echo > /one; echo > /two; echo up; while :; do echo >> /one; echo >> /two; done"
    container = run("sh", "-c", script)
    follow = shared_engine.client.containers.get(container).logs(stream=True, follow=True)
    assert next(follow) == b"up\n"
    image = commit(shared_engine, container).body["Id"]
    assert state(shared_engine, container)["Running"]
    counted = output(shared_engine, image, "wc", "-l", "/one", "/two").split()
    assert int(counted[0]) - int(counted[2]) in (0, 1)
    shared_engine.succeed("rmi", image)


def test_a_commit_that_meets_a_removal_is_whole_or_refused(
    shared_engine: Engine, run: Make
) -> None:
    # Fails without `_refuse_removed` in engine/commit.py, when the removal comes in between.
    script = "mkdir /many; for i in $(seq 4000); do echo $i > /many/$i; done"
    for _ in range(3):
        container = run("sh", "-c", script)
        assert ended(shared_engine, container) == 0
        with ThreadPoolExecutor(2) as pool:
            committed = pool.submit(commit, shared_engine, container, repo="met")
            pool.submit(remove, shared_engine, container).result()
        reply = committed.result()
        if reply.status == 201:
            assert output(shared_engine, "met", "sh", "-c", "ls /many | wc -l") == b"4000\n"
            shared_engine.succeed("rmi", "met")
        else:
            assert reply.status in (404, 409), reply.body
            assert call(shared_engine, "GET", "/images/met/json").status == 404


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"changes": "FROM x"}, 400),
        ({"changes": "ENV"}, 400),
        ({"changes": "EXPOSE no"}, 400),
        ({"repo": "Not Valid"}, 400),
        ({"repo": f"x@sha256:{64 * 'a'}"}, 400),
    ],
)
def test_a_commit_that_cannot_be_leaves_nothing(
    shared_engine: Engine, make: Make, query: dict[str, str], status: int
) -> None:
    container = make("true")
    before = call(shared_engine, "GET", "/images/json?all=1").body
    assert commit(shared_engine, container, **query).status == status
    assert call(shared_engine, "GET", "/images/json?all=1").body == before


def test_an_unknown_container_cannot_be_committed(shared_engine: Engine) -> None:
    reply = commit(shared_engine, "absent")
    assert (reply.status, reply.message) == (404, "No such container: absent")


def applied(*changes: str) -> Any:
    return changed(ContainerConfig(working_dir="/work", env=["A=0", "PATH=/bin"]), changes)


def test_instructions_have_a_shell_form_and_a_json_form() -> None:
    assert applied("CMD echo $HOME").cmd == ["/bin/sh", "-c", "echo $HOME"]
    assert applied('ENTRYPOINT ["a", "b"]').entrypoint == ["a", "b"]
    assert applied("CMD [not json").cmd == ["/bin/sh", "-c", "[not json"]


def test_instructions_are_read_as_dockers() -> None:
    assert applied("ENV B two words", "ENV A=3").env == ["A=3", "PATH=/bin", "B=two words"]
    assert applied("ENV PATH=/x:$PATH C=\\$A").env == ["A=0", "PATH=/x:/bin", "C=$A"]
    assert applied('LABEL a="x y" b=c').labels == {"a": "x y", "b": "c"}
    assert applied("WORKDIR sub").working_dir == "/work/sub"
    ports = applied("EXPOSE 80-81 53/UDP").exposed_ports
    assert ports == {"80/tcp": {}, "81/tcp": {}, "53/udp": {}}
    assert applied('VOLUME ["/a", "/b"]').volumes == {"/a": {}, "/b": {}}
    assert applied("user app:app", "stopsignal SIGINT").user == "app:app"
    assert applied("ONBUILD RUN x").on_build == ["RUN x"]


def test_a_health_check_is_read_with_its_flags() -> None:
    check = applied("HEALTHCHECK --interval=1m30s --retries=2 CMD true || exit 1").healthcheck
    assert (check.test, check.interval) == (["CMD-SHELL", "true || exit 1"], 90 * 10**9)
    assert check.retries == 2
    assert applied("HEALTHCHECK NONE").healthcheck.test == ["NONE"]


@pytest.mark.parametrize(
    "line",
    [
        "RUN x",
        "ENV",
        "ENV =x",
        "ENV A",
        "ENV '' x",
        "LABEL =x",
        "ENV A=1 B",
        "EXPOSE 70000",
        "HEALTHCHECK x",
        "HEALTHCHECK --f CMD x",
    ],
)
def test_instructions_that_cannot_be_are_refused_by_name(line: str) -> None:
    with pytest.raises(InvalidParameter, match=json.dumps(line.split(maxsplit=1)[0])[1:-1]):
        applied(line)
