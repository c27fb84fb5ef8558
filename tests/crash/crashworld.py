"""An engine on a small disk, some containers that nothing may happen to, and rounds of faults."""

import contextlib
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import crashchecks
from crashcalls import Session, unframed
from crashdeeds import DEEDS, LINES, Told, do
from crashdisk import Disk
from crashfaults import HELD, KINDS, REFUSING, fault

from support import engines, leftovers
from support.engines import Engine

BYSTANDERS = 2
# It prints numbers until it is told to stop, and its exit code says that it was told.
COUNT = "i=0; while [ ! -e /stop ]; do echo $i; i=$((i+1)); usleep 20000; done; exit 7"
STOPPED, KILLED, UNSEEN = 7, 137, 255
LATEST = 0.4  # seconds after which a deed has mostly been done
HANGING = 60


class World:
    """One engine through many rounds."""

    def __init__(self, engine: Engine, disk: Disk, images: list[str], rng: random.Random) -> None:
        self.engine = engine
        self.disk = disk
        self._images = images
        self._rng = rng
        self._bystanders: dict[str, int] = {}
        """Containers, and their shims."""
        self._killed = set[int]()
        self._lossy = False

    def session(self) -> Session:
        """Return a new client."""
        return Session(str(self.engine.socket), self._images)

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Return the JSON of a reply, for a request that must succeed."""
        with contextlib.closing(self.session()) as session:
            said = session.ask(method, path, body)
        return json.loads(said) if said.strip() else None

    def containers(self) -> dict[str, dict[str, Any]]:
        """Return the containers by id."""
        return {found["Id"]: found for found in self.ask("GET", "/containers/json?all=1")}

    # -- one round

    def round(self, number: int) -> None:
        """Have something go wrong while something is going on, and look at what comes of it."""
        kind = self._rng.choice(KINDS)
        deeds = self._rng.choices(list(DEEDS), k=self._rng.randrange(1, 4))
        moment = self._rng.uniform(0, LATEST)
        story = f"round {number}: {kind} after {moment * 1000:.0f} ms of {' and '.join(deeds)}"
        print(story, flush=True)
        told = Told()
        try:
            self._prepare()
            self._hit(kind, deeds, moment, told)
            self.engine.start()
            self._look(kind, told)
            self._clear(told)
        except BaseException as error:
            said = "\n".join([f"{error}", story, *told.refusals, self.engine.log[-4000:]])
            raise AssertionError(said) from error

    def _prepare(self) -> None:
        self.disk.insert()
        self.engine.start()
        if not any(
            self._images[0] in (i["RepoTags"] or ()) for i in self.ask("GET", "/images/json")
        ):
            self._pull(self._images[0])
        while len(self._bystanders) < BYSTANDERS:
            with contextlib.closing(self.session()) as session:
                driver = self._rng.choice(("json-file", "local"))
                found = session.create(COUNT, LogConfig={"Type": driver})
            self.ask("POST", f"/containers/{found}/start")
            pid = self.ask("GET", f"/containers/{found}/json")["State"]["Pid"]
            self._bystanders[found] = leftovers.parent(pid)
            self._lossy = False

    def _pull(self, name: str) -> None:
        with contextlib.closing(self.session()) as session:
            session.ask("POST", f"/images/create?fromImage={name}")

    def _hit(self, kind: str, deeds: list[str], moment: float, told: Told) -> None:
        seeds = [self._rng.random() for _ in deeds]
        failures: list[BaseException] = []

        def work(name: str, seed: float) -> None:
            try:
                do(name, self.session(), told, random.Random(seed))
            except BaseException as error:
                failures.append(error)

        threads = [
            threading.Thread(target=work, args=pair, daemon=True)
            for pair in zip(deeds, seeds, strict=True)
        ]
        for thread in threads:
            thread.start()
        # Not an event: any moment of the deed is meant.
        time.sleep(moment)
        self._lossy = self._lossy or kind == "disk"
        with fault(kind, self.engine, self.disk, self._rng) as killed:
            self._killed.update(killed)
            if kind in HELD:
                time.sleep(self._rng.uniform(0.05, LATEST))
        if kind not in HELD:
            self.engine.start()
        for thread in threads:
            thread.join(HANGING)
            assert not thread.is_alive(), "a client waits for ever"
        if failures:
            raise failures[0]

    # -- what must hold then

    def _look(self, kind: str, told: Told) -> None:
        there = self.containers()
        killed = kind in ("shim", "shims", "all")
        for container, shim in list(self._bystanders.items()):
            self._look_at_bystander(container, killed=shim in self._killed)
        for container, code in told.containers.items():
            if container not in told.asked_gone | (told.auto_removed if killed else set()):
                assert container in there, f"container {container} is gone"
                self._look_at_worker(container, code, killed=killed or kind in REFUSING)
        for container in told.gone:
            assert container not in there, f"container {container} was removed, and is there"
        for container, code in told.codes.items():
            allowed = {told.containers[container]} | ({KILLED, UNSEEN} if killed else set())
            assert code in allowed, f"wait said {code}, not {allowed}"
        for name in told.images - told.gone_images:
            self.ask("GET", f"/images/{name}/json")
        self._run_another()
        self._complain(crashchecks.half_blobs(self.disk.root))
        self._complain(leftovers.eventually(self._left))
        assert "Traceback" not in self.engine.log, "the engine met what it did not expect"

    def _run_another(self) -> None:
        """Run a container: what is broken now would show, and what was killed is replaced."""
        with contextlib.closing(self.session()) as session:
            found = session.create("exit 3", AutoRemove=True)
            waiting = session.begin("POST", f"/containers/{found}/wait?condition=removed")
            session.ask("POST", f"/containers/{found}/start")
            assert json.loads(waiting.finish())["StatusCode"] == 3

    def _left(self) -> list[str]:
        there = self.containers()
        count = sum(found["State"] == "running" for found in there.values())
        return [
            *crashchecks.store(self.disk.root, set(there)),
            *crashchecks.running(self.engine, count),
        ]

    def _complain(self, complaints: list[str]) -> None:
        assert not complaints, "\n".join(complaints)

    def _look_at_bystander(self, container: str, *, killed: bool) -> None:
        state = self._state(container, lambda state: state["Running"] != killed)
        if not killed:
            if self._rng.random() < 0.5:
                return
            made = self.ask("POST", f"/containers/{container}/exec", {"Cmd": ["touch", "/stop"]})
            self.ask("POST", f"/exec/{made['Id']}/start", {"Detach": True})
            assert self.ask("POST", f"/containers/{container}/wait")["StatusCode"] == STOPPED
        else:
            assert state["ExitCode"] in (KILLED, UNSEEN), state
        self._look_at_log(container, None)
        del self._bystanders[container]
        self.ask("DELETE", f"/containers/{container}")

    def _state(self, container: str, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return a container's state once it fits: a shim's end is noticed a moment later."""
        path = f"/containers/{container}/json"

        def complaints() -> list[str]:
            state = self.ask("GET", path)["State"]
            return [] if fits(state) else [f"{container} is {state}"]

        self._complain(leftovers.eventually(complaints))
        found: dict[str, Any] = self.ask("GET", path)["State"]
        return found

    def _look_at_worker(self, container: str, code: int, *, killed: bool) -> None:
        state = self._state(container, _true)
        if state["Status"] != "exited":
            return
        assert killed or state["ExitCode"] in (code, KILLED), f"{container}: {state}, not {code}"
        if code and state["ExitCode"] == code:
            self._look_at_log(container, LINES)

    def _look_at_log(self, container: str, count: int | None) -> None:
        with contextlib.closing(self.session()) as session:
            logged = unframed(session.ask("GET", f"/containers/{container}/logs?stdout=1"))
        numbers = [int(line) for line in logged.split()]
        first = 0 if count is None else 1
        expected = list(range(first, first + (len(numbers) if count is None else count)))
        if self._lossy:  # what a full disk did not take is lost, and nothing else
            assert numbers == sorted(set(numbers)), f"{container} logged {numbers}"
        else:
            assert numbers == expected, f"{container} logged {numbers}"

    # -- between rounds

    def _clear(self, told: Told) -> None:
        """Remove what the round made; sometimes all of it, and the engine leaves as well."""
        for container in self.containers():
            if container not in self._bystanders:
                with contextlib.closing(self.session()) as session:
                    session.ask("DELETE", f"/containers/{container}?force=1", allowed=(404,))
        if self._rng.random() < 0.3:
            self.leave()

    def leave(self) -> None:
        """Have the engine leave, and look at what it leaves behind."""
        for container in self._bystanders:
            self.ask("DELETE", f"/containers/{container}?force=1")
        self._bystanders.clear()
        self._complain(engines.stop(self.engine, self.engine.paths.root))


def _true(state: dict[str, Any]) -> bool:
    """Tell whether what is said to run does."""
    return not state["Running"] or leftovers.alive(state["Pid"])


@contextmanager
def world(images: list[str], rng: random.Random) -> Iterator[World]:
    """Yield an engine on a small disk, and remove both whatever happened to them."""
    with engines.engine_folder() as engine:
        disk = Disk(engine)
        disk.insert()
        try:
            yield World(engine, disk, images, rng)
        finally:
            engines.end_processes(engine.home)
            disk.remove()
