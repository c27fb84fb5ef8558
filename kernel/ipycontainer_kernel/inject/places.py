"""Pythons that an image has off its PATH: in the places where people install one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from ipycontainer.copying import Place, path_stat
from ipycontainer.failures import Failure
from ipycontainer.sandbox.sessions import own_session

if TYPE_CHECKING:
    from ipycontainer_kernel.inject.throwaway import Trial

_PREFIXES: Final = ("/opt/venv", "/venv", "/opt/conda", "/opt/python", "/usr/local", "/usr")


def off_path(trial: Trial) -> Iterator[str]:
    """Yield the paths of Pythons in the usual places, those of programs' own environments first.

    Nothing is run: the engine tells what is there.
    """
    session = own_session(trial.client)
    config = session.api.inspect_image(trial.image)["Config"] or {}
    folder = str(config.get("WorkingDir") or "").rstrip("/")
    made = session.api.create_container(trial.image, [], entrypoint=["none"])
    try:
        for prefix in (f"{folder}/.venv", *_PREFIXES):
            path = f"{prefix}/bin/python3"
            with suppress(Failure):  # below what is a file
                if path_stat(session, Place(made["Id"], path)) is not None:
                    yield path
    finally:
        session.api.remove_container(made["Id"], v=True, force=True)
