"""The Engine API's execs: further processes in a running container."""

import contextlib

from ipycontainer_runtime.api.base import EngineHandler
from ipycontainer_runtime.api.containers import terminal_size
from ipycontainer_runtime.api.hijack import RAW, read_by_client
from ipycontainer_runtime.engine.attach import detach_keys
from ipycontainer_runtime.engine.execs import ExecConfig, ExecStart
from ipycontainer_runtime.errors import StartFailed, Unavailable


class CreateExec(EngineHandler):
    """POST /containers/{id}/exec."""

    async def post(self, reference: str) -> None:
        """Prepare a process."""
        config = self.body_json(ExecConfig)
        detach_keys(config.detach_keys)
        self.reply({"Id": self.engine.execs.create(reference, config)}, 201)


class StartExec(EngineHandler):
    """POST /exec/{id}/start."""

    hijacks = True

    async def post(self, exec_id: str) -> None:
        """Start a process, with the client's connection unless it is to be detached."""
        found = self.engine.execs.startable(exec_id)
        asked = self.body_json(ExecStart) if self.request.body else ExecStart()
        if asked.console_size:
            found.config.console_size = asked.console_size
        if asked.detach:
            await self.engine.execs.start(found)
            self.empty(200)
            return
        hijacked = await self.hijack(RAW if found.config.tty else self.stream_type(tty=False))
        # The client reads the reason from its stream, and the exit code by inspecting.
        with contextlib.suppress(StartFailed, Unavailable):
            read = read_by_client(hijacked.sock)
            await self.engine.execs.start(found, hijacked.sock, hijacked.buffered, read)


class ResizeExec(EngineHandler):
    """POST /exec/{id}/resize."""

    async def post(self, exec_id: str) -> None:
        """Set the terminal's size."""
        await self.engine.execs.resize(exec_id, *terminal_size(self))
        self.empty(200)


class InspectExec(EngineHandler):
    """GET /exec/{id}/json."""

    async def get(self, exec_id: str) -> None:
        """Return what is known of a process."""
        self.reply(self.engine.execs.inspect(exec_id))


ROUTES: list[tuple[str, type[EngineHandler]]] = [
    (r"/containers/([^/]+)/exec", CreateExec),
    (r"/exec/([^/]+)/start", StartExec),
    (r"/exec/([^/]+)/resize", ResizeExec),
    (r"/exec/([^/]+)/json", InspectExec),
]
