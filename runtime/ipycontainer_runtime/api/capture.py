"""POST /ipycontainer/capture: an image of the environment that a notebook runs in."""

from contextlib import aclosing

from ipycontainer_runtime.api.base import EngineHandler
from ipycontainer_runtime.engine.capturing import CaptureRequest
from ipycontainer_runtime.engine.times import source_date_epoch
from ipycontainer_runtime.oci.reference import Reference


class Capture(EngineHandler):
    """`?name=NAME[:TAG]&python=/path/of/python`; answers with progress as a pull does.

    Also `code`, `include` and `exclude`, each any number of times, `user` and `dryrun`, and
    `epoch`: the SOURCE_DATE_EPOCH of who asks.
    """

    async def post(self) -> None:
        """Capture, name, and tell how far it is."""
        request = CaptureRequest(
            Reference.parse(self.text("name", "host")),
            self.text("python"),
            code=self._texts("code"),
            include=self._texts("include"),
            exclude=self._texts("exclude"),
            user=self.flag("user"),
            dry_run=self.flag("dryrun"),
            created=source_date_epoch(self.text("epoch")),
        )
        captured = self.engine.captures.capture(request)
        async with self.stream() as out, aclosing(captured):
            async for message in captured:
                await out.json(message)

    def _texts(self, name: str) -> tuple[str, ...]:
        return tuple(self.get_query_arguments(name, strip=False))


ROUTES: list[tuple[str, type[EngineHandler]]] = [("/ipycontainer/capture", Capture)]
