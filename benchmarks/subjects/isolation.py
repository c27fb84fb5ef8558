"""What isolation costs a warm run: its user namespace, filter and cgroups; being rootless."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from measure import RHYTHMS, Contender, Result, Timed, by_turns
from support.engines import running_engine
from support.hosts import Host
from support.users import ordinary_user
from table import Goal, Row
from world import World

CHECKOUT = Path(__file__).parents[2]
URL = "from ipycontainer_runtime import client; client.url()"
STOP = "from ipycontainer_runtime import client; client.stop()"
# Without its controllers in sight an engine makes no cgroup.
NO_CGROUPS = (
    *("unshare", "--mount", "sh", "-c"),
    'mount -t tmpfs none /sys/fs/cgroup && exec "$@"',
    "sh",
)
MORE = 4
"""Times the rounds of other subjects: a difference of two figures is noisier than both."""
COST = Goal(0.003, words="≤ 3 ms")
ROOTLESS = Goal(1.3, "rootful", "≤ 1.3 x root's")


def rows(world: World, rounds: int) -> Iterator[Row]:
    """Yield the cost of the parts, and the rootless engine beside the rootful one, in both rhythms.

    All four engines are ours, and take turns. An engine makes ready for a container what its last
    one had, so kinds of container that take turns in one engine cost more, and have a row too.
    """
    user = ordinary_user()
    as_user = (str(CHECKOUT / "scripts/as-user"), user.name)
    with ExitStack() as stack:
        bare = stack.enter_context(running_engine(NO_CGROUPS))
        alone = stack.enter_context(running_engine())
        rootless = stack.enter_context(_rootless(as_user, user.uid))
        for host in (bare, alone, rootless):
            host.client.images.pull(world.busybox)
        contenders = {
            "ours": _runs(alone, world.busybox, memory="64m", users="auto"),
            "mixed": _runs(world.ours, world.busybox, memory="64m", users="auto"),
            "plain": _runs(world.ours, world.busybox),
            "bare": _runs(bare, world.busybox, unconfined=True),
            "rootless": _runs(rootless, world.busybox),
        }
        for pause, rhythm in RHYTHMS:
            found = by_turns(contenders, rounds * MORE, pause)
            share = "user namespace, filter and cgroups' share of a `run`"
            yield Row(f"{share}, {rhythm}", {"ours": _beyond_bare(found, "ours")}, (COST,))
            turns = f"{share} by turns with runs that have none, {rhythm}"
            yield Row(turns, {"ours": _beyond_bare(found, "mixed")}, ())
            both = {"ours": found["rootless"], "rootful": found["plain"]}
            yield Row(f"`run --rm IMAGE true` by an ordinary user, {rhythm}", both, (ROOTLESS,))


def _beyond_bare(found: Mapping[str, Result], name: str) -> Result:
    pairs = zip(found[name].figures, found["bare"].figures, strict=True)
    return Result(tuple(whole - bare for whole, bare in pairs))


@contextmanager
def _rootless(become: Sequence[str], uid: int) -> Iterator[Host]:
    """Yield the engine of an ordinary user."""
    home = Path(tempfile.mkdtemp(prefix="ipyc-i", dir="/tmp"))
    os.chown(home, uid, -1)
    environment = [
        *("env", f"IPYCONTAINER_ROOT={home}/root", f"IPYCONTAINER_RUN={home}/run"),
        f"PYTHONPATH={CHECKOUT}/runtime",
    ]
    python = [*become, *environment, str(CHECKOUT / ".venv/bin/python"), "-c"]
    subprocess.run([*python, URL], check=True, stdout=sys.stderr)
    host = Host(home / "run/engine.sock", home)
    try:
        yield host
    finally:
        host.close()
        subprocess.run([*python, STOP], check=True)
        shutil.rmtree(home)


def _runs(
    host: Host, image: str, *, memory: str | None = None, unconfined: bool = False, users: str = ""
) -> Contender:
    api = host.client.api
    settings = api.create_host_config(
        network_mode="none",
        auto_remove=True,
        mem_limit=memory,
        security_opt=["seccomp=unconfined"] if unconfined else [],
    )
    settings["UsernsMode"] = users  # docker-py knows `host` alone
    config = api.create_container_config(image, "true", host_config=settings)

    def run(clock: Timed) -> None:
        with clock():
            made = api.create_container_from_config(config)["Id"]
            response = api.post(
                f"{api.base_url}/containers/{made}/wait?condition=next-exit", stream=True
            )
            api.start(made)
            assert response.json()["StatusCode"] == 0

    return run
