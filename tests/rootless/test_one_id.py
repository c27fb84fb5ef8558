"""An ordinary user with no range of ids: one id for every file, and what images say is kept."""

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipycontainer_runtime.linux.userns import RECORD
from support import graded, images, made
from support.graded import Graded
from support.registry import Registry
from support.users import OrdinaryUser

pytestmark = pytest.mark.needs("root", "docker", "busybox", "user_namespaces")

OWNED = {"srv": (1000, 100), "srv/data": (33, 33), "srv/closed": (8, 8), "srv/link": (1000, 100)}
RUN = ("run", "--rm", "--network", "none")


def owned_image() -> made.Image:
    """A busybox with files of others, and a layer that adds to their folder without naming it."""
    base = io.BytesIO()
    images.write_busybox(base)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, (uid, gid) in OWNED.items():
            entry = tarfile.TarInfo(name)
            entry.uid, entry.gid, entry.mode = uid, gid, 0o000 if name == "srv/closed" else 0o755
            entry.type = tarfile.DIRTYPE if name == "srv" else tarfile.REGTYPE
            if name == "srv/link":
                entry.type, entry.linkname = tarfile.SYMTYPE, "data"
            tar.addfile(entry)
    return made.image(base.getvalue(), out.getvalue(), made.tar({"srv/more": b"more"}))


@pytest.fixture(scope="module")
def owned(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> str:
    layout = made.write_layout(owned_image(), tmp_path_factory.mktemp("owned") / "layout")
    return registry.add(layout, "owned")


@pytest.fixture(scope="module")
def engine(ordinary_user: OrdinaryUser, owned: str) -> Iterator[Graded]:
    with graded.with_one_id(ordinary_user) as running:
        running.succeed("pull", "-q", owned)
        yield running


def owners(archive: bytes) -> dict[str, tuple[int, int]]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {entry.name: (entry.uid, entry.gid) for entry in tar}


def made_container(engine: Graded, image: str, *command: str) -> str:
    """The id of a container that has ended."""
    name = engine.succeed("create", "--network", "none", image, *command)
    engine.succeed("start", "--attach", name)
    return name


def test_a_container_has_one_id_and_its_person_is_told_once(
    ordinary_user: OrdinaryUser, owned: str
) -> None:
    with graded.with_one_id(ordinary_user) as engine:
        engine.succeed("pull", "-q", owned)
        first, second = (engine.docker(*RUN, owned, "cat", "/proc/self/uid_map") for _ in "12")
        assert first.stdout.split() == [b"0", str(ordinary_user.uid).encode(), b"1"]
        assert b"recorded as 0:0" in first.stderr
        assert b"/etc/subuid gives no ids" in first.stderr
        assert second.stderr == b""


def test_an_export_and_a_copy_have_the_images_ids(engine: Graded, owned: str) -> None:
    name = made_container(engine, owned, "true")
    exported = owners(engine.docker("export", name).stdout)
    assert OWNED.items() <= exported.items()
    assert exported["bin/busybox"] == (0, 0)
    assert owners(engine.docker("cp", f"{name}:/srv", "-").stdout)["srv/data"] == (33, 33)


def test_a_commit_keeps_the_ids_of_what_was_there_and_records_root_for_what_was_made(
    engine: Graded, owned: str
) -> None:
    change = "echo x >>/srv/data; chmod 700 /srv/closed; touch /srv/new; chown 5:5 /srv/new"
    name = made_container(engine, owned, "sh", "-c", change)
    engine.succeed("commit", name, "changed")
    again = owners(engine.docker("export", made_container(engine, "changed", "true")).stdout)
    assert OWNED.items() <= again.items()
    assert again["srv/new"] == (0, 0)


def test_an_archive_that_is_copied_in_keeps_its_ids(engine: Graded, owned: str) -> None:
    name = made_container(engine, owned, "true")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        entry = tarfile.TarInfo("given")
        entry.uid, entry.gid = 12, 34
        tar.addfile(entry)
    engine.succeed("cp", "--archive", "-", f"{name}:/srv", stdin=out.getvalue())
    assert owners(engine.docker("cp", f"{name}:/srv/given", "-").stdout) == {"given": (12, 34)}


def test_a_push_sends_the_layers_that_were_pulled(
    engine: Graded, owned: str, registry: Registry
) -> None:
    engine.succeed("tag", owned, registry.name("pushed"))
    engine.succeed("push", "-q", registry.name("pushed"))
    layers = engine.client.images.get(owned).attrs["RootFS"]["Layers"]
    engine.succeed("rmi", registry.name("pushed"))
    engine.succeed("pull", "-q", registry.name("pushed"))
    assert engine.client.images.get(registry.name("pushed")).attrs["RootFS"]["Layers"] == layers


def test_changing_owners_and_users_seems_to_work(engine: Graded, owned: str) -> None:
    script = "touch /f && chown 33:33 /f && chgrp mail /f && stat -c %u:%g /f"
    script += " && su www-data -s /bin/sh -c id"
    done = engine.docker(*RUN, owned, "sh", "-c", script)
    assert done.stdout.splitlines()[0] == b"0:0", done.stderr
    assert b"uid=0(root)" in done.stdout
    unconfined = ("--security-opt", "seccomp=unconfined")
    engine.succeed(*RUN, *unconfined, owned, "chown", "33:33", "/srv")


def test_somebody_s_own_profile_is_kept_and_what_it_allows_seems_to_work(
    engine: Graded, owned: str, tmp_path: Path
) -> None:
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}
    profile = tmp_path / "profile.json"
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
    own = ("--security-opt", f"seccomp={profile}")
    script = "chown 33:33 /srv && echo given; mkdir /made"
    done = engine.docker(*RUN, *own, owned, "sh", "-c", script)
    assert done.stdout == b"given\n"
    assert b"can't create directory '/made': No space left" in done.stderr


