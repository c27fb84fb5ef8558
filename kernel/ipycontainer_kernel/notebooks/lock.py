"""`lock`: what a notebook is to say of its sandbox, so that it can be had again elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ipycontainer_kernel.notebooks.claims import SECRETS
from ipycontainer_kernel.notebooks.secrets import looks_secret
from ipycontainer_kernel.settings import KEY, Settings


@dataclass(frozen=True)
class Lock:
    """What is written, and what a person should know of it."""

    metadata: dict[str, Any]
    notes: tuple[str, ...]

    def put(self, notebook: Any) -> None:
        """Write it into a notebook."""
        notebook["metadata"][KEY] = self.metadata


def lock(settings: Settings, folder: Path | None) -> Lock:
    """Return the lock of a sandbox, for a notebook in `folder`; its image must be resolved."""
    notes: list[str] = []
    if "@" not in settings.digest:
        notes.append(
            f"{settings.image} has no digest of a registry, so it is named by its id: push it where"
            " others can pull it, and lock again, or they cannot have it"
        )
    env, secrets = _environment(settings, notes)
    volumes = tuple(_portable(settings, folder, notes))
    metadata = replace(settings, name="", volumes=volumes, env=env).to_json()
    if secrets:
        metadata[SECRETS] = secrets
    return Lock(metadata, tuple(notes))


def _environment(settings: Settings, notes: list[str]) -> tuple[dict[str, str], list[str]]:
    secrets = [name for name, value in settings.env.items() if looks_secret(name, value)]
    if secrets:
        notes.append(
            f"{', '.join(secrets)}: looks like a secret, so the value is not written; give it with"
            f" -e {secrets[0]} where the notebook runs"
        )
    return {name: value for name, value in settings.env.items() if name not in secrets}, secrets


def _portable(settings: Settings, folder: Path | None, notes: list[str]) -> Iterator[str]:
    """Yield mounts: those of the notebook's folder relative to it, the others as they are."""
    for text in settings.volumes:
        source, _, rest = text.partition(":")
        if not source.startswith("/"):
            if not source.startswith("."):
                notes.append(f"the volume {source!r} is this machine's: others have it empty")
            yield text
            continue
        there = os.path.realpath(source)
        here = os.path.realpath(folder) if folder is not None else None
        if here is not None and os.path.commonpath([here, there]) == here:
            yield f"./{os.path.relpath(there, here)}:{rest}"
            continue
        notes.append(
            f"the mount {text!r} is not portable: {source} is outside the notebook's folder"
        )
        yield text
