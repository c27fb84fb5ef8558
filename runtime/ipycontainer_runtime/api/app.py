"""All endpoints of the Engine API, by path."""

from typing import TYPE_CHECKING

from tornado.web import Application

from ipycontainer_runtime.api import (
    capture,
    containers,
    execs,
    extensions,
    images,
    missing,
    system,
)
from ipycontainer_runtime.api.base import EngineHandler

if TYPE_CHECKING:
    from ipycontainer_runtime.engine.engine import Engine

# Any numbers match, so that the handler can refuse a version in words rather than with a 404.
_PREFIX = r"(?:/v\d+\.\d+)?"

ROUTES: list[tuple[str, type[EngineHandler]]] = [
    *system.ROUTES,
    *capture.ROUTES,
    *containers.ROUTES,
    *execs.ROUTES,
    *extensions.ROUTES,
    *images.ROUTES,
    *missing.ROUTES,
]


def application(engine: "Engine") -> Application:
    """Return the tornado application that serves `engine`."""
    return Application(
        [(_PREFIX + pattern, handler) for pattern, handler in ROUTES],
        default_handler_class=missing.PageNotFound,
        log_function=_log_nothing,
        engine=engine,
    )


def _log_nothing(_handler: object) -> None:
    """Keep no access log: a client that polls would fill the disk with it."""
