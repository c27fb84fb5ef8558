"""POST /commit, which the Engine API lists under Image."""

from ipycontainer_runtime.api.base import EngineHandler
from ipycontainer_runtime.engine.commit import CommitRequest
from ipycontainer_runtime.engine.create import parse_body
from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.oci.reference import Reference


class Commit(EngineHandler):
    """POST /commit."""

    async def post(self) -> None:
        """Make an image of a container and answer with its id."""
        container = self.text("container")
        if not container:
            raise InvalidParameter("the query names no container: container=NAME is wanted")
        body = self.request.body.strip()
        request = CommitRequest(
            container=container,
            reference=self._reference(),
            comment=self.text("comment"),
            author=self.text("author"),
            changes=self._changes(),
            pause=self.flag("pause", default=True),
            config=parse_body(body) if body and body != b"null" else None,
        )
        self.reply({"Id": await self.engine.commits.commit(request)}, 201)

    def _reference(self) -> Reference | None:
        name, tag = self.text("repo"), self.text("tag")
        if not name:
            return None
        reference = Reference.parse(f"{name}:{tag}" if tag else name)
        if reference.digest:
            raise InvalidParameter(f"{name}: an image cannot be committed to a digest; give a tag")
        return reference

    def _changes(self) -> tuple[str, ...]:
        """Return one instruction a line: clients send them apart, or all in one parameter."""
        lines = [line for text in self.get_query_arguments("changes") for line in text.split("\n")]
        return tuple(line for line in lines if line.strip())


ROUTES: list[tuple[str, type[EngineHandler]]] = [("/commit", Commit)]
