"""Images made of this machine's own environment, with no registry: `host`, and others by name.

`capture.plan` says what there is to take, `layers` finds or writes it, `describe` is the image's
config, and here is the use case: what may be asked, and what is said meanwhile.
"""

import asyncio
import functools
import sys
import threading
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ipycontainer_runtime.build.ignore import MAX_SIZE, Ignore
from ipycontainer_runtime.engine import progress
from ipycontainer_runtime.engine.composing import compose
from ipycontainer_runtime.engine.events import Events
from ipycontainer_runtime.engine.garbage import Garbage, Made
from ipycontainer_runtime.engine.progress import Progress, Say
from ipycontainer_runtime.engine.threads import to_its_end
from ipycontainer_runtime.engine.times import rfc3339
from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.layers.ownership import Ownership
from ipycontainer_runtime.oci.reference import Reference
from ipycontainer_runtime.store.blobs import BlobStore
from ipycontainer_runtime.store.captured import Captured
from ipycontainer_runtime.store.images import ImageRecord, ImageStore
from ipycontainer_runtime.store.layers import LayerStore

if TYPE_CHECKING:
    # Imported where they are used: the reader of ELF files would cost every start 30 ms.
    from ipycontainer_runtime.capture.code import Ignored
    from ipycontainer_runtime.capture.grouping import Group
    from ipycontainer_runtime.capture.plan import Plan, Request
    from ipycontainer_runtime.engine.capturing.layers import Writing, Written


HOST = "host"
"""The image that is always there: pulling it, or running it, captures the engine's own Python."""


@dataclass(frozen=True)
class CaptureRequest:
    """What to capture, and under which name."""

    reference: Reference
    python: str = ""
    """The path of an interpreter; the engine's own unless given."""
    code: tuple[str, ...] = ()
    """PATH or PATH:TARGET of the person's own code."""
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    user: bool = False
    dry_run: bool = False
    """Only tell what would be done."""
    created: str = ""
    """The time that the image and its history have, so that its id is the same anywhere."""


