"""What an image says of its capture: its config, its history and its labels."""

import contextlib
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from ipycontainer_runtime import __version__
from ipycontainer_runtime.capture.grouping import Group
from ipycontainer_runtime.capture.plan import RESERVED, Plan, Request
from ipycontainer_runtime.capture.system import SEARCH_PATH
from ipycontainer_runtime.engine.capturing.layers import Written
from ipycontainer_runtime.oci import model
from ipycontainer_runtime.oci import platform as platforms
from ipycontainer_runtime.store.images import ImageRecord

LAYERS = "io.ipycontainer.capture.layers"
"""Which distributions are in which layer: a JSON list of {"name", "members"}, lowest first."""
LOCK = "io.ipycontainer.capture.lock"
"""The text of the image's pylock.toml."""
ENVIRONMENT = "io.ipycontainer.capture.environment"
"""The folder of the environment that was captured."""
_NAME = re.compile(r"(conda:)?[a-z0-9._-]{1,100}")
_MOST_GROUPS = 64  # a capture makes no more than 40
_DESCRIPTION = "org.opencontainers.image.description"


class _Layer(msgspec.Struct, omit_defaults=True):
    name: str
    members: tuple[str, ...] = ()


def config(
    plan: Plan, request: Request, layers: Sequence[Written], created: str, *, everywhere: bool
) -> model.ImageConfig:
    """Return the config of an image of these layers; `everywhere` they are as old as the image."""
    host = platforms.host()
    history = tuple(
        model.History(
            created=created if everywhere else one.layer.created,
            created_by=f"capture {one.part.name}: {one.part.title}",
            comment="with the lock" if one.layer.carries else "",
        )
        for one in layers
    )
    return model.ImageConfig(
        architecture=host.architecture,
        os=host.os,
        variant=host.variant or "",
        created=created,
        rootfs=model.RootFs(diff_ids=tuple(one.layer.diff_id for one in layers)),
        config=model.ContainerConfig(
            env=_environment(plan, request),
            cmd=["python3"],
            working_dir=_working_dir(request),
            labels=_labels(plan, layers),
        ),
        history=history,
    )


def layers(written: Sequence[Written]) -> list[model.Descriptor]:
    """Return the layers of an image's manifest."""
    return [
        model.Descriptor(model.OCI_LAYER_GZIP, one.layer.digest, one.layer.size) for one in written
    ]


def groups(record: ImageRecord) -> list[Group]:
    """Return which distributions an earlier capture put into which layer; none for others.

    The image may be a pulled one, and say anything.
    """
    labels = record.config.defaults.labels or {}
    with contextlib.suppress(msgspec.MsgspecError):
        layers = msgspec.json.decode(labels.get(LAYERS, "[]"), type=list[_Layer])
        if len(layers) <= _MOST_GROUPS and all(map(_is_ours, layers)):
            return [Group(one.name, one.members) for one in layers if one.members]
    return []


def _is_ours(layer: _Layer) -> bool:
    """Tell whether a capture would call a layer so: by a distribution, or by what we count."""
    named = not layer.members or layer.name not in RESERVED
    return named and _NAME.fullmatch(layer.name) is not None


def environment(record: ImageRecord) -> str:
    """Return the folder of the environment that an image was captured from."""
    return (record.config.defaults.labels or {}).get(ENVIRONMENT, "")


def told(layers: Sequence[Written]) -> list[dict[str, Any]]:
    """Return a row for each layer, for those who show what a capture did."""
    return [
        {
            "Name": one.part.name,
            "Title": one.part.title,
            "State": "reused" if one.reused else "new",
            "Files": one.part.tree.count,
            "Size": one.part.tree.size,
            "Digest": one.layer.digest,
            "Compressed": one.layer.size,
        }
        for one in layers
    ]


def _environment(plan: Plan, request: Request) -> list[str]:
    known = SEARCH_PATH.split(":")
    path = ":".join([*(p for p in plan.paths if p not in known), *known])
    found = [f"PATH={path}", "LANG=C.UTF-8", f"PYTHON_VERSION={plan.python.release}"]
    if plan.python.is_venv:
        found.append(f"VIRTUAL_ENV={plan.python.prefix}")
    if request.user:
        found.append(f"PYTHONUSERBASE={plan.python.user_base}")
    return found


def _working_dir(request: Request) -> str:
    return request.code[0].target if request.code and request.code[0].is_folder else ""


def _labels(plan: Plan, layers: Sequence[Written]) -> dict[str, str]:
    python, count = plan.python, len(plan.distributions)
    rows = [_Layer(one.part.name, one.part.members) for one in layers]
    return {
        ENVIRONMENT: python.prefix,
        LAYERS: msgspec.json.encode(rows).decode(),
        LOCK: plan.pylock,
        _DESCRIPTION: f"Python {python.release} with {count} distributions,"
        f" captured from {python.prefix} by ipycontainer {__version__}",
    }
