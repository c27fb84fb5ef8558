"""Docker's volume plugins: one built on docker-plugin-api, and some that hang or lie."""

import contextlib
import http.server
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from volumeroom import mounts, refusal, volume

from ipycontainer_runtime.engine.volumes.plugins import folders
from support import leftovers
from support.calls import call, create, ended, logged, start
from support.engines import Engine, running_engine
from support.hosts import Host

pytestmark = [pytest.mark.needs("docker", "busybox"), pytest.mark.ordinary_user]

PROGRAM = Path(__file__).with_name("volumeplugin.py")


class Running(NamedTuple):
    """A plugin that runs, and its folder."""

    name: str
    home: Path

    def calls(self, *names: str) -> list[tuple[str, str]]:
        """Return the calls of these names with the id that they gave, since `forget`."""
        lines = [json.loads(line) for line in (self.home / "calls").read_text().splitlines()]
        return [(name, body.get("ID", "")) for name, body in lines if name in names]

    def forget(self) -> None:
        """Begin the list of calls anew."""
        (self.home / "calls").write_text("")

    @contextlib.contextmanager
    def refusing(self, name: str) -> Iterator[None]:
        """Have it answer one call with an error."""
        (self.home / "refuses").write_text(name)
        yield
        (self.home / "refuses").unlink()


@pytest.fixture(scope="module")
def room() -> Iterator[Path]:
    """The folder in which sockets of plugins are looked for."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="ipyc-r") as run:
        if os.geteuid() != 0:
            patch.setenv("XDG_RUNTIME_DIR", run)
        folder = Path(folders(rootless=os.geteuid() != 0)[0])
        made = [p for p in (folder.parent, folder) if not p.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        for one in reversed(made):
            with contextlib.suppress(OSError):  # somebody else's plugin came meanwhile
                one.rmdir()


@pytest.fixture(scope="module")
def engine(room: Path, busybox: str) -> Iterator[Engine]:
    """An engine that looks for plugins there."""
    with running_engine() as running:
        running.succeed("pull", "-q", busybox)
        yield running
        running.remove_containers()


@pytest.fixture(scope="module")
def plugin(room: Path) -> Iterator[Running]:
    """The plugin that is built on docker-plugin-api, in a process of its own."""
    name = f"ipyc-{secrets.token_hex(4)}"
    with tempfile.TemporaryDirectory(prefix="ipyc-p", dir="/tmp") as home:
        at = room / f"{name}.sock"
        command = [sys.executable, str(PROGRAM), str(at), home]
        with Path(home, "log").open("wb") as log:
            process = subprocess.Popen(command, stderr=log)
        try:
            _wait_for(at, process)
            yield Running(name, Path(home))
        finally:
            process.terminate()
            process.wait()
            at.unlink(missing_ok=True)


def _wait_for(at: Path, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as tried:
            tried.connect(str(at))
            return
        time.sleep(0.02)  # a process of somebody else's making says in no other way that it listens
    raise AssertionError(f"the plugin ended with {process.returncode}")


@pytest.fixture(autouse=True)
def clean(request: pytest.FixtureRequest) -> Iterator[None]:
    """Remove what a test made."""
    yield
    if "engine" in request.fixturenames:
        engine: Engine = request.getfixturevalue("engine")
        engine.remove_containers()
        for found in call(engine, "GET", "/volumes").body["Volumes"]:
            call(engine, "DELETE", f"/volumes/{found['Name']}?force=1")


def done(engine: Host, image: str, *command: str, **settings: Any) -> str:
    container = create(engine, image, *command, HostConfig=settings)
    start(engine, container)
    assert ended(engine, container) == 0, logged(engine, container)
    return container


def unmounted(plugin: Running, container: str) -> bool:
    """Wait until the run's end reached the plugin."""
    for _ in range(200):
        if ("Unmount", container) in plugin.calls("Unmount"):
            return True
        time.sleep(0.02)  # it is told after the reply
    return False


