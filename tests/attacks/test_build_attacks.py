"""What a hostile context, Dockerfile, base image or repository tries while it is built.

Each comment names the line without which its test fails.
"""

import base64
import hashlib
import http.server
import io
import json
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import pytest

from ipycontainer_runtime.build.instructions import Add
from ipycontainer_runtime.build.source import Span
from ipycontainer_runtime.engine.building import remote
from ipycontainer_runtime.errors import Unavailable
from support.builds import Message, begun, build, image_of, packed, send, text
from support.copies import archive, folder, hard_link, member, symlink
from support.engines import Engine, running_engine
from support.repositories import git, serving

pytestmark = pytest.mark.ordinary_user

SECRET = "told-to-nobody-8150"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of the host; nothing may be read from it nor happen to it."""
    tmp_path.chmod(0o755)
    victim = tmp_path / "outside"
    (victim / "by/mount").mkdir(parents=True)
    (victim / "file").write_text(SECRET)
    (victim / "empty").touch()
    return victim


def untouched(outside: Path) -> bool:
    found = sorted(str(path.relative_to(outside)) for path in outside.rglob("*"))
    file = outside / "file"
    return (
        found == ["by", "by/mount", "empty", "file"]
        and file.read_text() == SECRET
        and file.stat().st_nlink == 1
    )


@pytest.fixture
def shown(shared_engine: Engine, busybox: str) -> Callable[[str, str], str]:
    """A function that returns what a command says in a container of an image."""

    def run(image: str, script: str) -> str:
        plain = ("run", "--rm", "--network", "none", image, "sh", "-c", script)
        return shared_engine.succeed(*plain)

    return run


def error(told: list[Message]) -> str:
    """Return why a build failed, which it must have."""
    last = told[-1]
    assert "error" in last or "message" in last, told[-3:]
    return str(last.get("error") or last["message"])


# -- the context


@pytest.mark.parametrize(
    "entries",
    [
        [member("../evil")],
        [member("d/../../evil")],
        [hard_link("evil", "../../../../../../..{}/file")],
        [symlink("l", "{}"), hard_link("evil", "l/file")],
        [symlink("l", "{}"), member("l/evil")],
        [folder("l"), symlink("l", "{}"), member("l/evil")],
    ],
    ids=["above", "above from below", "hard link", "hard link through", "through", "swapped"],
)
def test_a_context_that_climbs_is_refused(
    shared_engine: Engine, busybox: str, outside: Path, entries: list[Any]
) -> None:
    # untar.clean: `if b".." in parts`; beneath: RESOLVE_IN_ROOT
    for info, _ in entries:
        info.linkname = info.linkname.format(outside)
    lines = f"FROM {busybox}\nRUN echo built\n".encode()
    said = error(send(shared_engine, archive(member("Dockerfile", lines), *entries)))
    assert "no archive to unpack" in said
    assert untouched(outside)
    assert not (outside.parent / "evil").exists()


def test_a_context_of_absolute_names_stays_in_its_folder(
    shared_engine: Engine, busybox: str, outside: Path, shown: Callable[..., str]
) -> None:
    # untar.clean
    lines = f"FROM {busybox}\nCOPY {outside}/evil /\n".encode()
    entries = (member("/Dockerfile", lines), member(f"{outside}/evil", b"inside"))
    image = image_of(send(shared_engine, archive(*entries)))
    assert shown(image, "cat /evil") == "inside"
    assert untouched(outside)


@pytest.mark.parametrize("name", ["../file", "../../../../..{}/file", "{}/file", "l/file", "l2"])
def test_a_dockerfile_is_found_in_the_context_alone(
    shared_engine: Engine, outside: Path, name: str
) -> None:
    # launch.syscalls.openat2: RESOLVE_IN_ROOT
    sent = archive(symlink("l", str(outside)), symlink("l2", f"{outside}/file"))
    said = error(send(shared_engine, sent, f"dockerfile={quote(name.format(outside))}"))
    assert "Cannot locate specified Dockerfile" in said


def test_what_dockerignore_names_is_taken_out_of_the_context_alone(
    shared_engine: Engine, outside: Path
) -> None:
    # context._unlink: openat2
    inside = str(outside)[1:]
    sent = archive(
        symlink("l", str(outside)),
        member(f"{inside}/file", b"FROM scratch\nCOPY . /\n"),
        member(".dockerignore", f"l/file\n!../{outside.name}\n".encode()),
    )
    image_of(send(shared_engine, sent, "dockerfile=l/file"))
    assert untouched(outside)


@pytest.mark.parametrize("kind", [b"6", b"3"], ids=["pipe", "device"])
def test_a_dockerfile_that_is_no_file_is_not_read(shared_engine: Engine, kind: bytes) -> None:
    # context._read: S_ISREG
    special = member("Dockerfile", type=kind, devmajor=1, devminor=5, mode=0o666)  # as /dev/zero
    assert "Cannot locate specified" in error(send(shared_engine, archive(special)))


def test_a_pipe_that_add_might_unpack_does_not_block(
    shared_engine: Engine, busybox: str, shown: Callable[..., str]
) -> None:
    # transfer._local: S_ISREG
    lines = f"FROM {busybox}\nADD pipe /\n".encode()
    sent = archive(member("Dockerfile", lines), member("pipe", type=b"6"))
    assert shown(image_of(send(shared_engine, sent)), "test -p /pipe && echo pipe") == "pipe"


@pytest.mark.parametrize(
    "word", ["l/file", "l", "l*/file", "../outside/file", "../../../../..{}/file", "{}/file"]
)
@pytest.mark.parametrize("keyword", ["COPY", "ADD"])
def test_nothing_of_the_host_is_copied(
    shared_engine: Engine, busybox: str, outside: Path, keyword: str, word: str
) -> None:
    # sources._look: openat2
    lines = f"FROM {busybox}\n{keyword} {word.format(outside)} /got/\n".encode()
    entries = (symlink("l", str(outside)), symlink("l2", f"../../../../../../..{outside}"))
    said = error(send(shared_engine, archive(member("Dockerfile", lines), *entries)))
    assert "not found" in said or "no source files" in said


def test_a_stage_that_holds_links_gives_nothing_of_the_host(
    shared_engine: Engine, busybox: str, outside: Path
) -> None:
    # sources._look: openat2; binds.bound: the same
    stage = f"FROM {busybox} AS one\nRUN ln -s {outside} /l && ln -s / /root-of-all\n"
    for step in (
        "COPY --from=one /l/file /got",
        f"COPY --from=one /root-of-all{outside}/file /got",
        "RUN --mount=type=bind,from=one,source=/l,target=/m cat /m/file",
        f"RUN --mount=from=one,source=/root-of-all{outside},target=/m cat /m/file",
        "RUN --mount=type=cache,from=one,source=/l,target=/m cat /m/file",
    ):
        told = build(shared_engine, {"Dockerfile": f"{stage}FROM {busybox}\n{step}\n"})
        assert "not found" in error(told), step
        assert SECRET not in json.dumps(told)


# -- what the image holds, and what a step leaves


def test_nothing_is_written_through_the_links_of_an_image(
    shared_engine: Engine, busybox: str, outside: Path
) -> None:
    # placing.Target and untar: RESOLVE_IN_ROOT
    climb = "../" * 40 + str(outside)[1:]
    lines = (
        f"FROM {busybox}\nRUN ln -s {outside} /l && ln -s {climb} /up && ln -s {outside}/file /f "
        f"&& mkdir -p {outside}\n"
        "COPY evil /l/\nCOPY evil /up/other\nADD packed.tar /l/\nCOPY evil /f\nWORKDIR /l/made\n"
        "COPY --link evil /l/\nRUN touch here\n"
    )
    inner = archive(symlink("x", str(outside)), member("x/evil", b"evil"))
    told = build(shared_engine, {"Dockerfile": lines, "evil": "evil", "packed.tar": inner})
    assert image_of(told) or error(told)
    assert untouched(outside)


def test_a_mount_point_that_became_a_link_is_left_alone(
    shared_engine: Engine, busybox: str, outside: Path
) -> None:
    # mountpoints._removed: openat2 (CVE-2024-23652)
    step = f"mv /made /gone && ln -s {outside} /made"
    lines = f"FROM {busybox}\nRUN --mount=type=tmpfs,target=/made/by/mount {step}\n"
    image_of(build(shared_engine, {"Dockerfile": lines}))
    step = f"mv /made /gone && ln -s {outside} /made"
    lines = f"FROM {busybox}\nRUN --mount=source=Dockerfile,target=/made/empty {step}\n"
    image_of(build(shared_engine, {"Dockerfile": lines}))
    assert untouched(outside)


@pytest.mark.parametrize(
    "mount",
    [
        "type=bind,source=l,target=/m",
        "type=bind,source=../../outside,target=/m",
        "type=bind,source={},target=/m",
        "type=bind,source=l,target=/m,rw",
    ],
)
def test_a_mounts_source_is_in_the_context(
    shared_engine: Engine, busybox: str, outside: Path, mount: str
) -> None:
    # binds.bound: sources.select (CVE-2024-1753, CVE-2024-9675)
    step = f"RUN --mount={mount.format(outside)} cat /m/file; echo evil > /m/evil"
    lines = f"FROM {busybox}\n{step}\n".encode()
    sent = archive(member("Dockerfile", lines), symlink("l", str(outside)))
    assert "not found" in error(send(shared_engine, sent))
    assert untouched(outside)


@pytest.mark.parametrize(
    "target", ["/l/evil", "/up/evil", "../../../..{}/evil", "/l", "/l/by/../x"]
)
def test_a_mounts_target_is_in_the_steps_root(
    shared_engine: Engine, busybox: str, outside: Path, target: str
) -> None:
    # launch.root.Root.open: openat2
    climb, target = "../" * 40 + str(outside)[1:], target.format(outside)
    lines = (
        f"FROM {busybox}\nRUN ln -s {outside} /l && ln -s {climb} /up && mkdir -p {outside}/by\n"
        f"RUN --mount=type=tmpfs,target={target} touch {target}/mounted && "
        f"grep -q ' {outside}.* tmpfs ' /proc/self/mounts\n"
    )
    image_of(build(shared_engine, {"Dockerfile": lines}))
    assert untouched(outside)


def test_what_is_written_to_a_bind_is_not_there_afterwards(
    shared_engine: Engine, busybox: str
) -> None:
    # binds._overlay: `upper`
    lines = (
        f"FROM {busybox} AS one\nRUN mkdir /d && echo kept > /d/f\n"
        f"FROM {busybox}\n"
        "RUN --mount=from=one,source=/d,target=/m,rw echo evil > /m/f && echo evil > /m/new\n"
        "RUN --mount=target=/m,rw echo evil > /m/f && rm /m/Dockerfile\n"
        "RUN --mount=source=f,target=/m,rw echo evil > /m\n"
        "COPY --from=one /d /stage\n"
        "COPY . /context\n"
        "RUN cat /stage/f /context/f && ls /stage /context/Dockerfile\n"
    )
    told = text(build(shared_engine, {"Dockerfile": lines, "f": "kept\n"}))
    assert "evil" not in told.partition("RUN cat /stage/f")[2]
    assert "kept\nkept\n" in told
    assert "\nnew\n" not in told


# -- the cache


def test_a_pulled_image_that_claims_a_step_is_not_believed(engine: Engine, busybox: str) -> None:
    # cache.Cache: records of this builder's own steps alone (CVE-2024-24557)
    engine.succeed("pull", "-q", busybox)
    step = "echo honest > /said"
    (container,) = engine.succeed("create", busybox, "sh", "-c", "echo evil > /said").split()
    engine.succeed("start", "-a", container)
    told = json.dumps(["/bin/sh", "-c", step])
    engine.succeed("commit", "--change", f"CMD {told}", container, "evil")
    saved = engine.docker("save", "evil").stdout
    engine.succeed("rm", container)
    engine.succeed("rmi", "evil")
    engine.succeed("load", stdin=_claiming(saved, f"/bin/sh -c {step}"))
    lines = f"FROM {busybox}\nRUN {step}\nRUN cat /said\n"
    said = text(build(engine, {"Dockerfile": lines}))
    assert "honest\n" in said
    assert "Using cache" not in said


def _claiming(saved: bytes, words: str) -> bytes:
    """Return what `docker save` wrote with another last step in the image's history."""
    with tarfile.open(fileobj=io.BytesIO(saved)) as tar:
        files = {i.name: tar.extractfile(i).read() for i in tar if i.isreg()}  # type: ignore[union-attr] # regular files have contents
    manifest = json.loads(files["manifest.json"])
    config = json.loads(files.pop(manifest[0]["Config"]))
    config["history"][-1]["created_by"] = words
    config["container_config"] = {"Cmd": ["/bin/sh", "-c", words.removeprefix("/bin/sh -c ")]}
    content = json.dumps(config).encode()
    name = hashlib.sha256(content).hexdigest() + ".json"
    manifest[0]["Config"] = name
    kept = {k: v for k, v in files.items() if k.endswith("layer.tar") or "sha256" in k}
    return packed({**kept, name: content, "manifest.json": json.dumps(manifest)})


