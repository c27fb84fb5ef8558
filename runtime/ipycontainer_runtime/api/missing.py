"""What Docker's engine serves and this one does not, said by name."""

from ipycontainer_runtime.api.base import EngineHandler
from ipycontainer_runtime.errors import NotFound, NotImplementedHere


class PageNotFound(EngineHandler):
    """Any path that the Engine API does not have."""

    def prepare(self) -> None:
        """Answer for every method alike."""
        super().prepare()
        raise NotFound("page not found")


class NotServed(EngineHandler):
    """A part of the Engine API that this engine does not have."""

    def prepare(self) -> None:
        """Answer for every method alike."""
        super().prepare()
        path = self.request.path
        # `docker inspect` asks for every kind of object, and goes on at the words "not supported".
        raise NotImplementedHere(
            f"{self.request.method} {path} is not supported by this engine; "
            "DOCKER_HOST=… points a client at an engine that has it"
        )


ROUTES: list[tuple[str, type[EngineHandler]]] = [
    (
        "/(?:build|swarm|nodes|services|tasks|secrets|configs|plugins|session|"
        "grpc|commit|images|containers|exec|distribution|system|info|version|events)(?:/.*)?",
        NotServed,
    ),
]
