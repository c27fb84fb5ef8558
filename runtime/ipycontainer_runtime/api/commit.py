"""POST /commit, which the Engine API lists under Image."""

from ipycontainer_runtime.api.base import EngineHandler
from ipycontainer_runtime.api.newimages import changes, new_name
from ipycontainer_runtime.engine.commit import CommitRequest
from ipycontainer_runtime.engine.create import parse_body
from ipycontainer_runtime.errors import InvalidParameter


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
            reference=new_name(self),
            comment=self.text("comment"),
            author=self.text("author"),
            changes=changes(self),
            pause=self.flag("pause", default=True),
            config=parse_body(body) if body and body != b"null" else None,
        )
        self.reply({"Id": await self.engine.commits.commit(request)}, 201)


ROUTES: list[tuple[str, type[EngineHandler]]] = [("/commit", Commit)]
