"""The container of a shell kernel: it only holds the shell, and goes with the kernel's process."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from ipycontainer.failures import Failure
from ipycontainer_kernel.commands import Command
from ipycontainer_kernel.container import LABEL, UNNAMED, KernelContainer
from ipycontainer_kernel.requests import container_config, fetch
from ipycontainer_kernel.shell import script

if TYPE_CHECKING:
    from pathlib import Path

    from ipycontainer.session import Session
    from ipycontainer_kernel.settings import Settings


def held(settings: Settings, notebook: Path | None) -> KernelContainer:
    """Return a started container; `notebook` is the notebook's folder. Raises `Failure`.

    Its first process reads its input, which this process holds open, and ends with that.
    """
    from docker.errors import ImageNotFound

    container = KernelContainer(settings)
    session = container.session
    try:
        try:
            container.id = _create(session, settings, notebook)
        except ImageNotFound:
            fetch(session, settings)
            container.id = _create(session, settings, notebook)
        container.start()
    except Failure as failure:
        container.give_up()
        if failure.exit_code in (126, 127):
            raise Failure(
                f"image {settings.image} has no /bin/sh, which a shell kernel needs; `kernel"
                " install` makes another kind of kernel of it"
            ) from failure
        raise
    except Exception as error:
        container.give_up()
        raise session.explained(error) from error
    return container


def _create(session: Session, settings: Settings, notebook: Path | None) -> str:
    config = container_config(session, settings, Command(list(script.KEEPER)), notebook)
    config["Labels"] = {**(config["Labels"] or {}), LABEL: settings.name or UNNAMED}
    name = f"kernel-{settings.name or UNNAMED}-{secrets.token_hex(4)}"
    return str(session.api.create_container_from_config(config, name)["Id"])
