"""`login` and `logout` at a real registry, with a password that stays out of everything."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cells import IMAGE, Box, Message, Shell, errors, running_kernel, streamed

from support.registry import PASSWORD, USER, Registry, running_registry

Command = Callable[..., subprocess.CompletedProcess[bytes]]
SENT = f"{PASSWORD}\n".encode()


@pytest.fixture(scope="module")
def guarded() -> Iterator[Registry]:
    """Debian's registry, which wants a login."""
    with running_registry(login=True) as running:
        yield running


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Docker's config.json, of the test's own."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    return tmp_path / "docker" / "config.json"


def test_a_login_is_kept_used_and_forgotten(
    box: Box, guarded: Registry, config: Path, command: Command
) -> None:
    name = guarded.name("kept", box.name)
    box.client.images.get(IMAGE).tag(name)
    assert "no basic auth credentials" in box.client.images.push(name)

    done = command("login", "-u", USER, "--password-stdin", guarded.address, stdin=SENT)
    assert done.stdout == b"Login Succeeded\n", done.stderr
    assert str(config) in done.stderr.decode()
    assert config.stat().st_mode & 0o777 == 0o600
    assert list(json.loads(config.read_text())["auths"]) == [guarded.address]

    assert command("push", "-q", name).stdout.decode() == f"{name}\n"
    box.client.images.remove(name)
    built = command("build", "-q", "-", stdin=f"FROM {name}\nLABEL a=b\n".encode())
    assert built.returncode == 0, built.stderr
    again = command("login", guarded.address)
    assert again.stdout == b"Login Succeeded\n", again.stderr
    assert b"existing credentials" in again.stderr

    told = command("logout", guarded.address).stdout.decode()
    assert told == f"Removing login credentials for {guarded.address}\n"
    assert json.loads(config.read_text()) == {"auths": {}}
    box.client.images.remove(name)


def test_a_wrong_password_names_the_registry_and_is_not_kept(
    box: Box, guarded: Registry, config: Path, command: Command
) -> None:
    done = command("login", "-u", USER, "--password-stdin", guarded.address, stdin=b"wr0ng\n")
    assert done.returncode == 1
    assert guarded.address in done.stderr.decode()
    assert "401" in done.stderr.decode()
    assert b"wr0ng" not in done.stdout + done.stderr
    assert not config.exists()


def test_a_login_that_is_refused_names_registry_and_file(
    box: Box, guarded: Registry, config: Path, command: Command
) -> None:
    config.parent.mkdir()
    outdated = {"auths": {guarded.address: {"auth": "bWU6b3V0ZGF0ZWQ="}}}
    config.write_text(json.dumps(outdated))
    name = guarded.name("refused", box.name)
    box.client.images.get(IMAGE).tag(name)
    for verb in ("push", "pull"):
        done = command(verb, name)
        assert done.returncode == 1
        assert guarded.address in done.stderr.decode()
        assert str(config) in done.stderr.decode()
        # Not in the words of a command that may not be here.
        assert b"docker login" not in done.stderr
        assert b"outdated" not in done.stderr
    box.client.images.remove(name)


def test_what_is_missing_is_said(box: Box, config: Path, shell: Shell) -> None:
    for line, told in (
        ("-p x", "-u NAME"),
        (f"-u {USER} -p x --password-stdin", "two ways"),
        (f"-u {USER}", "nobody can be asked here"),
        (f"-u {USER} -p {{empty}}", "no password was given"),
    ):
        shell.names["empty"] = ""
        assert told in str(shell.run(f"%container login {line} 127.0.0.1:1").error)


def test_a_cell_keeps_no_password(box: Box, guarded: Registry, config: Path, shell: Shell) -> None:
    for line in (f"-u {USER} -p {PASSWORD}", f"-u {USER} --password-stdin"):
        ran = shell.run(f"%container login {line} {guarded.address}")
        assert "leave" in str(ran.error)
    shell.names["token"] = PASSWORD
    ran = shell.run(f"%container login -u {USER} -p {{token}} {guarded.address}")
    assert ran.error is None
    assert "Login Succeeded" in ran.out
    assert PASSWORD not in ran.out + ran.err
    ran = shell.run(f"%container login -u {USER} -p {{token}}x {guarded.address}")
    assert PASSWORD not in str(ran.error)


def test_a_cell_asks_in_a_hidden_box(
    box: Box, guarded: Registry, config: Path, tmp_path: Path
) -> None:
    answers = [USER, PASSWORD]

    def on(message: Message) -> None:
        if message.kind == "input_request":
            kernel.answer(answers.pop(0))

    with running_kernel(tmp_path) as kernel:
        messages = kernel.run(f"%container login {guarded.address}", on, asked=True)
        assert errors(messages) == []
        assert streamed(messages, "stdout") == "Login Succeeded\n"
        hidden = [m.content["password"] for m in messages if m.kind == "input_request"]
        assert hidden == [False, True]
        assert PASSWORD not in str(messages)
        assert "Login Succeeded" in streamed(
            kernel.run(f"%container login {guarded.address}"), "stdout"
        )
        told = streamed(kernel.run("%history"), "stdout")
        assert PASSWORD not in told
        nobody = kernel.run("%container login 127.0.0.1:1")
        assert "nobody can be asked here" in str(errors(nobody))
