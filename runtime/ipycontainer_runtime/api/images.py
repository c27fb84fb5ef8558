"""The Image tag of the Engine API."""

from contextlib import AbstractAsyncContextManager, aclosing

from ipycontainer_runtime.api.base import EngineHandler
from ipycontainer_runtime.api.bodies import StreamedBody
from ipycontainer_runtime.api.newimages import changes, new_name, wanted_platform
from ipycontainer_runtime.engine.importing import Import, ImportRequest
from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.oci.reference import Reference

AUTH = "X-Registry-Auth"


class List(EngineHandler):
    """GET /images/json."""

    def get(self) -> None:
        """Answer with the images that the filters let through, newest first."""
        filters = self.filters()
        if name := self.text("filter"):  # how clients before 1.28 asked for a name
            filters["reference"] = [*filters.get("reference", ()), name]
        self.reply(
            self.engine.images.list(
                filters,
                show_all=self.flag("all"),
                shared_size=self.flag("shared-size"),
                version=self.api_version,
            )
        )


class Create(StreamedBody[Import]):
    """POST /images/create: a pull, or with `fromSrc` an import."""

    def begin(self) -> AbstractAsyncContextManager[Import] | None:
        """Take a file system's archive as it arrives."""
        return self.engine.imports.receive() if self.text("fromSrc") == "-" else None

    async def post(self) -> None:
        """Make the image, streaming the progress."""
        if self.text("fromSrc"):
            await self._import(self.text("fromSrc"))
        else:
            await self._pull()

    async def _import(self, source: str) -> None:
        request = ImportRequest(
            source, new_name(self), changes(self), self.text("message"), wanted_platform(self)
        )
        async with self._stack:
            sent = source == "-"
            told = self.body().finish(request) if sent else self.engine.imports.fetch(request)
            async with self.stream() as out, aclosing(told):
                async for message in told:
                    await out.json(message)

    async def _pull(self) -> None:
        name = self._name()
        pull = self.engine.pulls.pull if _suffixed(name) else self.engine.pulls.pull_all
        pulled = pull(name, self.text("platform") or None, self.request.headers.get(AUTH))
        async with self.stream() as out, aclosing(pulled):
            async for message in pulled:
                await out.json(message)

    def _name(self) -> str:
        name, tag = self.text("fromImage"), self.text("tag")
        if not name:
            raise InvalidParameter("the query names no image: fromImage=NAME is wanted")
        if tag:
            # Only a digest has a colon; one that is malformed is named as it was written.
            return f"{name}@{tag}" if ":" in tag else f"{name}:{tag}"
        return name


def _suffixed(name: str) -> bool:
    return bool(Reference.parse(name, default_tag=None).suffix)


class Inspect(EngineHandler):
    """GET /images/{name}/json."""

    def get(self, name: str) -> None:
        """Answer with all that is known of one image."""
        self.reply(self.engine.images.inspect(name, self.api_version))


class History(EngineHandler):
    """GET /images/{name}/history."""

    def get(self, name: str) -> None:
        """Answer with the steps that made an image, newest first."""
        self.reply(self.engine.images.history(name))


class Tag(EngineHandler):
    """POST /images/{name}/tag."""

    def post(self, name: str) -> None:
        """Give an image another name."""
        self.engine.images.tag(name, self.text("repo"), self.text("tag"))
        self.empty(201)


class Push(EngineHandler):
    """POST /images/{name}/push."""

    async def post(self, name: str) -> None:
        """Push one tag, or every tag of a repository, streaming the progress."""
        auth = self.request.headers.get(AUTH)
        pushed = self.engine.pushes.push(name, self.text("tag") or None, auth)
        async with self.stream() as out, aclosing(pushed):
            async for message in pushed:
                await out.json(message)


class Remove(EngineHandler):
    """DELETE /images/{name}."""

    def delete(self, name: str) -> None:
        """Untag an image, and delete it when that was its last name."""
        force, prune = self.flag("force"), not self.flag("noprune")
        self.reply(self.engine.images.remove(name, force=force, prune=prune))


class Distribution(EngineHandler):
    """GET /distribution/{name}/json."""

    async def get(self, name: str) -> None:
        """Answer with what a name means in its registry, and for which platforms it is there."""
        found = await self.engine.pulls.describe(name, self.request.headers.get(AUTH))
        self.reply({"Descriptor": found.descriptor, "Platforms": found.platforms})


_NAME = r"/images/(.+)"

ROUTES: list[tuple[str, type[EngineHandler]]] = [
    ("/images/json", List),
    ("/images/create", Create),
    (_NAME + "/json", Inspect),
    (_NAME + "/history", History),
    (_NAME + "/tag", Tag),
    (_NAME + "/push", Push),
    (_NAME, Remove),
    (r"/distribution/(.+)/json", Distribution),
]
