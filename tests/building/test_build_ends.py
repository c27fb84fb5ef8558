"""How builds end: given up by the client, cut by the engine's death, failed; nothing is left."""

import json
import os
import signal
import threading
import time

from support import leftovers, made
from support.builds import begun, build, image_of, left, packed, text
from support.calls import Connection, call
from support.engines import Engine
from support.scripted import Answer, scripted_registry


def running(engine: Engine, busybox: str) -> "tuple[object, int]":
    """Begin a build whose step sleeps, and return its connection and the step's process."""
    engine.succeed("pull", "-q", busybox)
    files = {"Dockerfile": f"FROM {busybox}\nRUN echo up && exec sleep 1000\n"}
    connection, messages = begun(engine, files)
    for message in messages:
        if message.get("stream") == "up\n":
            break
    (pid,) = [
        pid
        for pid in leftovers.processes(engine.home)
        if b"sleep\0001000" in leftovers.read(pid, "cmdline")
    ]
    return connection, pid


def test_a_client_that_goes_away_ends_its_build_and_leaves_nothing(
    engine: Engine, busybox: str
) -> None:
    connection, pid = running(engine, busybox)
    connection.close()
    assert leftovers.outlived([pid]) == []
    # A later build waits for nothing of it.
    image_of(build(engine, {"Dockerfile": f"FROM {busybox}\nRUN true\n"}))
    assert left(engine) == []
    assert list((engine.paths.root / "layers").glob(".staging*")) == []


def test_a_client_that_goes_away_ends_the_pull_of_its_base(engine: Engine) -> None:
    wanted, hold = made.image(made.tar({"f": b"1"})), threading.Event()
    (layer,) = wanted.layer_digests
    with scripted_registry() as registry:
        base = registry.serve(wanted, "x")
        registry.on(f"/v2/x/blobs/{layer}", Answer(wanted.blobs[layer], hold=hold))
        connection = Connection(engine)
        sent = packed({"Dockerfile": f"FROM {base}\n"})
        connection.request("POST", "/build", sent, {"Content-Type": "application/x-tar"})
        try:
            while not registry.asked(f"blobs/{layer}"):
                time.sleep(0.01)
            connection.close()
            while left(engine):
                time.sleep(0.01)
        finally:
            hold.set()
        time.sleep(1)  # for a pull that was not ended
        assert engine.client.images.list() == []


def test_a_client_that_reads_nothing_holds_up_its_build_and_fills_no_memory(
    engine: Engine, busybox: str
) -> None:
    engine.succeed("pull", "-q", busybox)
    size = 100_000_000
    step = f"RUN yes {'a' * 999} | head -c {size}"
    connection, messages = begun(engine, {"Dockerfile": f"FROM {busybox}\n{step}\n"})
    before = leftovers.memory(engine.pid)
    time.sleep(2)
    assert leftovers.memory(engine.pid) - before < 30 << 20
    # Nothing of it is lost to one who is only slow.
    assert sum(message.get("stream", "").count("a") for message in messages) > size * 0.99
    connection.close()


def test_what_a_later_stage_says_in_plenty_is_bounded_on_disk_and_in_memory(
    engine: Engine, busybox: str
) -> None:
    engine.succeed("pull", "-q", busybox)
    size, shared = 200_000_000, "RUN --mount=type=cache,target=/c"
    lines = (
        f"FROM {busybox} AS one\n{shared} until [ -e /c/over ]; do sleep 0.1; done\n"
        f"FROM {busybox} AS two\n"
        f"{shared} yes {'a' * 999} | head -c {size}; echo the end; touch /c/over\n"
        "FROM scratch\nCOPY --from=one /etc/passwd /\nCOPY --from=two /etc/passwd /\n"
    )
    connection, messages = begun(engine, {"Dockerfile": lines})
    before = leftovers.memory(engine.pid)
    told = text(list(messages))
    connection.close()
    assert leftovers.memory(engine.pid, most=True) - before < 60 << 20
    # What BuildKit does with a step that says too much: it says so, and keeps its beginning.
    assert "characters of this step's output are left out: 64 MiB are kept" in told
    assert told.count("a") > 60_000_000
    assert "a\nthe end\n" in told
    assert "Successfully built" in told.partition("the end\n")[2]


def test_the_next_engine_ends_the_steps_of_one_that_was_killed(
    engine: Engine, busybox: str
) -> None:
    connection, pid = running(engine, busybox)
    engine.kill()
    connection.close()
    os.kill(pid, 0)  # shims outlive their engine
    engine.start()
    assert leftovers.outlived([pid]) == []
    assert left(engine) == []
    image_of(build(engine, {"Dockerfile": f"FROM {busybox}\nRUN true\n"}))


def test_what_was_built_before_an_engine_was_killed_is_in_the_cache_of_the_next(
    engine: Engine, busybox: str
) -> None:
    engine.succeed("pull", "-q", busybox)
    files = {"Dockerfile": f"FROM {busybox}\nRUN echo one > /one\nCOPY a /a\n", "a": "a"}
    before = image_of(build(engine, files))
    engine.kill()
    engine.start()
    again = build(engine, files)
    assert image_of(again) == before
    assert text(again).count("Using cache") == 2


def test_a_step_that_an_outsider_kills_fails_the_build(engine: Engine, busybox: str) -> None:
    engine.succeed("pull", "-q", busybox)
    files = {"Dockerfile": f"FROM {busybox}\nRUN echo up && exec sleep 1000\n"}
    _, messages = begun(engine, files)
    told = []
    for message in messages:
        told.append(message)
        if message.get("stream") == "up\n":
            for pid in leftovers.processes(engine.home):
                if b"sleep\0001000" in leftovers.read(pid, "cmdline"):
                    os.kill(pid, signal.SIGKILL)
    assert told[-1]["errorDetail"]["code"] == 137


def test_pruning_gives_back_what_failed_builds_kept(engine: Engine, busybox: str) -> None:
    engine.succeed("pull", "-q", busybox)
    lines = (
        f"FROM {busybox}\nRUN head -c 300000 /dev/urandom > /big\n"
        "RUN --mount=type=cache,target=/c exit 3\n"
    )
    told = build(engine, {"Dockerfile": lines})
    assert told[-1]["errorDetail"]["code"] == 3
    engine.succeed("image", "prune", "-f")
    usage = call(engine, "GET", "/system/df").body["BuildCache"]
    assert max(entry["Size"] for entry in usage) > 300_000
    pruned = json.loads(json.dumps(call(engine, "POST", "/build/prune").body))
    assert pruned["SpaceReclaimed"] > 600_000
    engine.succeed("rmi", busybox)
    assert list((engine.paths.root / "layers").glob("[0-9a-f]*")) == []
    assert list((engine.paths.root / "images/blobs/sha256").iterdir()) == []
