"""Containers of a root engine with a user namespace, and so ids on the machine, of their own."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from support import leftovers
from support.calls import Make, call, create, ended, logged, remove, start, state
from support.engines import Engine

pytestmark = pytest.mark.needs("root", "busybox")

AUTO = {"UsernsMode": "auto"}
SLEEP = ("sleep", "1000")
WRITES = (
    "echo mine > /own; echo hers > /hers; chown 1000:1001 /hers; chmod 700 /etc; exec sleep 1000"
)


def host_ids(engine: Engine, container: str) -> tuple[int, int]:
    """Return user and group of a container's first process as the machine has them."""
    status = Path(f"/proc/{state(engine, container)['Pid']}/status").read_text()
    lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    return int(lines["Uid"].split()[0]), int(lines["Gid"].split()[0])


def test_root_in_the_container_is_nobody_on_the_machine(shared_engine: Engine, run: Make) -> None:
    first, second = (run(*SLEEP, HostConfig=AUTO) for _ in range(2))
    ids = [host_ids(shared_engine, container) for container in (first, second)]
    assert ids[0] != ids[1]
    assert all(uid == gid and uid >= 1 << 31 for uid, gid in ids)
    assert shared_engine.succeed("exec", first, "id", "-u") == "0"
    assert host_ids(shared_engine, run(*SLEEP)) == (0, 0)


def test_what_is_made_ahead_serves_the_next_container_or_goes(
    shared_engine: Engine, run: Make
) -> None:
    seen = set()
    for own in (True, True, True, False, False, False, True):
        container = run(*SLEEP, HostConfig=AUTO if own else {})
        process = f"/proc/{state(shared_engine, container)['Pid']}"
        assert (host_ids(shared_engine, container)[0] >= 1 << 31) == own
        assert (os.readlink(f"{process}/ns/user") != os.readlink("/proc/self/ns/user")) == own
        seen.add(os.readlink(f"{process}/ns/net"))
    assert len(seen) == 7


def test_its_layers_and_folders_are_its_roots(shared_engine: Engine, run: Make) -> None:
    container = run(*SLEEP, HostConfig=AUTO)
    look = "stat -c %u:%g / /bin /bin/busybox /dev /dev/shm /etc/hosts; touch /bin/x /dev/x /tmp/x"
    assert shared_engine.succeed("exec", container, "sh", "-c", look).split() == ["0:0"] * 6
    shared_engine.succeed("exec", container, "sh", "-c", "echo line >> /etc/hosts")


def test_its_root_rules_its_network_and_names_and_not_its_mounts(
    shared_engine: Engine, run: Make
) -> None:
    container = run(*SLEEP, HostConfig={**AUTO, "CapAdd": ["SYS_ADMIN", "NET_ADMIN"]})
    shared_engine.succeed("exec", container, "sh", "-c", "hostname renamed; ip link set lo down")
    for command in ("umount /proc/kcore", "mount -t tmpfs x /tmp", "mount -o remount,rw /sys"):
        assert shared_engine.docker("exec", container, "sh", "-c", command).returncode != 0


def test_what_only_the_machines_root_may_read_stays_hidden(
    shared_engine: Engine, run: Make, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "secret").chmod(0o600)
    tmp_path.chmod(0o755)
    binds = {"Binds": [f"{tmp_path}:/host"]}
    own = run("sh", "-c", "cat /host/secret; touch /host/new", HostConfig={**AUTO, **binds})
    ended(shared_engine, own)
    assert b"secret" not in logged(shared_engine, own).replace(b"/host/secret", b"")
    assert not (tmp_path / "new").exists()


def test_a_terminal_is_its_users(shared_engine: Engine, run: Make) -> None:
    container = run(*SLEEP, HostConfig=AUTO, Tty=True)
    for user, owner in (("0", "0:5"), ("1000", "1000:5")):
        told = shared_engine.succeed(
            "exec", "-t", "-u", user, container, "sh", "-c", "stat -c %u:%g $(tty)"
        )
        assert told == owner


@pytest.mark.parametrize("running", [True, False])
def test_files_come_out_and_go_in_with_the_containers_ids(
    shared_engine: Engine, run: Make, running: bool
) -> None:
    container = run("sh", "-c", WRITES, HostConfig=AUTO)
    shared_engine.succeed("exec", container, "sh", "-c", "until [ -e /hers ]; do usleep 9000; done")
    if not running:
        call(shared_engine, "POST", f"/containers/{container}/kill")
    api = shared_engine.client.api
    content = b"".join(api.get_archive(container, "/hers")[0])
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        assert [(entry.uid, entry.gid) for entry in tar] == [(1000, 1001)]
    api.put_archive(container, "/etc", _archive("put", 7, 8))
    exported = b"".join(api.export(container))
    with tarfile.open(fileobj=io.BytesIO(exported)) as tar:
        owners = {entry.name: (entry.uid, entry.gid) for entry in tar}
    assert owners["hers"] == (1000, 1001)
    assert owners["etc/put"] == (7, 8)
    assert {owners[name] for name in ("own", "etc", "bin/busybox")} == {(0, 0)}
    if not running:
        start(shared_engine, container)
        look = "stat -c %u:%g /etc/put /etc"
        told = shared_engine.succeed("exec", container, "sh", "-c", look)
        assert told.split() == ["7:8", "0:0"]


