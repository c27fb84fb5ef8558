"""From an image and what a person asked for to settings that a kernel can be started with.

What is asked for wins over the image's labels, and those over the defaults. A label is a stranger's
word: it can ask for less than the default gives, and never for more.
"""

from __future__ import annotations

import importlib.resources
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ipycontainer.failures import Failure, Usage
from ipycontainer.transfers import pull
from ipycontainer_kernel.brought import Brought, brought
from ipycontainer_kernel.settings import KINDS, Settings, valid_name

if TYPE_CHECKING:
    from ipycontainer.session import Session

LABELS: Final = "org.ipycontainer.kernel."
"""Of an image: memory, cpus, network, notebook, workdir, user, display-name, kind and spec."""
_LABELLED: Final = ("memory", "cpus", "workdir", "user", "display_name", "kind", "spec")
_ONLY: Final = {"network": ("none",), "notebook": ("none", "ro")}


@dataclass(frozen=True)
class Resolved:
    """Settings, and what the kernelspec says besides."""

    settings: Settings
    language: str = ""
    icons: dict[str, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def resolve(session: Session, asked: Mapping[str, Any], *, renew: bool = False) -> Resolved:
    """Return what becomes of `asked`, fields of `Settings` where those that were not given lack.

    The image is pulled where it is missing; with `renew`, where a registry has it. Raises
    `Failure` for what cannot be a kernel.
    """
    if asked.get("kind") == "dockerfile":
        return _as_dockerfile(asked)
    image = str(asked["image"])
    details = _image(session, image, renew=renew)
    labels = (details.get("Config") or {}).get("Labels") or {}
    notes, fields = _from_labels(labels)
    fields |= {name: value for name, value in asked.items() if value not in (None, (), {})}
    fields["digest"] = _digest(image, details)
    fields["name"] = str(fields.get("name") or _name(image)).lower()
    if not valid_name(fields["name"]):
        raise Usage(f"--name {fields['name']!r}: use letters, digits, dots, dashes and underscores")
    fields.setdefault("display_name", f"{image} (container)")
    _check_memory(fields.get("memory", ""))
    return _of_kind(session, fields, [*notes])


def _as_dockerfile(asked: Mapping[str, Any]) -> Resolved:
    """Return the kernel that runs on this computer and has no container of its own."""
    own = {"kind", "name", "display_name", "image", "notebook"}
    if more := sorted(name for name, value in asked.items() if value and name not in own):
        raise Usage(
            f"--kind dockerfile has no container, so no {more[0]}: %options in a cell has flags of"
            " `build`"
        )
    name = str(asked.get("name") or "dockerfile")
    title = str(asked.get("display_name") or "Dockerfile")
    if not valid_name(name):
        raise Usage(f"--name {name!r}: use letters, digits, dots, dashes and underscores")
    settings = Settings("", kind="dockerfile", name=name, display_name=title)
    return Resolved(settings, icons=icons("container"))


def _image(session: Session, image: str, *, renew: bool) -> dict[str, Any]:
    from docker.errors import APIError, ImageNotFound

    with session.naming(image):
        try:
            details: dict[str, Any] = session.api.inspect_image(image)
        except ImageNotFound:
            session.surface.note(f"Unable to find image '{image}' here; pulling it")
            pull(session, image, aside=True)
            return dict(session.api.inspect_image(image))
    # What was never pulled is not asked for: it was built or captured here.
    if renew and (details.get("RepoDigests") or image == "host"):
        try:
            pull(session, image, aside=True)
        except (APIError, Failure) as error:
            session.surface.note(f"{image} stays as it is here: {session.explained(error)}")
        details = session.api.inspect_image(image)
    return details


def _digest(image: str, details: Mapping[str, Any]) -> str:
    """Return the name by digest under which a registry has the image, else its id."""
    from docker.utils import parse_repository_tag

    repository, _ = parse_repository_tag(image)
    for known in details.get("RepoDigests") or ():
        if known.partition("@")[0] == repository:
            return str(known)
    return str(details["Id"])


def _name(image: str) -> str:
    last = image.partition("@")[0].rpartition("/")[2].removesuffix(":latest")
    return re.sub(r"[^a-z0-9._-]+", "-", last.lower()).strip("-.") or "container"


def _from_labels(labels: Mapping[str, str]) -> tuple[list[str], dict[str, Any]]:
    """Return what labels ask for, and notes of what they may not."""
    found: dict[str, Any] = {}
    notes = []
    for label, value in labels.items():
        if not label.startswith(LABELS):
            continue
        name = label.removeprefix(LABELS).replace("-", "_")
        if name in _LABELLED or value in _ONLY.get(name, ()):
            found[name] = value
        else:
            notes.append(f"the image's label {label}={value} is not followed: ask for it by a flag")
    if "cpus" in found:
        text = found.pop("cpus")
        try:
            found["cpus"] = Settings.from_json({"image": "-", "cpus": float(text)}).cpus
        except (ValueError, Failure):  # nan and inf are numbers to Python
            notes.append(f"the image's label {LABELS}cpus={text} is no number of CPUs")
    return notes, found


def _of_kind(session: Session, fields: dict[str, Any], notes: list[str]) -> Resolved:
    """Choose the kind where nobody has, and take what belongs to it."""
    kind, wanted = fields.get("kind"), fields.get("spec")
    if kind not in (None, "", *KINDS):
        raise Usage(f"--kind {kind!r}: use one of {', '.join(KINDS)}")
    if kind in (None, "", "image"):
        specs = [spec for spec in brought(session, fields["image"]) if not spec.is_ipykernel]
        found = _chosen(specs, fields["image"], wanted, needed=kind == "image")
        if found is not None:
            return _as_brought(fields, found, notes)
        if specs:
            names = ", ".join(spec.name for spec in specs)
            notes.append(f"the image also brings the kernels {names}: --spec NAME takes one")
    settings = Settings(**{**fields, "kind": kind or "python"})
    if settings.kind == "python":
        return _as_python(session, settings, notes, chosen=bool(kind))
    return Resolved(settings, icons=icons("container"), notes=tuple(notes))


def _chosen(
    specs: list[Brought], image: str, wanted: str | None, *, needed: bool
) -> Brought | None:
    """Return the one that was asked for by name, else an image's only one."""
    names = ", ".join(spec.name for spec in specs) or "none"
    if wanted:
        for spec in specs:
            if spec.name == wanted:
                return spec
        raise Failure(f"image {image} brings no kernel {wanted!r}; it brings: {names}")
    if len(specs) == 1:
        return specs[0]
    if needed:
        raise Failure(f"--kind image: give --spec NAME; image {image} brings: {names}")
    return None


def _as_brought(fields: dict[str, Any], spec: Brought, notes: list[str]) -> Resolved:
    settings = Settings(
        **{
            **fields,
            "kind": "image",
            "spec": spec.name,
            "argv": spec.argv,
            "interrupt_mode": spec.interrupt_mode,
            "env": {**spec.env, **fields.get("env", {})},
        }
    )
    shown = spec.icons or icons("container")
    return Resolved(settings, spec.language, shown, tuple(notes))


def _as_python(session: Session, settings: Settings, notes: list[str], *, chosen: bool) -> Resolved:
    from ipycontainer_kernel.inject import NoPython, prepare

    try:
        made = prepare(session.client, settings.reference, replace(settings, wheels=()))
    except NoPython:
        if chosen:
            raise
        told = (*notes, f"{settings.image} has no python3, so this is a shell kernel")
        return Resolved(replace(settings, kind="shell"), icons=icons("container"), notes=told)
    wheels = tuple(dict(wheel) for wheel in made.wheels)
    if made.place:
        notes = [
            *notes,
            f"the image has no python3 on its PATH, so the kernel is {made.place}: `-e"
            " PATH=FOLDER:…` chooses another, and lets cells' commands find it",
        ]
    return Resolved(replace(settings, wheels=wheels), icons=icons("python"), notes=tuple(notes))


def icons(language: str) -> dict[str, bytes]:
    """Return the icons of a kernelspec: Python's, as ipykernel has them, or a container."""
    package = "ipykernel.resources" if language == "python" else "ipycontainer_kernel.icons"
    folder = importlib.resources.files(package)
    return {
        entry.name: entry.read_bytes()
        for entry in folder.iterdir()
        if entry.name.startswith("logo-")
    }


def _check_memory(text: str) -> None:
    from docker.errors import DockerException
    from docker.utils import parse_bytes

    try:
        wrong = parse_bytes(text or "0") < 0
    except DockerException:
        wrong = True
    if wrong:
        raise Usage(f"--memory {text!r}: write a number and its unit: 500m, 2g")


def absolute(volume: str) -> str:
    """Return `SOURCE:TARGET[:OPTIONS]` with a folder's source absolute; a volume's name stays."""
    source, colon, rest = volume.partition(":")
    if not colon or not rest.startswith("/"):
        raise Usage(f"-v {volume!r}: write SOURCE:TARGET, or SOURCE:TARGET:ro")
    if source.startswith(("/", ".", "~")):
        source = os.path.abspath(Path(source).expanduser())
    return f"{source}:{rest}"
