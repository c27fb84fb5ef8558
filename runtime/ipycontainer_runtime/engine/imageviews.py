"""Images in the shapes of the Engine API, versions 1.24 to 1.50: pure functions of records."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from msgspec import UNSET

from ipycontainer_runtime.engine.times import parse_rfc3339
from ipycontainer_runtime.oci.model import ContainerConfig, History
from ipycontainer_runtime.store.images import ImageRecord
from ipycontainer_runtime.store.layers import LayerStore
from ipycontainer_runtime.store.records import NEVER, Config

Version = tuple[int, int]

DRIVER = "overlay2"
# The versions in which Docker dropped a field or a habit.
_NO_NONE_NAMES = (1, 43)
_NO_VIRTUAL_SIZE = (1, 44)
_NO_CONTAINER_CONFIG = (1, 45)
_NO_CONTAINER_FIELDS = (1, 50)


def epoch(created: str | None) -> int:
    """Return a config's time in seconds since 1970; 0 where it has none, or none that is one."""
    try:
        return parse_rfc3339(created or "") // 1_000_000_000
    except ValueError:
        return 0


def summary(
    record: ImageRecord, *, size: int, containers: int, shared: int, version: Version
) -> dict[str, Any]:
    """Return one element of GET /images/json; `containers` and `shared` are -1 where unknown."""
    names, digests = list(record.names), list(record.repo_digests)
    if version < _NO_NONE_NAMES and not names:
        names = ["<none>:<none>"]
        digests = digests or ["<none>@<none>"]
    shape: dict[str, Any] = {
        "Containers": containers,
        "Created": epoch(record.created),
        "Id": record.id,
        "Labels": record.config.defaults.labels,
        "ParentId": record.parent,
        "RepoDigests": digests,
        "RepoTags": names,
        "SharedSize": shared,
        "Size": size,
    }
    return _sized(shape, size, version)


def inspection(
    record: ImageRecord, *, size: int, folders: Sequence[Path], version: Version
) -> dict[str, Any]:
    """Return GET /images/{name}/json; `folders` are the unpacked layers, lowest first."""
    image = record.config
    shape: dict[str, Any] = {
        "Id": record.id,
        "RepoTags": list(record.names),
        "RepoDigests": list(record.repo_digests),
        "Parent": record.parent,
        "Comment": image.comment or _last_comment(image.history),
        "Created": image.created or NEVER,
        **_container_fields(image.container, version),
        "DockerVersion": image.docker_version,
        "Author": image.author,
        "Config": config(image.defaults, version),
        "Architecture": image.architecture,
        **({"Variant": image.variant} if image.variant else {}),
        "Os": image.os,
        **({"OsVersion": image.os_version} if image.os_version else {}),
        "Size": size,
        "GraphDriver": _driver(folders),
        "RootFS": {"Type": "layers", "Layers": list(image.rootfs.diff_ids)},
        "Metadata": {"LastTagTime": NEVER},
    }
    return _sized(shape, size, version)


def config(defaults: ContainerConfig, version: Version) -> Any:
    """Return an image's Config; before 1.50 with the fields that only a container has."""
    if version >= _NO_CONTAINER_FIELDS:
        return defaults
    return Config(
        user=defaults.user,
        exposed_ports=defaults.exposed_ports or UNSET,
        env=defaults.env,
        cmd=defaults.cmd,
        healthcheck=defaults.healthcheck or UNSET,
        args_escaped=defaults.args_escaped or UNSET,
        volumes=defaults.volumes,
        working_dir=defaults.working_dir,
        entrypoint=defaults.entrypoint,
        on_build=defaults.on_build,
        labels=defaults.labels,
        stop_signal=defaults.stop_signal or UNSET,
        shell=defaults.shell or UNSET,
    )


def history(
    record: ImageRecord, sizes: Sequence[int], line: Sequence[ImageRecord]
) -> list[dict[str, Any]]:
    """Return GET /images/{name}/history, newest first.

    `sizes` are the layers' own, lowest first; `line` is the image and those it was committed or
    built from, which are the only ones whose ids and tags are known.
    """
    left = iter(sizes)
    steps = [_step(entry, 0 if entry.empty_layer else next(left, 0)) for entry in _steps(record)]
    steps.reverse()
    for known in line:
        later = len(steps) - len(_steps(known))
        if 0 <= later < len(steps):
            steps[later] |= {"Id": known.id, "Tags": list(known.names) or None}
    return steps


def layers_with_steps(
    chain: Sequence[str], record: ImageRecord | None, layers: LayerStore
) -> list[dict[str, Any]]:
    """Return the layers of a chain, lowest first, each with its size and the step that made it.

    Without a record, since the image was removed by force, the steps are empty; a layer that is
    not unpacked has the size 0.
    """
    made = [step for step in _steps(record) if not step.empty_layer] if record else []
    diff_ids = record.config.rootfs.diff_ids if record else ()
    return [
        {
            "Digest": diff_ids[number] if number < len(diff_ids) else "",
            "ChainId": chain_id,
            "Size": layers.total([chain_id]),
            "CreatedBy": made[number].created_by if number < len(made) else "",
            "Created": epoch(made[number].created) if number < len(made) else 0,
            "Comment": made[number].comment if number < len(made) else "",
        }
        for number, chain_id in enumerate(chain)
    ]


def _steps(record: ImageRecord) -> Sequence[History]:
    return record.config.history or ()


def _step(entry: History, size: int) -> dict[str, Any]:
    return {
        "Comment": entry.comment,
        "Created": epoch(entry.created),
        "CreatedBy": entry.created_by,
        "Id": "<missing>",
        "Size": size,
        "Tags": None,
    }


def lineage(record: ImageRecord, find: Callable[[str], ImageRecord | None]) -> list[ImageRecord]:
    """Return an image and the images it was committed from, as far as they are still here."""
    line = [record]
    while line[-1].parent and (parent := find(line[-1].parent)) is not None:
        if parent in line:
            break
        line.append(parent)
    return line


def _last_comment(steps: Sequence[History] | None) -> str:
    return steps[-1].comment if steps else ""


def _container_fields(container: str, version: Version) -> dict[str, Any]:
    if version >= _NO_CONTAINER_CONFIG:
        return {}
    return {"Container": container, "ContainerConfig": Config()}


def _driver(folders: Sequence[Path]) -> dict[str, Any]:
    *lower, top = folders or ("",)
    data = {"UpperDir": str(top)}
    if lower:
        data["LowerDir"] = ":".join(str(folder) for folder in reversed(lower))
    return {"Data": data, "Name": DRIVER}


def _sized(shape: dict[str, Any], size: int, version: Version) -> dict[str, Any]:
    if version < _NO_VIRTUAL_SIZE:
        shape["VirtualSize"] = size
    return shape