def test_a_plugins_volume_lives_as_any_other(engine: Engine, plugin: Running, busybox: str) -> None:
    made = volume(engine, "vol", Driver=plugin.name, DriverOpts={"content": "hello"})
    assert (made["Driver"], made["Scope"], made["Status"]) == (plugin.name, "global", {"files": 1})
    assert made["Mountpoint"] == f"{plugin.home}/volumes/vol"
    assert made["Options"] == {"content": "hello"}
    plugin.forget()
    container = done(
        engine, busybox, "sh", "-c", "cat /x/content; echo b > /x/new", Binds=["vol:/x"]
    )
    assert logged(engine, container) == b"hello"
    assert (plugin.home / "volumes/vol/new").read_text() == "b\n"
    assert mounts(engine, container)["/x"]["Driver"] == plugin.name
    assert mounts(engine, container)["/x"]["Mode"] == ""
    assert unmounted(plugin, container)
    assert call(engine, "DELETE", "/volumes/vol").status == 409
    engine.remove_containers()
    assert call(engine, "DELETE", "/volumes/vol").status == 204
    assert not (plugin.home / "volumes/vol").exists()


def test_a_prune_takes_nothing_of_a_plugins(engine: Engine, plugin: Running) -> None:
    volume(engine, "kept", Driver=plugin.name, DriverOpts={"content": "hello"})
    everything = '/volumes/prune?filters={"all":["true"]}'
    assert call(engine, "POST", everything).body["VolumesDeleted"] == []
    assert (plugin.home / "volumes/kept/content").read_text() == "hello"


def test_each_run_is_mounted_and_unmounted_by_its_own_word(
    engine: Engine, plugin: Running, busybox: str
) -> None:
    plugin.forget()
    binds = ["vol:/x", "vol:/y"]
    fields = {"Binds": binds, "VolumeDriver": plugin.name}
    first, second = (create(engine, busybox, "true", HostConfig=fields) for _ in range(2))
    for container in (first, second, first):
        plugin.forget()
        start(engine, container)
        ended(engine, container)
        assert ("Mount", container) in plugin.calls("Mount")
        assert unmounted(plugin, container)


def test_an_engine_that_is_killed_leaves_no_mount_uncounted(
    engine: Engine, plugin: Running, busybox: str
) -> None:
    volume(engine, "counted", Driver=plugin.name)
    binds = ("--network", "none", "-v", "counted:/v")
    goes_on = engine.succeed("run", "-d", *binds, busybox, "sleep", "1000")
    ends = engine.succeed("run", "-d", *binds, busybox, "sleep", "1000")
    process = int(engine.succeed("inspect", "-f", "{{.State.Pid}}", ends))
    plugin.forget()
    engine.kill()
    os.kill(process, signal.SIGKILL)
    assert not leftovers.outlived([process])
    engine.start()
    assert "exited" in engine.succeed("inspect", "-f", "{{.State.Status}}", ends)
    assert engine.succeed("exec", goes_on, "sh", "-c", "echo still > /v/there; cat /v/there")
    engine.succeed("rm", "-f", goes_on, ends)

    def uncounted() -> list[str]:
        given_back = {word for _, word in plugin.calls("Unmount")}
        return sorted({goes_on, ends} - given_back)

    assert not leftovers.eventually(uncounted)
    assert not plugin.calls("Mount")
    engine.succeed("volume", "rm", "counted")


def test_volumes_of_the_plugins_own_making_are_seen_and_used(
    engine: Engine, plugin: Running, busybox: str
) -> None:
    (plugin.home / "volumes/found").mkdir()
    (plugin.home / "volumes/found/f").write_text("here")
    names = {v["Name"]: v["Driver"] for v in call(engine, "GET", "/volumes").body["Volumes"]}
    assert names == {"found": plugin.name}
    assert call(engine, "GET", "/volumes/found").body["Driver"] == plugin.name
    container = done(engine, busybox, "cat", "/x/f", Binds=["found:/x"])
    assert logged(engine, container) == b"here"
    reply = call(engine, "POST", "/volumes/create", {"Name": "found"})
    assert reply.body["Driver"] == plugin.name
    volume(engine, "other", Driver=plugin.name)
    reply = call(engine, "POST", "/volumes/create", {"Name": "other", "Driver": "local"})
    assert reply.status == 409
    assert f"driver '{plugin.name}' already has volume 'other'" in reply.message


