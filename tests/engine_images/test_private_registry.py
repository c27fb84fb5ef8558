"""A registry in a container of our own: what is pushed to it comes back, and can be deleted."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from docker.errors import APIError, NotFound

from support.engines import Engine, running_engine
from support.private import private_registry
from support.registry import PASSWORD, USER
from support.tls import Authority

pytestmark = [pytest.mark.needs("docker-registry", "docker", "openssl"), pytest.mark.ordinary_user]

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
Verb = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A configuration folder of the tests' own, for the engine and for its clients."""
    folder = tmp_path_factory.mktemp("config")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(folder))
        patch.setenv("DOCKER_CONFIG", str(folder / "docker"))
        yield folder


@pytest.fixture(scope="module")
def engine(config: Path) -> Iterator[Engine]:
    with running_engine() as running:
        yield running
        for image in running.client.api.images():
            running.client.api.remove_image(image["Id"], force=True)


@pytest.fixture(scope="module")
def small(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a small image in the engine, which was built there."""
    folder = tmp_path_factory.mktemp("context")
    (folder / "Dockerfile").write_text('FROM scratch\nCOPY file /\nCMD ["none"]\n')
    (folder / "file").write_text("what comes back")
    engine.client.images.build(path=str(folder), tag="small")
    return "small"


@pytest.fixture
def verb(engine: Engine, config: Path) -> Verb:
    """The command line with this engine."""
    code = "import sys; from ipycontainer.cli import main; sys.exit(main())"

    def run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        variables = {**engine.variables, "DOCKER_CONFIG": str(config / "docker")}
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            input=stdin,
            env=variables,
            capture_output=True,
            timeout=120,
            check=False,
        )

    return run


def test_what_is_pushed_comes_back_until_it_is_deleted(
    engine: Engine, small: str, verb: Verb
) -> None:
    with private_registry(engine.client) as registry:
        name = registry.name("team/small", "v1")
        image = engine.client.images.get(small)
        image.tag(name)
        done = verb("push", "-a", f"{registry.address}/team/small")
        assert done.returncode == 0, done.stderr
        engine.client.images.remove(name)
        assert verb("pull", "-q", name).stdout.decode().strip() == name
        pulled = engine.client.images.get(name)
        assert pulled.id == image.id
        [digest] = [d.partition("@")[2] for d in pulled.attrs["RepoDigests"] if "team/small" in d]

        everything = f"{registry.address}/team/small"
        assert verb("pull", "-a", everything).returncode == 0
        told = engine.client.images.get_registry_data(name)
        assert told.id == digest

        manifest = f"http://{registry.address}/v2/team/small/manifests/{digest}"
        assert requests.delete(manifest, timeout=60).status_code == 202
        with pytest.raises(NotFound, match="manifest unknown"):
            engine.client.images.pull(name)
        engine.client.images.remove(name)


def test_it_may_want_a_login_and_speak_tls(
    engine: Engine, small: str, verb: Verb, config: Path, tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "authority")
    with private_registry(engine.client, login=True, tls=authority.sign("server")) as registry:
        name = registry.name("small", "v1")
        engine.client.images.get(small).tag(name)
        with pytest.raises(APIError, match="speaks TLS: put its authority"):
            engine.client.images.pull(name)
        trusted = config / "docker/certs.d" / registry.address
        trusted.mkdir(parents=True)
        (trusted / "ca.crt").write_bytes(authority.certificate.read_bytes())
        refused = engine.client.images.push(name)
        assert "no basic auth credentials" in refused
        sent = PASSWORD.encode()
        # With no login in its file the command would look for a keyring.
        (engine.home / "config.json").write_text('{"auths": {"other.invalid": {}}}')
        told = engine.succeed("login", "-u", USER, "--password-stdin", registry.address, stdin=sent)
        assert "Login Succeeded" in told
        engine.succeed("push", name)
        done = verb("login", "-u", USER, "--password-stdin", registry.address, stdin=sent)
        assert done.stdout == b"Login Succeeded\n", done.stderr
        assert verb("push", "-q", name).returncode == 0
        engine.client.images.remove(name)
        assert verb("pull", "-q", name).returncode == 0
        engine.client.images.remove(name)