class Captures:
    """The captures of one engine; `python` is the interpreter taken unless another is named."""

    def __init__(
        self,
        *,
        blobs: BlobStore,
        image_store: ImageStore,
        layers: LayerStore,
        captured: Captured,
        garbage: Garbage,
        ownership: Ownership,
        events: Events,
        python: str = sys.executable,
    ) -> None:
        self._blobs = blobs
        self._image_store = image_store
        self._layers = layers
        self._kept = captured
        self._garbage = garbage
        self._ownership = ownership
        self._events = events
        self._python = python

    def pull(self, reference: Reference) -> AsyncGenerator[Progress, None]:
        """Capture the engine's own Python, as a pull of `host` does."""
        return self.capture(CaptureRequest(reference))

    def capture(self, request: CaptureRequest) -> AsyncGenerator[Progress, None]:
        """Make an image of an environment and name it; yield progress messages.

        The last but one is `{"aux": {"ID", "Layers", "Lock", "Left"}}`. Takes seconds. Raises
        InvalidParameter for what is no interpreter, distribution or path, or for a name with a
        digest; an abandoned or failed capture leaves nothing behind.
        """
        reference = request.reference
        if reference.digest:
            raise InvalidParameter(
                f"{reference.familiar} is not here, and no capture can be asked for by its digest, "
                f"which it gets when it is made: use {reference.familiar_name} alone"
            )
        return progress.told(functools.partial(self._capture, request))

    async def _capture(self, request: CaptureRequest, say: Say) -> None:
        from ipycontainer_runtime.capture.code import Code
        from ipycontainer_runtime.capture.plan import Request

        code = tuple(map(Code.parse, request.code))
        python = request.python or self._python
        asked = Request(python, code, request.include, request.exclude, request.user)
        say(progress.status(f"Capturing {python}", request.reference.familiar))
        given_up = threading.Event()
        planning = functools.partial(self._plan, asked, self._earlier(request.reference), given_up)
        plan = await to_its_end(planning, given_up.set)
        with self._garbage.making() as made:
            writing = self._writing(made, say)
            if request.dry_run:
                say({"aux": _aux(plan, writing.foreseen(plan), "")})
                return
            writes = functools.partial(writing.run, plan)
            written = await to_its_end(writes, writing.given_up.set)
            record = self._name(request, asked, plan, written, made)
        say(progress.status(f"Digest: {record.descriptor.digest}"))
        say({"aux": _aux(plan, written, record.id)})
        name = request.reference.familiar
        say(progress.status(f"Status: Captured {record.id[:19]} as {name}"))
        self._events.publish("image", "capture", record.id, {"name": name})

    def _plan(
        self,
        request: "Request",
        earlier: "dict[str, list[Group]]",
        given_up: threading.Event,
    ) -> "Plan":
        """Look at all that there is to take; GivenUp once that is set, as code may be large."""
        from ipycontainer_runtime.capture import plan
        from ipycontainer_runtime.engine.capturing.layers import GivenUp

        def ignored(folder: str) -> "Ignored":
            asked = _ignored(folder)

            def ask(path: str, is_folder: bool) -> bool:
                if given_up.is_set():
                    raise GivenUp
                return asked(path, is_folder)

            return ask

        return plan.plan(request, earlier, self._kept.needs(), ignored)

    def _earlier(self, reference: Reference) -> "dict[str, list[Group]]":
        """Return the layers of the last capture of each environment, that of this name first."""
        from ipycontainer_runtime.engine.capturing import describe

        named = self._image_store.find(reference.familiar)
        earlier: dict[str, list[Group]] = {}
        for record in (*((named,) if named else ()), *self._image_store.list()):
            if environment := describe.environment(record):
                earlier.setdefault(environment, describe.groups(record))
        return earlier

    def _writing(self, made: Made, say: Say) -> "Writing":
        from ipycontainer_runtime.engine.capturing.layers import Stores, Writing

        loop = asyncio.get_running_loop()
        stores = Stores(self._blobs, self._layers, self._kept, self._ownership)

        def say_there(message: Progress) -> None:
            loop.call_soon_threadsafe(say, message)

        return Writing(stores, made, say_there)

    def _name(
        self,
        asked: CaptureRequest,
        request: "Request",
        plan: "Plan",
        written: "Sequence[Written]",
        made: Made,
    ) -> ImageRecord:
        """Write config and manifest, and name the image; the same as before stays the same."""
        from ipycontainer_runtime.engine.capturing import describe

        before = self._before([one.layer.diff_id for one in written])
        created = asked.created or (before.created if before else rfc3339(time.time_ns()))
        config = describe.config(plan, request, written, created, everywhere=bool(asked.created))
        image = compose(config, describe.layers(written), blobs=self._blobs, made=made)
        return self._image_store.add(image.descriptor, [asked.reference])

    def _before(self, diff_ids: list[str]) -> ImageRecord | None:
        """Return a capture of these layers, and none of what was built on it and has them too."""
        for record in self._image_store.list():
            config = record.config
            same = list(config.rootfs.diff_ids) == diff_ids
            if same and len(config.history or ()) == len(diff_ids):
                return record
        return None


def _ignored(folder: str) -> "Ignored":
    """Return what the `.dockerignore` of a project leaves out."""
    try:
        # What it may have in all, so that one that has more is read no further and refused.
        with (Path(folder) / ".dockerignore").open(errors="surrogateescape") as file:
            text = file.read(MAX_SIZE + 1)
    except OSError:
        return lambda _path, _is_folder: False
    ignore = Ignore(text)
    # A `!` may let in again what lies in a folder that is left out.
    return lambda path, is_folder: ignore.excludes(path) and not (is_folder and ignore.lets_in)


def _aux(plan: "Plan", layers: "Sequence[Written]", identity: str) -> Progress:
    """Return what is told of a capture as data; a dry run has no ID."""
    from ipycontainer_runtime.engine.capturing import describe

    named = {"ID": identity} if identity else {}
    return {**named, "Layers": describe.told(layers), "Lock": plan.pylock, "Left": plan.left}
