"""What is going on when something goes wrong: pulls, runs, commits, archives and removals.

A deed may fail at any step, by a refusal or with its connection. What it was *told* must hold
afterwards whatever happened, so that is all it writes down.
"""

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPException

from crashcalls import Refusal, Session

LINES = 200
# What a container prints; its exit code is made of its name, so that no other can be taken for it.
WORK = f"seq {LINES}; usleep 20000; exit %d"
WRITE = "for i in $(seq 40); do head -c 30000 /dev/urandom > /f$i; done; mkdir -p /a/b; rm -r /var"


@dataclass
class Told:
    """What the engine said before it was hit."""

    images: set[str] = field(default_factory=set)
    gone_images: set[str] = field(default_factory=set)
    containers: dict[str, int] = field(default_factory=dict)
    """Ids of containers that must be there, with the exit code of their command."""
    gone: set[str] = field(default_factory=set)
    asked_gone: set[str] = field(default_factory=set)
    """What may be gone: its removal was asked for."""
    auto_removed: set[str] = field(default_factory=set)
    """What is removed when its run has ended, as by the end of its shim."""
    codes: dict[str, int] = field(default_factory=dict)
    refusals: list[str] = field(default_factory=list)


Deed = Callable[[Session, Told, random.Random], None]


def pull(session: Session, told: Told, rng: random.Random) -> None:
    """Pull one of the images, which share layers."""
    name = rng.choice(session.images)
    said = session.ask("POST", f"/images/create?fromImage={name}")
    last = json.loads(said.splitlines()[-1])
    if "error" in last:
        raise Refusal(200, last["error"])
    told.images.add(name)


def run(session: Session, told: Told, rng: random.Random) -> None:
    """Create, start, wait, read the log, and mostly remove."""
    for _ in range(3):
        removed = rng.random() < 0.3
        code = rng.randrange(1, 100)
        found = session.create(WORK % code, AutoRemove=removed, LogConfig=_log(rng))
        if removed:
            told.asked_gone.add(found)
        told.containers[found] = code
        waiting = session.begin("POST", f"/containers/{found}/wait?condition=next-exit")
        session.ask("POST", f"/containers/{found}/start")
        told.codes[found] = json.loads(waiting.finish())["StatusCode"]
        if not removed and rng.random() < 0.7:
            _remove(session, told, found)


def _log(rng: random.Random) -> dict[str, str]:
    return {"Type": rng.choice(("json-file", "local"))}


def _remove(session: Session, told: Told, container: str) -> None:
    told.asked_gone.add(container)
    session.ask("DELETE", f"/containers/{container}?force=1")
    told.gone.add(container)


def commit(session: Session, told: Told, rng: random.Random) -> None:
    """Commit what a container wrote, under a name of its own or one that is taken from another."""
    found = session.create(WRITE)
    told.containers[found] = 0
    session.ask("POST", f"/containers/{found}/start")
    json.loads(session.ask("POST", f"/containers/{found}/wait"))
    for _ in range(2):
        name = f"made:{rng.randrange(2)}"
        session.ask("POST", f"/commit?container={found}&repo=made&tag={name[-1]}")
        told.images.add(name)
    _remove(session, told, found)


def remove(session: Session, told: Told, rng: random.Random) -> None:
    """Remove images, and containers while they run."""
    for name in rng.sample([*session.images[1:], "made:0", "made:1"], 2):
        # Another deed may be pulling or committing it.
        told.gone_images.add(name)
        session.ask("DELETE", f"/images/{name}?force=1", allowed=(404, 409))
    found = session.create("sleep 100")
    told.containers[found] = 0
    session.ask("POST", f"/containers/{found}/start")
    _remove(session, told, found)


def restart(session: Session, told: Told, rng: random.Random) -> None:
    """Restart containers, also one that is removed at its end, which its restarts are not."""
    removed = rng.random() < 0.5
    found = session.create("sleep 100", AutoRemove=removed)
    told.containers[found] = 0
    if removed:
        told.auto_removed.add(found)
    try:
        session.ask("POST", f"/containers/{found}/start")
        for _ in range(3):
            session.ask("POST", f"/containers/{found}/restart?t=0")
    except Refusal:
        if removed:
            told.asked_gone.add(found)  # as Docker removes one that cannot be started
        raise
    _remove(session, told, found)


def move(session: Session, told: Told, rng: random.Random) -> None:
    """Save an image under a name of its own, remove that, and load it again."""
    repository, tag = session.images[-1], f"{rng.getrandbits(32):x}"
    session.ask("POST", f"/images/create?fromImage={repository}")
    session.ask("POST", f"/images/{repository}/tag?repo=moved&tag={tag}")
    archive = session.ask("GET", f"/images/moved:{tag}/get")
    for name in (f"moved:{tag}", repository):
        told.gone_images.add(name)
        session.ask("DELETE", f"/images/{name}?force=1", allowed=(404, 409))
    last = json.loads(session.ask("POST", "/images/load", archive).splitlines()[-1])
    if "error" in last:
        raise Refusal(200, last["error"])
    told.gone_images.remove(f"moved:{tag}")
    told.images.add(f"moved:{tag}")


DEEDS: dict[str, Deed] = {
    "move": move,
    "pull": pull,
    "run": run,
    "commit": commit,
    "remove": remove,
    "restart": restart,
}


def do(name: str, session: Session, told: Told, rng: random.Random) -> None:
    """Do a deed until it is done, refused or cut off."""
    words = ""
    try:
        DEEDS[name](session, told, rng)
    except TimeoutError:
        raise  # nobody may wait for ever, whatever went wrong
    except Refusal as error:
        words = str(error)
    except (HTTPException, OSError) as error:
        told.refusals.append(f"{name}: {error!r}")
    finally:
        session.close()
    if words:
        told.refusals.append(f"{name}: {words}")
    # A defect of the engine is told from a refusal by its words.
    assert not re.search(r"see `engine logs`|Error: ", words), f"{name} was told: {words}"
