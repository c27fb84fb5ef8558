"""A notebook's sandbox as a kernel of this person's: found where it is installed, or installed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

from ipycontainer.failures import Failure
from ipycontainer_kernel.resolving import icons
from ipycontainer_kernel.settings import KEY, Settings
from ipycontainer_kernel.specs import Place, write

if TYPE_CHECKING:
    from jupyter_client.kernelspec import KernelSpecManager


def installed(specs: KernelSpecManager, settings: Settings) -> str:
    """Return the name of a kernel with just these settings, or an empty string."""
    wanted = _nameless(settings)
    for name, found in specs.get_all_specs().items():
        said = found["spec"].get("metadata", {}).get(KEY)
        if said is None:
            continue
        try:
            if _nameless(Settings.from_json(said)) == wanted:
                return str(name)
        except Failure:
            continue  # somebody else's use of the key
    return ""


def named(settings: Settings) -> Settings:
    """Return settings with a name of their own: the file's word for it could be any kernel's."""
    content = json.dumps(_nameless(settings).to_json(), sort_keys=True).encode()
    short = settings.image.rpartition("/")[2].partition("@")[0].replace(":", "-")[:40]
    return replace(
        settings,
        name=f"sandbox-{hashlib.sha256(content).hexdigest()[:12]}",
        display_name=f"{short} (a notebook's sandbox)",
    )


def install(specs: KernelSpecManager, settings: Settings) -> str:
    """Make a kernel of these settings for this person, unless there is one, and return its name."""
    if name := installed(specs, settings):
        return name
    wanted = named(settings)
    language = "python" if wanted.kind == "python" else "container"
    write(wanted, Place.of_user(), icons=icons(language))
    return wanted.name


def _nameless(settings: Settings) -> Settings:
    return replace(settings, name="", display_name="")