def _archive(name: str, uid: int, gid: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.uid, entry.gid = uid, gid
        tar.addfile(entry)
    return out.getvalue()


def test_a_commit_has_the_containers_ids(shared_engine: Engine, run: Make, make: Make) -> None:
    container = run("sh", "-c", WRITES, HostConfig=AUTO)
    shared_engine.succeed("exec", container, "sh", "-c", "until [ -e /hers ]; do usleep 9000; done")
    assert "A /hers" in shared_engine.succeed("diff", container).splitlines()
    shared_engine.succeed("commit", container, "owned")
    for host in ({}, AUTO):
        look = ("stat", "-c", "%u:%g", "/hers", "/own", "/etc", "/bin/busybox")
        seen = create(shared_engine, "owned", *look, HostConfig=host)
        start(shared_engine, seen)
        ended(shared_engine, seen)
        assert logged(shared_engine, seen).split() == [b"1000:1001", *[b"0:0"] * 3]
        remove(shared_engine, seen)


def test_its_ids_are_free_again_when_it_is_removed(shared_engine: Engine, busybox: str) -> None:
    seen = set()
    for _ in range(3):
        container = create(shared_engine, busybox, *SLEEP, HostConfig=AUTO)
        start(shared_engine, container)
        seen.add(host_ids(shared_engine, container))
        remove(shared_engine, container)
    assert len(seen) == 1


def test_nothing_is_left_of_the_namespaces_holder(shared_engine: Engine, run: Make) -> None:
    pid = state(shared_engine, run(*SLEEP, HostConfig=AUTO))["Pid"]
    status = Path(f"/proc/{pid}/status").read_text()
    shim = next(line.split()[1] for line in status.splitlines() if line.startswith("PPid"))
    listed = Path(f"/proc/{shim}/task").glob("*/children")
    children = {int(child) for file in listed for child in file.read_text().split()}
    assert not leftovers.outlived(sorted(children - {pid}))


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ({"Privileged": True}, "privileged mode is incompatible with user namespaces"),
        ({"NetworkMode": "host"}, "cannot share the host's network namespace"),
        ({"PidMode": "host"}, "cannot share the host's pid namespace"),
        ({"IpcMode": "host"}, "cannot share the host's ipc namespace"),
        ({"UsernsMode": "mine"}, "invalid userns mode: 'mine': use auto, or host"),
    ],
)
def test_what_does_not_go_with_it_is_refused(
    shared_engine: Engine, busybox: str, host: dict[str, object], words: str
) -> None:
    settings = {"NetworkMode": "none", **AUTO, **host}
    body = {"Image": busybox, "HostConfig": settings}
    refused = call(shared_engine, "POST", "/containers/create", body)
    assert refused.status == 400
    assert words in refused.message


def test_a_user_outside_its_ids_is_refused(shared_engine: Engine, make: Make) -> None:
    container = make("true", HostConfig=AUTO, User="70000")
    refused = call(shared_engine, "POST", f"/containers/{container}/start")
    assert "70000 is outside the 65536 ids" in refused.message


def test_the_docker_command_asks_for_it_by_an_annotation(
    shared_engine: Engine, busybox: str
) -> None:
    asked = ("--annotation", "io.ipycontainer.userns=auto", "--net", "none")
    told = shared_engine.succeed("run", "--rm", *asked, busybox, "cat", "/proc/self/uid_map")
    assert int(told.split()[1]) >= 1 << 31
    refused = shared_engine.docker("run", "--rm", *asked, "--pid", "host", busybox, "true")
    assert b"cannot share the host's pid namespace" in refused.stderr


@pytest.mark.parametrize(
    "shown", [{"Binds": ["/usr:/host"]}, {"Mounts": [{"Type": "bind", "Source": "/usr"}]}]
)
def test_that_folders_of_the_host_are_nobodys_is_said(
    shared_engine: Engine, busybox: str, shown: dict[str, list[object]]
) -> None:
    for mount in shown.get("Mounts", []):
        assert isinstance(mount, dict)
        mount["Target"] = "/host"
    body = {"Image": busybox, "HostConfig": {"NetworkMode": "none", **AUTO, **shown}}
    made = call(shared_engine, "POST", "/containers/create", body).body
    remove(shared_engine, made["Id"])
    (warning,) = made["Warnings"]
    assert "belongs to nobody in the container" in warning


def test_parameters_of_its_namespaces_can_be_set(shared_engine: Engine, run: Make) -> None:
    asked = {"kernel.msgmax": "4321", "fs.mqueue.msg_max": "12", "net.ipv4.ip_forward": "1"}
    paths = [f"/proc/sys/{name.replace('.', '/')}" for name in asked]
    container = run("cat", *paths, HostConfig={**AUTO, "Sysctls": asked})
    ended(shared_engine, container)
    assert logged(shared_engine, container).split() == [value.encode() for value in asked.values()]
