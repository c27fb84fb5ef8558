"""All endpoints of the Engine API, by path."""

from typing import TYPE_CHECKING

from tornado.routing import PathMatches, Rule
from tornado.web import Application

from ipycontainer_runtime.api import (
    archive,
    build,
    capture,
    checkpoints,
    commit,
    containers,
    execs,
    explaining,
    extensions,
    images,
    inputs,
    logins,
    missing,
    moving,
    networks,
    pausing,
    processes,
    pruning,
    searching,
    stats,
    system,
    updating,
    volumes,
)
from ipycontainer_runtime.api.base import EngineHandler

if TYPE_CHECKING:
    from ipycontainer_runtime.engine.engine import Engine

# Any numbers match, so that the handler can refuse a version in words rather than with a 404.
_PREFIX = r"(?:/v[0-9]{1,9}\.[0-9]{1,9})?"

# In the order in which their paths are tried: first what a `run` asks for.
ROUTES: list[tuple[str, type[EngineHandler]]] = [
    *searching.ROUTES,
    *pruning.ROUTES,  # before the names that a container or an image may have
    *containers.ROUTES,
    *archive.ROUTES,
    *execs.ROUTES,
    *system.ROUTES,
    *networks.ROUTES,
    *moving.ROUTES,  # before the names that an image may have
    *images.ROUTES,
    *commit.ROUTES,
    *build.ROUTES,
    *pausing.ROUTES,
    *processes.ROUTES,
    *stats.ROUTES,
    *updating.ROUTES,
    *volumes.ROUTES,
    *capture.ROUTES,
    *logins.ROUTES,
    *extensions.ROUTES,
    *inputs.ROUTES,
    *explaining.ROUTES,
    *checkpoints.ROUTES,
]


def application(engine: "Engine") -> Application:
    """Return the tornado application that serves `engine`."""
    return Application(
        [*_grouped(ROUTES), *(Rule(_path(p), handler) for p, handler in missing.ROUTES)],
        default_handler_class=missing.PageNotFound,
        log_function=_log_nothing,
        engine=engine,
    )


def _grouped(routes: list[tuple[str, type[EngineHandler]]]) -> list[Rule]:
    """Return one rule for each first part of a path, with the rules of its paths below it.

    tornado tries rule after rule; forty expressions would be a tenth of a millisecond a request.
    """
    groups: dict[str, list[Rule]] = {}
    for pattern, handler in routes:
        groups.setdefault(pattern.split("/")[1], []).append(Rule(_path(pattern), handler))
    return [Rule(_path(f"/{name}(?:/.*)?"), rules) for name, rules in groups.items()]


def _path(pattern: str) -> PathMatches:
    return PathMatches(_PREFIX + pattern)


def _log_nothing(_handler: object) -> None:
    """Keep no access log: a client that polls would fill the disk with it."""