def test_another_user_is_refused_with_the_cure(engine: Graded, owned: str) -> None:
    done = engine.docker(*RUN, "--user", "www-data", owned, "id")
    assert done.returncode == 125
    assert b"has no ids for 33:33: run it as root with `--user 0`" in done.stderr


@pytest.mark.needs("runc")
def test_another_runtime_is_refused_by_name(engine: Graded, owned: str) -> None:
    done = engine.docker(*RUN, "--runtime", "runc", owned, "true")
    assert done.returncode == 125
    assert b"HostConfig.Runtime runc: an ordinary user's engine" in done.stderr
    assert b"leave --runtime out" in done.stderr
    assert list(engine.client.info()["Runtimes"]) == ["ipycontainer"]


def test_a_terminal_and_an_exec_work(engine: Graded, owned: str) -> None:
    name = engine.succeed("run", "-dt", "--network", "none", owned, "sleep", "1000")
    assert engine.succeed("exec", "-t", name, "id", "-u") == "0"
    assert engine.succeed("exec", name, "sh", "-c", "chown 1:1 /tmp && id -u") == "0"


def test_an_image_cannot_forge_the_record_of_ids(
    engine: Graded, registry: Registry, tmp_path: Path
) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        entry = tarfile.TarInfo("forged")
        entry.pax_headers = {"SCHILY.xattr.user.ipycontainer.owner": "7:7"}
        tar.addfile(entry)
    layout = made.write_layout(made.image(out.getvalue()), tmp_path / "layout")
    name = engine.succeed("create", registry.add(layout, "forged"))
    assert owners(engine.docker("export", name).stdout)["forged"] == (0, 0)


def test_the_next_engine_takes_over_what_runs(ordinary_user: OrdinaryUser, owned: str) -> None:
    with graded.own_folder() as folder:
        with graded.serving(ordinary_user, folder, graded.NO_RANGES, last=False) as engine:
            engine.succeed("pull", "-q", owned)
            name = engine.succeed("run", "-d", "--network", "none", owned, "sleep", "1000")
        with graded.serving(ordinary_user, folder, graded.NO_RANGES) as engine:
            assert engine.succeed("exec", name, "sh", "-c", "chown 1:1 /tmp; id -u") == "0"
            assert engine.succeed("exec", name, "cat", "/proc/1/cmdline").startswith("sleep")


