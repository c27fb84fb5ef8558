"""A container's files are kept as checkpoints, and it is given them back."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from support.calls import Make, Reply, call, ended, state
from support.engines import Engine

pytestmark = [pytest.mark.needs("docker", "busybox"), pytest.mark.ordinary_user]

STAYS = ("sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done")


def within(engine: Engine, container: str, script: str) -> str:
    """Run a script in a container and return what it prints."""
    done = engine.client.containers.get(container).exec_run(["sh", "-c", script])
    assert done.exit_code == 0, done.output
    found = done.output.decode()
    assert isinstance(found, str)
    return found


def url(container: str, name: str = "", then: str = "") -> str:
    return "/".join(
        part for part in (f"/ipycontainer/containers/{container}/checkpoints", name, then) if part
    )


def keep(engine: Engine, container: str, name: str = "") -> dict[str, Any]:
    reply = call(engine, "POST", url(container), {"Name": name})
    assert reply.status == 201, reply.body
    found = reply.body
    assert isinstance(found, dict)
    return found


def restore(engine: Engine, container: str, name: str, query: str = "") -> Reply:
    return call(engine, "POST", url(container, name, f"restore{query}"))


def told(made: dict[str, Any]) -> dict[str, str]:
    return {change["Path"]: change["Kind"] for change in made["Changes"]}


def folder_of(engine: Engine, container: str) -> Path:
    return engine.paths.root / "containers" / container


def inodes(engine: Engine, container: str) -> int:
    return len(os.listdir(folder_of(engine, container) / "checkpoints/pool"))


TREE = (
    "cd / && find work etc/added bin/vi opt -exec stat -c '%n %a %u:%g %F %s' {} + 2>/dev/null"
    " | sort"
)


def test_what_was_changed_is_told(shared_engine: Engine, run: Make) -> None:
    container = run(*STAYS)
    within(shared_engine, container, "mkdir /work; echo one > /work/a; rm /bin/vi")
    made = keep(shared_engine, container, "first")
    assert told(made) == {"/work": "added", "/work/a": "added", "/bin/vi": "deleted"}
    assert (made["Name"], made["Size"]) == ("first", 4)
    within(shared_engine, container, "echo three >> /work/a; echo b > /work/b; date > /etc/group")
    second = keep(shared_engine, container)
    kinds = {"/work/a": "changed", "/work/b": "added", "/etc/group": "changed"}
    assert told(second) == kinds
    assert (second["Name"], second["Parent"], second["Added"]) == ("checkpoint-2", "first", 1)
    within(shared_engine, container, "rm -r /work")
    assert told(keep(shared_engine, container)) == {"/work": "deleted"}
    again = call(shared_engine, "GET", url(container, "checkpoint-2")).body
    assert told(again) == kinds
    names = [found["Name"] for found in call(shared_engine, "GET", url(container)).body]
    assert names == ["first", "checkpoint-2", "checkpoint-3"]


def test_what_things_are_mounted_at_is_no_change(
    shared_engine: Engine, run: Make, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    binds = [f"{tmp_path}:/folder", f"{tmp_path}/file:/file"]
    container = run(*STAYS, HostConfig={"Binds": binds, "Tmpfs": {"/small": ""}})
    asked = {"Name": "none", "IfChanged": True}
    assert not call(shared_engine, "POST", url(container), asked).body["Kept"]
    within(shared_engine, container, "echo one > /work")
    assert told(keep(shared_engine, container, "first")) == {"/work": "added"}
    found = call(shared_engine, "GET", url(container, "first")).body
    assert (told(found), found["Added"]) == ({"/work": "added"}, 1)


def test_a_restored_container_starts_with_the_files_that_it_had(
    shared_engine: Engine, run: Make
) -> None:
    container = run(*STAYS)
    script = (
        "mkdir -p /work/deep /opt; echo one > /work/a; ln /work/a /work/same; ln -s a /work/link;"
        "mkfifo /work/pipe; echo x > /etc/added; rm /bin/vi; chmod 4711 /work/a; umask 0;"
        "truncate -s 5000000 /work/holes; rm -r /var; mkdir /var; echo v > /var/v;"
        "touch /work/deep/x"
    )
    within(shared_engine, container, script)
    before = within(shared_engine, container, f"{TREE}; ls /var")
    keep(shared_engine, container, "good")
    started = state(shared_engine, container)["StartedAt"]
    within(
        shared_engine,
        container,
        "echo bad > /work/a; rm -r /work/deep /etc/added; echo later > /work/b; echo y > /bin/vi",
    )
    assert restore(shared_engine, container, "good").status == 204
    assert within(shared_engine, container, f"{TREE}; ls /var") == before
    assert within(shared_engine, container, "cat /work/a /work/same /work/link") == "one\n" * 3
    now = state(shared_engine, container)
    assert now["Running"]
    assert now["StartedAt"] != started


def test_changes_after_a_restore_are_changes_of_the_image(shared_engine: Engine, run: Make) -> None:
    container = run(*STAYS)
    within(shared_engine, container, "mkdir /work; echo a > /work/a; echo b > /work/b; rm /bin/vi")
    keep(shared_engine, container, "good")
    restore(shared_engine, container, "good")
    within(shared_engine, container, "rm /work/a; echo c > /work/c; echo vi > /bin/vi; rm -r /var")
    found = call(shared_engine, "GET", f"/containers/{container}/changes").body
    kinds = {change["Path"]: change["Kind"] for change in found}
    wanted = {"/work": 1, "/work/b": 1, "/work/c": 1, "/bin": 0, "/bin/vi": 0, "/var": 2}
    assert {path: kinds.get(path) for path in wanted} == wanted
    assert "/work/a" not in kinds
    # So a commit has them all, and a copy too.
    image = shared_engine.client.containers.get(container).commit("restored", "1", pause=False)
    command = ["sh", "-c", "ls /work; cat /bin/vi; test ! -e /var"]
    assert shared_engine.client.containers.run(image, command, remove=True) == b"b\nc\nvi\n"
    shared_engine.client.images.remove("restored:1")
    chunks, _ = shared_engine.client.containers.get(container).get_archive("/work")
    names = b"".join(chunks)
    assert b"work/b" in names
    assert b"work/a" not in names


def test_checkpoints_after_a_restore_hold_what_both_have(shared_engine: Engine, run: Make) -> None:
    container = run(*STAYS)
    within(shared_engine, container, "mkdir -p /work/d; echo a > /work/a; echo x > /work/d/x")
    keep(shared_engine, container, "one")
    restore(shared_engine, container, "one")
    within(shared_engine, container, "echo b > /work/b; rm -r /work/d; mkdir /work/d; rm -r /var")
    before = within(shared_engine, container, f"{TREE}; ls -a /work/d")
    made = keep(shared_engine, container, "two")
    assert told(made) == {"/work/b": "added", "/work/d/x": "deleted", "/var": "deleted"}
    restore(shared_engine, container, "one")
    assert within(shared_engine, container, "ls /work/d /var; ls /work/b || true").startswith("/")
    restore(shared_engine, container, "two")
    assert within(shared_engine, container, f"{TREE}; ls -a /work/d") == before
    within(shared_engine, container, "mkdir /var; touch /var/new")
    restore(shared_engine, container, "two", "?start=0")
    assert not state(shared_engine, container)["Running"]


def test_what_did_not_change_is_not_copied(shared_engine: Engine, run: Make) -> None:
    container = run(*STAYS)
    within(shared_engine, container, "mkdir /work; for i in $(seq 50); do echo $i > /work/$i; done")
    within(shared_engine, container, "sleep 0.1")
    keep(shared_engine, container)
    before = inodes(shared_engine, container)
    within(shared_engine, container, "echo new > /work/7")
    assert keep(shared_engine, container)["Size"] == 4
    assert inodes(shared_engine, container) == before + 1


def test_a_checkpoint_that_is_removed_takes_its_files_along(
    shared_engine: Engine, run: Make
) -> None:
    container = run(*STAYS)
    for name in ("one", "two", "three"):
        within(shared_engine, container, f"echo {name} > /file; sleep 0.05")
        keep(shared_engine, container, name)
    before = inodes(shared_engine, container)
    assert call(shared_engine, "DELETE", url(container, "two")).status == 204
    assert inodes(shared_engine, container) == before - 1
    assert call(shared_engine, "DELETE", url(container, "two")).status == 404
    for name in ("one", "three"):
        restore(shared_engine, container, name)
        assert within(shared_engine, container, "cat /file") == f"{name}\n"
    call(shared_engine, "DELETE", url(container, "three"))
    assert within(shared_engine, container, "cat /file") == "three\n"


def test_the_next_engine_knows_them(shared_engine: Engine, run: Make) -> None:
    container = run(*STAYS)
    within(shared_engine, container, "echo one > /file; sleep 0.05")
    keep(shared_engine, container, "one")
    within(shared_engine, container, "echo two > /file; echo 2 > /second")
    keep(shared_engine, container, "two")
    restore(shared_engine, container, "one")
    within(shared_engine, container, "echo third > /third; sleep 0.05")
    keep(shared_engine, container, "three")
    half = folder_of(shared_engine, container) / "checkpoints/pool/9999"
    half.write_text("of a checkpoint that was cut off")
    shared_engine.kill()
    shared_engine.start()
    listed = call(shared_engine, "GET", url(container)).body
    assert [found["Name"] for found in listed] == ["one", "two", "three"]
    assert [found["Current"] for found in listed] == [False, False, True]
    assert not half.exists()
    before = inodes(shared_engine, container)
    assert keep(shared_engine, container)["Changes"] == []
    assert inodes(shared_engine, container) == before
    restore(shared_engine, container, "two")
    assert within(shared_engine, container, "cat /file /second; ls /third || true").startswith(
        "two\n2"
    )


def test_names_that_are_taken_or_none_are_refused(shared_engine: Engine, run: Make) -> None:
    container = run(*STAYS)
    keep(shared_engine, container, "one")
    taken = call(shared_engine, "POST", url(container), {"Name": "one"})
    assert taken.status == 409
    assert "already exists" in taken.message
    for name in ("../x", "a/b", "-x", "x" * 200, "a\nb"):
        assert call(shared_engine, "POST", url(container), {"Name": name}).status == 400
    assert restore(shared_engine, container, "none").status == 404
    assert state(shared_engine, container)["Running"]
    assert call(shared_engine, "GET", url("nobody")).status == 404


def test_a_container_that_removes_itself_outlives_a_restore(
    shared_engine: Engine, run: Make
) -> None:
    container = run(*STAYS, HostConfig={"AutoRemove": True})
    within(shared_engine, container, "echo one > /file")
    keep(shared_engine, container, "one")
    within(shared_engine, container, "echo two > /file")
    assert restore(shared_engine, container, "one").status == 204
    assert within(shared_engine, container, "cat /file") == "one\n"


def test_a_stopped_container_is_kept_and_restored_stopped(shared_engine: Engine, run: Make) -> None:
    container = run("sh", "-c", "cat /file; echo x >> /file")
    ended(shared_engine, container)
    keep(shared_engine, container, "once")
    call(shared_engine, "POST", f"/containers/{container}/start")
    ended(shared_engine, container)
    assert restore(shared_engine, container, "once").status == 204
    assert not state(shared_engine, container)["Running"]
    assert restore(shared_engine, container, "once", "?start=1").status == 204
    ended(shared_engine, container)
    assert told(keep(shared_engine, container)) == {"/file": "changed"}


def test_nothing_is_left_of_a_container_that_is_removed(shared_engine: Engine, run: Make) -> None:
    container = run(*STAYS)
    keep(shared_engine, container, "one")
    restore(shared_engine, container, "one")
    call(shared_engine, "DELETE", f"/containers/{container}?force=1")
    assert not folder_of(shared_engine, container).exists()


def test_clients_find_out_by_asking(shared_engine: Engine) -> None:
    assert "checkpoints" in json.dumps(call(shared_engine, "GET", "/ipycontainer").body)


def test_nothing_is_kept_where_nothing_changed_if_so_asked(
    shared_engine: Engine, run: Make
) -> None:
    container = run(*STAYS)
    within(shared_engine, container, "echo one > /file")
    keep(shared_engine, container, "one")
    before = inodes(shared_engine, container)
    asked = {"Name": "two", "IfChanged": True}
    assert not call(shared_engine, "POST", url(container), asked).body["Kept"]
    assert inodes(shared_engine, container) == before
    within(shared_engine, container, "echo two > /file")
    assert call(shared_engine, "POST", url(container), asked).body["Kept"]


def test_the_verbs_keep_list_show_and_restore(shared_engine: Engine, run: Make) -> None:
    container = run(*STAYS)
    within(shared_engine, container, "echo one > /file")

    def verb(*words: str) -> str:
        code = "import sys; from ipycontainer.cli import main; sys.exit(main())"
        done = shared_engine.run_python(code, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert verb("checkpoint", container, "one").splitlines() == [
        "one: 1 added (4B kept)",
        "A /file  4B",
    ]
    within(shared_engine, container, "rm /file")
    assert "1 deleted" in verb("checkpoint", "create", container)
    listed = verb("checkpoint", "ls", container).splitlines()
    assert [line.split()[0] for line in listed] == ["CHECKPOINT", "one", "checkpoint-2"]
    assert "D /file" in verb("checkpoint", "show", container, "checkpoint-2")
    verb("restore", container, "one")
    assert within(shared_engine, container, "cat /file") == "one\n"
    verb("checkpoint", "rm", container, "one", "checkpoint-2")
    assert verb("checkpoint", "ls", "-q", container).split() == []
