"""What Docker's API lacks, under /ipycontainer; clients find out by asking."""

import asyncio

from ipycontainer_runtime.api.base import EngineHandler


class Extensions(EngineHandler):
    """GET /ipycontainer: what this engine has beyond Docker's API."""

    def get(self) -> None:
        """Answer with the extensions' names, and how the engine is."""
        self.reply(self.engine.system.extensions())


class Doctor(EngineHandler):
    """GET /ipycontainer/doctor: what the machine gives this engine and what it lacks."""

    async def get(self) -> None:
        """Answer with a list of {Name, State, Detail, Cost, Cure}."""
        # It asks registries, and so needs `requests`: a fifth of the time that an engine starts in.
        from ipycontainer_runtime.engine import doctor

        engine = self.engine
        # A name with a digest is one that was pulled.
        names = (name for image in engine.image_store.list() for name in image.references)
        used = frozenset(name.domain for name in names if name.digest)
        checks = await asyncio.to_thread(doctor.examine, engine.paths.root, engine.grade, used)
        self.reply(checks)


class Keep(EngineHandler):
    """POST /ipycontainer/keep: hold the engine up for clients that cannot start it."""

    def post(self) -> None:
        """Set it for as long as this engine lives; `?keep=0` undoes it."""
        self.engine.activity.keep = self.flag("keep", default=True)
        self.empty()


class Stop(EngineHandler):
    """POST /ipycontainer/stop: leave; containers go on."""

    def post(self) -> None:
        """Answer, then leave."""
        self.empty(202)
        self.engine.leave.set()


ROUTES: list[tuple[str, type[EngineHandler]]] = [
    ("/ipycontainer", Extensions),
    ("/ipycontainer/doctor", Doctor),
    ("/ipycontainer/keep", Keep),
    ("/ipycontainer/stop", Stop),
]
