"""The Engine API's containers: https://docs.docker.com/reference/api/engine/version/v1.50/."""

import sys
from typing import Any

import msgspec

from ipycontainer_runtime.api.base import EngineHandler
from ipycontainer_runtime.api.hijack import RAW, read_by_client
from ipycontainer_runtime.engine.attach import Attachment, attach, detach_keys
from ipycontainer_runtime.engine.container import Ended, not_running
from ipycontainer_runtime.engine.create import parse_body
from ipycontainer_runtime.engine.logs import LogRequest
from ipycontainer_runtime.engine.times import parse_instant
from ipycontainer_runtime.errors import InvalidParameter, NotImplementedHere
from ipycontainer_runtime.shim.messages import AttachOptions

_WAIT_LENGTH = 96
"""Bytes of a wait's answer, which is filled up with spaces."""

_SEVERAL_NETWORKS = (1, 44)
"""The first version of the API in which a container is created in several networks."""

_CONDITIONS = ("", "not-running", "next-exit", "removed")


class ListContainers(EngineHandler):
    """GET /containers/json."""

    async def get(self) -> None:
        """List containers."""
        found = await self.engine.containers.list(
            self.filters(),
            show_all=self.flag("all"),
            limit=self.integer("limit") or 0,
            size=self.flag("size"),
        )
        self.reply(found)


class CreateContainer(EngineHandler):
    """POST /containers/create."""

    async def post(self) -> None:
        """Create a container."""
        created = await self.engine.containers.create(
            self.text("name"),
            parse_body(self.request.body),
            self.text("platform"),
            several=self.api_version >= _SEVERAL_NETWORKS,
        )
        self.reply({"Id": created.id, "Warnings": created.warnings}, 201)


class InspectContainer(EngineHandler):
    """GET /containers/{id}/json."""

    async def get(self, reference: str) -> None:
        """Return everything that is known of one container."""
        self.reply(await self.engine.containers.inspect(reference, size=self.flag("size")))


class StartContainer(EngineHandler):
    """POST /containers/{id}/start."""

    async def post(self, reference: str) -> None:
        """Start a container; 304 when it runs."""
        detach_keys(self.text("detachKeys"))
        self.empty(204 if await self.engine.lifecycle.start(reference) else 304)


class StopContainer(EngineHandler):
    """POST /containers/{id}/stop."""

    async def post(self, reference: str) -> None:
        """Stop a container; 304 when it does not run."""
        stopped = await self.engine.stopping.stop(reference, self.integer("t"), self.text("signal"))
        self.empty(204 if stopped else 304)


class RestartContainer(EngineHandler):
    """POST /containers/{id}/restart."""

    async def post(self, reference: str) -> None:
        """Stop a container if it runs, then start it."""
        await self.engine.stopping.restart(reference, self.integer("t"), self.text("signal"))
        self.empty()


class KillContainer(EngineHandler):
    """POST /containers/{id}/kill."""

    async def post(self, reference: str) -> None:
        """Send a signal."""
        await self.engine.stopping.kill(reference, self.text("signal"))
        self.empty()


class ResizeContainer(EngineHandler):
    """POST /containers/{id}/resize."""

    async def post(self, reference: str) -> None:
        """Set the terminal's size."""
        await self.engine.lifecycle.resize(reference, *terminal_size(self))
        self.empty(200)


class RenameContainer(EngineHandler):
    """POST /containers/{id}/rename."""

    async def post(self, reference: str) -> None:
        """Give the container another name."""
        await self.engine.connecting.rename(reference, self.text("name"))
        self.empty()


class WaitContainer(EngineHandler):
    """POST /containers/{id}/wait."""

    async def post(self, reference: str) -> None:
        """Answer with the exit code once the condition holds.

        The headers go at once: `docker run` starts the container when it has read them.
        """
        condition = self.text("condition")
        if condition not in _CONDITIONS:
            raise InvalidParameter(f'invalid condition: "{condition}"')
        waiting = self.engine.lifecycle.wait(reference, condition)
        # A known length spares the packet that ends a chunked body: a client less to be woken.
        self.set_header("Content-Length", str(_WAIT_LENGTH))
        try:
            async with self.stream() as out:
                if not waiting.done():
                    await out.begin()
                ended = await waiting
                await out.raw(_answer(ended).ljust(_WAIT_LENGTH))
        finally:
            waiting.cancel()


