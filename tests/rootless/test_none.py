"""An engine that may make no user namespace: what better ones left is kept, and little is done."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from support.calls import call
from support.engines import Engine, running_engine

pytestmark = pytest.mark.needs("root", "docker", "busybox", "setpriv", "user_namespaces")

# Root without CAP_SYS_ADMIN, in a user namespace that may have no other below it.
ALONE = (
    *("unshare", "--user", "--map-root-user", "sh", "-euc"),
    "echo 0 >/proc/sys/user/max_user_namespaces;"
    ' exec setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin "$@"',
    "sh",
)
START = "from ipycontainer_runtime import client; client.url()"


@pytest.fixture(scope="module")
def engine(busybox: str) -> Iterator[Engine]:
    """Such an engine, with a container `one` that has run while root's engine was here."""
    with running_engine() as running:
        running.succeed("pull", "-q", busybox)
        running.succeed("run", "--name", "one", "--network", "none", busybox, "touch", "/made")
        running.kill()
        command = [*ALONE, sys.executable, "-c", START]
        subprocess.run(command, env=running.variables, check=True)
        yield running
        running.kill()


ASKED = {
    "run": ("run", "--rm", "--network", "none", "busybox", "true"),
    "start": ("start", "one"),
    "cp out": ("cp", "one:/made", "-"),
    "export": ("export", "one"),
}


@pytest.mark.parametrize("what", ASKED)
def test_what_cannot_be_done_is_refused_in_a_line_with_the_cure(
    engine: Engine, busybox: str, what: str
) -> None:
    engine.succeed("tag", busybox, "busybox")
    done = engine.docker(*ASKED[what])
    assert done.returncode
    (said, *_) = [line for line in done.stderr.decode().splitlines() if "cannot" in line]
    assert "cannot be " in said
    assert "cannot create a user namespace" in said
    assert "sysctl user.max_user_namespaces" in said


def test_a_copy_into_a_container_is_refused_too(engine: Engine) -> None:
    # The docker command says nothing of what the engine answers.
    reply = call(engine, "PUT", "/containers/one/archive?path=/")
    assert reply.status == 503
    assert "cannot be reached here: cannot create a user namespace" in reply.message


def test_what_is_there_can_be_looked_at(engine: Engine) -> None:
    assert engine.succeed("ps", "-a", "--format", "{{.Names}}") == "one"
    assert engine.succeed("diff", "one") == "A /made"
    engine.succeed("commit", "one", "changed")
    engine.succeed("history", "changed")