def test_a_new_plugins_volume_is_filled_from_the_image(
    engine: Engine, plugin: Running, busybox: str
) -> None:
    mount = {
        "Type": "volume",
        "Source": "filled",
        "Target": "/etc",
        "VolumeOptions": {"DriverConfig": {"Name": plugin.name}},
    }
    done(engine, busybox, "true", Mounts=[mount])
    assert (plugin.home / "volumes/filled/passwd").exists()


@pytest.mark.parametrize("refused", ["Create", "Mount", "Remove"])
def test_what_the_plugin_says_is_passed_on(
    engine: Engine, plugin: Running, busybox: str, refused: str
) -> None:
    if refused != "Create":
        volume(engine, "vol", Driver=plugin.name)
    with plugin.refusing(refused):
        if refused == "Create":
            body = {"Name": "vol", "Driver": plugin.name}
            reply = call(engine, "POST", "/volumes/create", body)
        elif refused == "Remove":
            reply = call(engine, "DELETE", "/volumes/vol")
        else:
            settings = {"Mounts": [{"Type": "volume", "Source": "vol", "Target": "/none"}]}
            settings["Mounts"][0]["VolumeOptions"] = {"NoCopy": True}
            container = create(engine, busybox, "true", HostConfig=settings)
            reply = call(engine, "POST", f"/containers/{container}/start")
    assert f"VolumeDriver.{refused}: {refused} is refused here" in reply.message
    assert reply.status == 503


def test_copies_mount_the_volume_for_as_long_as_they_take(
    engine: Engine, plugin: Running, busybox: str
) -> None:
    volume(engine, "vol", Driver=plugin.name, DriverOpts={"content": "copied"})
    container = create(engine, busybox, "true", HostConfig={"Binds": ["vol:/x:nocopy"]})
    plugin.forget()
    found = engine.docker("cp", f"{container}:/x/content", "-")
    assert b"copied" in found.stdout
    calls = plugin.calls("Mount", "Unmount")
    assert [name for name, _ in calls][-2:] == ["Mount", "Unmount"]
    assert {word for _, word in calls} == {f"copy-{container}"}


def test_a_plugin_that_has_gone_is_named_and_its_volume_can_be_forgotten(
    engine: Engine, plugin: Running, room: Path
) -> None:
    volume(engine, "vol", Driver=plugin.name)
    at = room / f"{plugin.name}.sock"
    at.rename(at.with_suffix(".away"))
    try:
        reply = call(engine, "DELETE", "/volumes/vol")
        assert f'plugin "{plugin.name}" not found' in reply.message
        assert [v["Name"] for v in call(engine, "GET", "/volumes").body["Volumes"]] == ["vol"]
        assert call(engine, "DELETE", "/volumes/vol?force=1").status == 204
    finally:
        at.with_suffix(".away").rename(at)


# -- plugins that hang or lie

Answer = Callable[[str], bytes]