class RemoveContainer(EngineHandler):
    """DELETE /containers/{id}."""

    async def delete(self, reference: str) -> None:
        """Remove a container."""
        if self.flag("link"):
            raise NotImplementedHere("links are not supported: leave link out")
        await self.engine.stopping.remove(
            reference, force=self.flag("force"), volumes=self.flag("v")
        )
        self.empty()


class Logs(EngineHandler):
    """GET /containers/{id}/logs."""

    async def get(self, reference: str) -> None:
        """Send a container's log, and with `follow` what comes."""
        log = self.engine.logs.open(
            reference,
            LogRequest(
                stdout=self.flag("stdout"),
                stderr=self.flag("stderr"),
                follow=self.flag("follow"),
                timestamps=self.flag("timestamps"),
                since=parse_instant(self.text("since"), "since"),
                until=parse_instant(self.text("until"), "until"),
                tail=_tail(self.text("tail")),
            ),
        )
        async with self.stream(self.stream_type(tty=log.tty)) as out:
            await out.begin()
            async for chunk in log.chunks():
                await out.raw(chunk)


class AttachContainer(EngineHandler):
    """POST /containers/{id}/attach."""

    hijacks = True

    async def post(self, reference: str) -> None:
        """Give the client's connection to the container's streams."""
        container = self.engine.containers.get(reference)
        keys = detach_keys(self.text("detachKeys"))
        if container.state.restarting:
            raise not_running(container)
        hijacked = await self.hijack(RAW if container.tty else self.stream_type(tty=False))
        if container.shim is not None or self.flag("logs"):
            await read_by_client(hijacked.sock)
        options = AttachOptions(
            stdin=self.flag("stdin"),
            stdout=self.flag("stdout"),
            stderr=self.flag("stderr"),
            logs=self.flag("logs"),
            stream=self.flag("stream"),
            framed=not container.tty,
            detach_keys=keys,
            buffered=hijacked.buffered,
        )
        self.engine.containers.publish(container, "attach")
        await attach(container, Attachment(hijacked.sock, options), self.engine.logs)


class AttachWebSocket(EngineHandler):
    """GET /containers/{id}/attach/ws."""

    async def get(self, reference: str) -> None:
        """Refuse: a web page has no business at this socket."""
        raise NotImplementedHere("attach over a web socket is not supported: use POST attach")


class Changes(EngineHandler):
    """GET /containers/{id}/changes."""

    async def get(self, reference: str) -> None:
        """List what the container changed in its image."""
        self.reply(await self.engine.containers.changes(reference))


def _answer(ended: Ended) -> bytes:
    answer: dict[str, Any] = {"StatusCode": ended.code}
    if ended.fault is not None:
        fault = ended.fault
        answer["Fault"] = {"Kind": fault.kind, "Signal": fault.signal}
        if fault.peak:
            answer["Fault"]["Peak"] = fault.peak
    return msgspec.json.encode(answer)


def terminal_size(handler: EngineHandler) -> tuple[int, int]:
    """Return the width and height that a resize asks for."""
    height, width = handler.integer("h"), handler.integer("w")
    if height is None or width is None or not (0 <= height < 65536 and 0 <= width < 65536):
        raise InvalidParameter(
            f"invalid terminal size h={handler.text('h')} w={handler.text('w')}: "
            "two numbers below 65536 are wanted"
        )
    return width, height


def _tail(text: str) -> int | None:
    """Return the number of lines; `all`, and what is no number, is all, as for Docker."""
    return min(int(text), sys.maxsize) if text.isdecimal() and len(text) < 20 else None


ROUTES: list[tuple[str, type[EngineHandler]]] = [
    (r"/containers/json", ListContainers),
    (r"/containers/create", CreateContainer),
    (r"/containers/([^/]+)/json", InspectContainer),
    (r"/containers/([^/]+)/start", StartContainer),
    (r"/containers/([^/]+)/stop", StopContainer),
    (r"/containers/([^/]+)/restart", RestartContainer),
    (r"/containers/([^/]+)/kill", KillContainer),
    (r"/containers/([^/]+)/resize", ResizeContainer),
    (r"/containers/([^/]+)/rename", RenameContainer),
    (r"/containers/([^/]+)/wait", WaitContainer),
    (r"/containers/([^/]+)/logs", Logs),
    (r"/containers/([^/]+)/attach", AttachContainer),
    (r"/containers/([^/]+)/attach/ws", AttachWebSocket),
    (r"/containers/([^/]+)/changes", Changes),
    (r"/containers/([^/]+)", RemoveContainer),
]