# -- the network


class _Redirecting(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(302)
        self.send_header("Location", "http://169.254.169.254/latest/meta-data/")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def redirecting() -> Iterator[str]:
    """The address of a server that sends everybody to the cloud's metadata service."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Redirecting) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/file"
        server.shutdown()
        thread.join()


def test_nothing_is_fetched_from_the_machines_link(
    shared_engine: Engine, busybox: str, redirecting: str
) -> None:
    # bounds.refuse_link
    for url in ("http://169.254.169.254/", "http://[fe80::1]/x", redirecting):
        told = build(shared_engine, {"Dockerfile": f"FROM {busybox}\nADD {url} /got\n"})
        assert "an address of this machine's link" in error(told)
        told = send(shared_engine, b"", f"remote={quote(url)}")
        assert "an address of this machine's link" in error(told)


@pytest.mark.parametrize(
    "word",
    [
        "file:///etc/passwd",
        "ext::sh -c touch% {}/evil",
        "git://127.0.0.1:1/x.git#--upload-pack=touch%20{}/evil",
        "--upload-pack=touch {}/evil",
        "git@-oProxyCommand=touch$IFS{}/evil:x.git",
        "ssh://-oProxyCommand=touch%20{}/evil/x.git",
        "file://{}/repository.git",
    ],
)
def test_an_address_is_no_option_and_no_program(
    shared_engine: Engine, busybox: str, outside: Path, word: str
) -> None:
    # git.clone: startswith("-"); git._ADDRESS
    address = word.format(outside)
    error(send(shared_engine, b"", f"remote={quote(address)}"))
    files = {"Dockerfile": f"FROM {busybox}\nADD {json.dumps([address, '/got'])}\n"}
    error(build(shared_engine, files))
    assert untouched(outside)


@pytest.mark.skipif(not shutil.which("git"), reason="no git: apt install git")
def test_a_repository_names_none_of_this_machine(
    shared_engine: Engine, busybox: str, outside: Path, tmp_path: Path
) -> None:
    # git._QUIET: GIT_ALLOW_PROTOCOL
    own, served = tmp_path / "own", tmp_path / "served"
    served.mkdir()
    for place in (own, served / "evil"):
        git(place.parent, "init", "-q", str(place))
        (place / "file").write_text(SECRET if place == own else "plain")
        git(place, "add", ".")
        git(place, "commit", "-q", "-m", "all")
    evil = served / "evil"
    git(evil, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(own), "sub")
    git(evil, "commit", "-q", "-m", "sub")
    git(served, "clone", "-q", "--bare", str(evil), "x.git")
    with serving(served) as url:
        lines = f"FROM {busybox}\nADD {url}/x.git /got/\n"
        told = build(shared_engine, {"Dockerfile": lines})
    assert "Failed to clone" in error(told)


class _Asking(http.server.BaseHTTPRequestHandler):
    asked: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        self.asked.append(self.headers["Authorization"])
        elsewhere = f"http://localhost:{self.server.server_port}/last"  # type: ignore[attr-defined] # every HTTPServer has one
        self.send_response(200 if self.path == "/last" else 302)
        self.send_header("Location", elsewhere)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


def test_an_add_is_fetched_without_the_persons_netrc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # download._own_login and _Session.rebuild_auth
    netrc = tmp_path / "netrc"
    netrc.write_text(f"default login me password {SECRET}\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Asking) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        place = f"127.0.0.1:{server.server_port}/first"
        remote.download(f"http://{place}", tmp_path)
        remote.download(f"http://user:word@{place}", tmp_path)
        server.shutdown()
        thread.join()
    written = f"Basic {base64.b64encode(b'user:word').decode()}"
    assert _Asking.asked == [None, None, written, None]


@pytest.mark.skipif(not shutil.which("git"), reason="no git: apt install git")
@pytest.mark.parametrize("agent", ["", "/given/agent"])
def test_an_add_has_no_keys_that_the_build_was_not_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agent: str
) -> None:
    # git.lent
    ssh = tmp_path / "ssh"
    ssh.write_text(f'#!/bin/sh\necho "[$SSH_AUTH_SOCK] $HOME $*" >> {tmp_path}/asked\nexit 1\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/own/agent")
    word = "git@localhost:x.git"
    add = Add(span=Span(1, 1), source="", sources=(word,), destination="/")
    with pytest.raises(Unavailable):
        remote.fetch(add, word, tmp_path, [], agent)
    (asked,) = set((tmp_path / "asked").read_text().splitlines())
    assert asked.startswith(f"[{agent}] /nonexistent ")
    assert "-F none -o IdentityFile=none" in asked
    assert ("IdentityAgent=none" in asked) is not bool(agent)


# -- secrets


def test_a_proxys_password_is_in_no_image_no_history_and_no_key(
    engine: Engine, busybox: str
) -> None:
    # running.run: `told` without the proxies; caching.key: the same
    engine.succeed("pull", "-q", busybox)
    files = {"Dockerfile": f"FROM {busybox}\nARG a=1\nRUN test -n $HTTP_PROXY\n"}
    proxies = [json.dumps({"HTTP_PROXY": f"http://me:{word}@proxy"}) for word in (SECRET, "other")]
    first, second = (build(engine, files, f"buildargs={quote(proxy)}") for proxy in proxies)
    assert image_of(first) == image_of(second)
    assert found_in(engine) == ""


def found_in(engine: Engine) -> str:
    """Return the names of an engine's files that have the secret."""
    return subprocess.run(
        ["grep", "-rlF", SECRET, str(engine.paths.root), str(engine.paths.run)],
        capture_output=True,
        text=True,
        check=False,
    ).stdout


def test_a_secret_does_not_outlive_an_engine_that_is_killed(busybox: str) -> None:
    # runmounts._secret; builds.Builds: what a build left is swept
    given = base64.b64encode(
        json.dumps({"secrets": {"s": base64.b64encode(SECRET.encode()).decode()}}).encode()
    ).decode()
    with running_engine() as engine:
        engine.succeed("pull", "-q", busybox)
        step = "RUN --mount=type=secret,id=s cat /run/secrets/s >/dev/null; echo on; sleep 1000"
        files = {"Dockerfile": f"FROM {busybox}\n{step}\n"}
        connection, told = begun(engine, files, headers={"X-Ipycontainer-Build": given})
        for message in told:
            if message.get("stream") == "on\n":
                break
        engine.kill()
        connection.close()
        engine.start()
        assert found_in(engine) == ""


def test_an_archive_that_claims_exabytes_is_refused(shared_engine: Engine) -> None:
    # Limits.file
    huge = member("Dockerfile", size=1 << 62)[0].tobuf()
    assert "no archive to unpack" in error(send(shared_engine, huge))