def test_a_data_root_of_one_id_is_refused_by_an_engine_with_many(
    ordinary_user: OrdinaryUser,
) -> None:
    with graded.own_folder() as folder:
        with graded.serving(ordinary_user, folder, graded.NO_RANGES) as engine:
            engine.succeed("version")
        said = graded.refused(ordinary_user, folder, "true")
        assert not (folder / "run" / RECORD).exists()  # of a namespace that a process pins
    assert "have single owners, and this engine (range) would give them mapped ones" in said
    assert len(said.splitlines()) == 1


@pytest.mark.needs("dpkg-deb")
def test_dpkg_installs_a_package_that_gives_files_away(
    engine: Graded, debian_python: str, tmp_path: Path
) -> None:
    engine.succeed("pull", "-q", debian_python)
    name = engine.succeed("create", "--network", "none", debian_python, "dpkg", "-i", "/it.deb")
    engine.succeed("cp", str(package(tmp_path)), f"{name}:/it.deb")
    engine.succeed("start", "--attach", name)
    changed = engine.succeed("diff", name).splitlines()
    assert "A /srv/given" in changed
    assert "A /srv/done" in changed


CONTROL = """Package: it
Version: 1
Architecture: all
Maintainer: nobody <nobody@example.org>
Description: gives files away
"""
AFTER = """#!/bin/sh
set -e
chown www-data:www-data /srv/given
install -o games -g games -m 2755 /dev/null /srv/done
chown --no-dereference --recursive daemon /srv/folder
"""


def package(folder: Path) -> Path:
    """A package whose files, and whose script, give things to other users."""
    tree = folder / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "srv/folder").mkdir(parents=True)
    (tree / "srv/given").write_text("given")
    (tree / "DEBIAN/control").write_text(CONTROL)
    (tree / "DEBIAN/postinst").write_text(AFTER)
    (tree / "DEBIAN/postinst").chmod(0o755)
    os.chown(tree / "srv/folder", 13, 13)
    os.chown(tree / "srv/given", 33, 33)
    file = folder / "it.deb"
    subprocess.run(["dpkg-deb", "--build", tree, file], check=True, capture_output=True)
    return file


@pytest.mark.long
@pytest.mark.needs("mmdebstrap")
def test_apt_get_installs_packages_that_add_users(engine: Graded, registry: Registry) -> None:
    name = registry.add(images.debian_apt_layout(), "apt")
    engine.succeed("pull", "-q", name)
    script = "apt-get install -y --no-install-recommends /var/cache/apt/archives/*.deb && "
    script += "id messagebus && su -s /bin/sh messagebus -c 'crontab -V; dbus-daemon --version'"
    done = engine.docker(*RUN, name, "sh", "-c", script)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert b"Setting up dbus " in done.stdout
    assert b"D-Bus Message Bus Daemon" in done.stdout


def test_a_volume_keeps_the_images_ids(engine: Graded, owned: str) -> None:
    name = engine.succeed("create", "--network", "none", "-v", "vol:/srv", owned, "true")
    copied = owners(engine.docker("cp", f"{name}:/srv", "-").stdout)
    kept = {path: ids for path, ids in OWNED.items() if path != "srv/link"}
    assert {path: copied[path] for path in kept} == kept
    other = engine.succeed("create", "--network", "none", "-v", "vol:/x", owned, "cat", "/x/more")
    assert engine.succeed("start", "--attach", other) == "more"
    engine.succeed("rm", name, other)
    engine.succeed("volume", "rm", "vol")


def test_what_is_made_in_a_persons_folder_is_his(
    engine: Graded, owned: str, ordinary_user: OrdinaryUser
) -> None:
    with graded.own_folder() as folder:
        os.chown(folder, ordinary_user.uid, ordinary_user.uid)
        engine.succeed(*RUN, "-v", f"{folder}:/x", owned, "sh", "-c", "mkdir /x/d; touch /x/d/f")
        for path in (folder / "d", folder / "d/f"):
            assert path.stat().st_uid == ordinary_user.uid
