"""A kernel's messages as they are received: what there is no room for is not even looked into."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import zmq.asyncio
from jupyter_client.channels import AsyncZMQSocketChannel
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.session import DELIM

from ipycontainer_kernel.notebooks import bounds

if TYPE_CHECKING:
    from collections.abc import Sequence


class Outputs(AsyncZMQSocketChannel):
    """A kernel's output channel; to read a message takes longer than to throw it away."""

    bounds: bounds.Bounds | None = None

    async def _recv(self, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override] # as its base
        while True:
            frames = await self.socket.recv_multipart(**kwargs)
            if self._wanted(frames):
                _, message = self.session.feed_identities(frames)
                return self.session.deserialize(message)

    def _wanted(self, frames: Sequence[bytes]) -> bool:
        size = sum(map(len, frames))
        return self.bounds is None or self.bounds.wanted(_kind(frames), size)


def _kind(frames: Sequence[bytes]) -> str:
    """Return what a message says it is; the session looks afterwards whether it may be believed."""
    try:
        return str(json.loads(frames[frames.index(DELIM) + 2])["msg_type"])
    except (ValueError, IndexError, KeyError, TypeError, RecursionError):
        return ""


class Manager(AsyncKernelManager):
    """A kernel whose client takes no more at once than is bounded; made for one client."""

    def __init__(self, kept: bounds.Bounds, **more: Any) -> None:
        super().__init__(**more)
        self._kept = kept
        self._context: zmq.asyncio.Context | None = None

    def client(self, **more: Any) -> Any:
        """Return the client; called by nbclient."""
        self._context = zmq.asyncio.Context()
        self._context.setsockopt(zmq.MAXMSGSIZE, bounds.RECEIVED)
        self._context.setsockopt(zmq.RCVHWM, bounds.QUEUED)
        made = super().client(context=self._context, iopub_channel_class=Outputs, **more)
        made.iopub_channel.bounds = self._kept
        return made

    def end(self) -> None:
        """Let go of the client's sockets, when nothing is wanted of it any more."""
        if self._context is not None:
            self._context.destroy(linger=0)
