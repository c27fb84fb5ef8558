"""The preferences as traits, which `%config` shows and sets and configuration files name."""

from __future__ import annotations

import re
from typing import Any

from traitlets import Dict, Enum, Float, Int, TraitError, Unicode, validate
from traitlets.config import Config, Configurable

from .failures import Failure, Usage
from .preferences import OUTPUT_LINES, PREFERENCES, Preferences
from .words import split

_SIZE = re.compile(r"\d+(\.\d+)?\s*([kmgt]i?)?b?", re.IGNORECASE)


class IPyContainer(Configurable):
    """What the verbs of `%container` begin with; a flag that is typed wins."""

    image = Unicode("", help="The image of `run`, `create` and sandboxes where none is named.").tag(
        config=True
    )
    memory = Unicode("", help="Limit the memory of containers: 512m, 1g.").tag(config=True)
    cpus = Float(None, allow_none=True, help="Limit containers to this many CPUs.").tag(config=True)
    pids_limit = Int(None, allow_none=True, help="Limit the processes of a container.").tag(
        config=True
    )
    profiles = Dict(
        value_trait=Unicode(),
        key_trait=Unicode(),
        help="Flags by name, for `--profile NAME`: {'small': '--memory 64m --cpus 0.5'}.",
    ).tag(config=True)
    display = Enum(["rich", "text"], "rich", help="How things are shown: rich, or text alone.").tag(
        config=True
    )
    output_lines = Int(OUTPUT_LINES, help="How many lines of output a cell shows.").tag(config=True)

    @classmethod
    def made(cls, config: Config) -> IPyContainer:
        """Return the preferences in `config`; raises `Failure` naming what cannot be one."""
        try:
            return cls(config=config)
        except TraitError as error:
            raise Failure(f"a preference in {', '.join(config)}: {error}") from error

    def current(self) -> Preferences:
        """Return the preferences as they stand."""
        return Preferences(**{name: getattr(self, name) for name in PREFERENCES})

    @validate("memory")
    def _check_memory(self, proposal: dict[str, Any]) -> str:
        value = str(proposal["value"])
        if value and not _SIZE.fullmatch(value):
            raise TraitError(f"IPyContainer.memory: {value!r} is no size; write 512m or 1g")
        return value

    @validate("cpus", "pids_limit", "output_lines")
    def _check_number(self, proposal: dict[str, Any]) -> Any:
        name, value = proposal["trait"].name, proposal["value"]
        if value is not None and value <= 0:
            raise TraitError(f"IPyContainer.{name}: {value} is not above 0; None is no limit")
        return value

    @validate("profiles")
    def _check_profiles(self, proposal: dict[str, Any]) -> dict[str, str]:
        for name, words in proposal["value"].items():
            try:
                split(words, {})
            except Usage as error:
                raise TraitError(f"IPyContainer.profiles[{name!r}]: {error}") from error
        return dict(proposal["value"])