@contextlib.contextmanager
def hostile(room: Path, answer: Answer, over: threading.Event | None = None) -> Iterator[str]:
    """Serve a plugin that answers the calls as `answer` has it, and give its name.

    Until `over` it answers a byte at a time, without an end.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            call = self.path.strip("/")
            with contextlib.suppress(OSError):
                if call == "Plugin.Activate":
                    self._say(b'{"Implements": ["VolumeDriver"]}')
                else:
                    self._say(answer(call))

        def _say(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if over is None or b"Implements" in body:
                self.wfile.write(body)
                return
            while not over.wait(0.2):
                self.wfile.write(b" ")

        def log_message(self, *_: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        address_family = socket.AF_UNIX
        daemon_threads = True

        def server_bind(self) -> None:
            self.socket.bind(self.server_address)

        def get_request(self) -> tuple[socket.socket, Any]:
            return self.socket.accept()[0], ("plugin", 0)

    name = f"ipyc-{secrets.token_hex(4)}"
    server = Server(str(room / f"{name}.sock"), Handler)  # type: ignore[arg-type] # a path, by its family
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield name
    finally:
        server.shutdown()
        server.server_close()
        serving.join()
        (room / f"{name}.sock").unlink()


def test_a_plugin_that_hangs_is_waited_for_a_bounded_time(engine: Engine, room: Path) -> None:
    # Fails without the timer in `Plugin._post`.
    over = threading.Event()
    with hostile(room, lambda _: bytes(100_000), over) as name:
        try:
            reply = call(engine, "POST", "/volumes/create", {"Name": "vol", "Driver": name})
            assert reply.status == 503
            assert "VolumeDriver" in reply.message
            assert "no whole answer within 5 s" in reply.message
        finally:
            over.set()


def test_plugins_that_hang_hinder_nobody_else(engine: Engine, room: Path) -> None:
    # Fails where they are called on the few threads of `asyncio.to_thread`.
    volume(engine, "own")
    over = threading.Event()
    with hostile(room, lambda _: bytes(100_000), over) as name:
        bodies = [{"Name": f"vol{number}", "Driver": name} for number in range(40)]
        asking = [
            threading.Thread(target=call, args=(engine, "POST", "/volumes/create", body))
            for body in bodies
        ]
        try:
            for one in asking:
                one.start()
            time.sleep(0.5)  # until they wait
            began = time.monotonic()
            assert call(engine, "GET", "/system/df?type=volume").status == 200
            assert time.monotonic() - began < 4
        finally:
            over.set()
            for one in asking:
                one.join()


@contextlib.contextmanager
def slow(room: Path, place: Path) -> Iterator[tuple[str, threading.Event]]:
    """Serve a plugin that makes volumes, all of them `place`, only once the event is set."""
    may = threading.Event()

    def answer(call: str) -> bytes:
        if call == "VolumeDriver.Create":
            may.wait(20)
        said = {
            "VolumeDriver.Get": {"Err": "none"},
            "VolumeDriver.Mount": {"Mountpoint": str(place)},
        }
        return json.dumps(said.get(call, {})).encode()

    with hostile(room, answer) as name:
        yield name, may


def with_volumes(host: Host, image: str, driver: str, count: int) -> list[threading.Thread]:
    """Begin to make containers `made-N`, each with a volume of its own and ids of its own."""
    asking = []
    for number in range(count):
        options = {"NoCopy": True, "DriverConfig": {"Name": driver}}
        mount = {"Type": "volume", "Source": f"v{number}", "Target": "/x", "VolumeOptions": options}
        settings = {"NetworkMode": "none", "Mounts": [mount]}
        if os.geteuid() == 0:
            settings["UsernsMode"] = "auto"
        body = {"Image": image, "Cmd": ["cat", "/proc/self/uid_map"], "HostConfig": settings}
        path = f"/containers/create?name=made-{number}"
        asking.append(threading.Thread(target=call, args=(host, "POST", path, body)))
        asking[-1].start()
    time.sleep(0.5)  # until they wait
    return asking


@pytest.mark.needs("root")
def test_containers_that_wait_for_volumes_have_ids_of_their_own(
    engine: Engine, room: Path, busybox: str, tmp_path: Path
) -> None:
    # Fails where the ids are chosen before the volumes are made.
    tmp_path.chmod(0o755)
    with slow(room, tmp_path) as (name, may):
        asking = with_volumes(engine, busybox, name, 3)
        may.set()
        for one in asking:
            one.join()
        maps = set()
        for number in range(3):
            start(engine, f"made-{number}")
            assert ended(engine, f"made-{number}") == 0
            maps.add(logged(engine, f"made-{number}"))
        assert len(maps) == 3
        engine.remove_containers()


def test_an_image_that_goes_while_volumes_are_made_is_told(
    engine: Engine, room: Path, busybox: str, tmp_path: Path
) -> None:
    # Fails where nobody looks for the image again.
    engine.succeed("create", "--name", "base", busybox)
    engine.succeed("commit", "-c", "LABEL going=1", "base", "going")
    with slow(room, tmp_path) as (name, may):
        asking = with_volumes(engine, "going", name, 1)
        engine.succeed("rmi", "going")
        may.set()
        asking[0].join()
        assert call(engine, "GET", "/containers/made-0/json").status == 404
        assert call(engine, "GET", "/volumes").body["Volumes"] == []


@pytest.mark.parametrize("wrong", [".hidden", "..", "a/b", "a\nb", "a\x1b[31m", 200 * "é"])
def test_a_name_that_no_folder_can_have_never_reaches_the_plugin(
    engine: Engine, plugin: Running, wrong: str
) -> None:
    plugin.forget()
    body = {"Name": wrong, "Driver": plugin.name}
    reply = call(engine, "POST", "/volumes/create", body)
    assert reply.status == 400
    assert "is no folder's name" in reply.message
    assert not plugin.calls("Create")


PATHS = ["", "relative", "/no/such/folder", "/", "/x\0y", "/" + 5000 * "a"]


@pytest.mark.parametrize("path", [*PATHS, "ROOT", "RUN"])
def test_a_path_that_cannot_be_shown_is_refused(
    engine: Engine, room: Path, busybox: str, path: str
) -> None:
    # Fails without `_checked_path`.
    own = {"ROOT": str(engine.paths.root), "RUN": str(engine.paths.run)}
    told = json.dumps({"Mountpoint": own.get(path, path)}).encode()

    def answer(call: str) -> bytes:
        return told if call in ("VolumeDriver.Mount", "VolumeDriver.Path") else b"{}"

    with hostile(room, answer) as name:
        settings = {"VolumeDriver": name, "Binds": ["vol:/x:nocopy"]}
        container = create(engine, busybox, "true", HostConfig=settings)
        reply = call(engine, "POST", f"/containers/{container}/start")
        assert reply.status in (400, 503)
        assert "mounted it at" in reply.message
        engine.remove_containers()
        call(engine, "DELETE", "/volumes/vol?force=1")


@pytest.mark.parametrize(
    "body", [b"garbage", b"[]", b'{"Err": 3}', b'{"x":' + b" " * (5 << 20) + b"1}"]
)
def test_an_answer_that_is_none_is_refused_and_bounded(
    engine: Engine, room: Path, body: bytes
) -> None:
    with hostile(room, lambda call: body if call == "VolumeDriver.Create" else b"{}") as name:
        reply = call(engine, "POST", "/volumes/create", {"Name": "vol", "Driver": name})
        assert reply.status == 503
        assert name in reply.message
        assert len(reply.message) < 1000


def test_a_plugin_that_fails_hinders_no_list(engine: Engine, room: Path) -> None:
    volume(engine, "mine")
    with hostile(room, lambda call: b"no" if call == "VolumeDriver.List" else b"{}") as name:
        found = call(engine, "GET", "/volumes").body
        assert [v["Name"] for v in found["Volumes"]] == ["mine"]
        assert name in found["Warnings"][0]


@pytest.mark.parametrize("name", ["../ipyc-other", "ipyc-other/x", ".hidden", "x" * 200])
def test_a_driver_is_no_path(
    engine: Engine, plugin: Running, room: Path, busybox: str, name: str
) -> None:
    places = [room.parent / "ipyc-other.sock", room / "ipyc-other/x.sock"]
    places[1].parent.mkdir()
    try:
        for place in places:
            place.symlink_to(room / f"{plugin.name}.sock")
        settings = {"VolumeDriver": name, "Binds": ["vol:/x"]}
        assert "not found" in refusal(engine, busybox, HostConfig=settings)[1]
    finally:
        for place in places:
            place.unlink()
        places[1].parent.rmdir()


def test_addresses_are_read_from_files_as_well(
    plugin: Running, room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ipycontainer_runtime.engine.volumes.plugins import Plugins
    from ipycontainer_runtime.paths import Paths

    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    files = tmp_path / "config/docker/plugins"
    files.mkdir(parents=True)
    address = f"unix://{room}/{plugin.name}.sock"
    (files / "one.spec").write_text(f"{address}\n")
    (files / "two.json").write_text(json.dumps({"Name": "two", "Addr": address}))
    (files / "three.json").write_text("{")
    plugins = Plugins(Paths(tmp_path, tmp_path), rootless=True)
    assert {"one", "two", "three"} <= {found.name for found in plugins.all()}
    for name in ("one", "two"):
        found = plugins.get(name)
        found.activate()
        assert found.scope() == "global"
