"""The flags of an instruction: `--name`, `--name=value`."""

from collections.abc import Mapping, Sequence

from ipycontainer_runtime.build.suggest import closest


class Flags:
    """The flags of one statement, of the kinds in `known`: "bool", "string" or "strings"."""

    def __init__(self, flags: Sequence[str], known: Mapping[str, str]) -> None:
        self._known = known
        self._given: dict[str, list[str]] = {}
        for flag in flags:
            self._take(flag)

    def _take(self, flag: str) -> None:
        name, equals, value = flag[2:].partition("=")
        kind = self._known.get(name)
        if kind is None:
            raise ValueError(f"unknown flag: --{name[:80]}{closest(name, self._known)}")
        if name in self._given and kind != "strings":
            raise ValueError(f"duplicate flag specified: {name}")
        if kind == "bool" and not equals:
            value = "true"
        elif not equals or (kind == "bool" and not value):
            raise ValueError(f"missing a value on flag: {name}")
        if kind == "bool" and value.lower() not in ("true", "false"):
            raise ValueError(f"expecting boolean value for flag {name}, not: {value[:80]}")
        self._given.setdefault(name, []).append(value)

    def text(self, name: str, otherwise: str = "") -> str:
        """Return a string's value, or `otherwise` where it is not given."""
        return self._given.get(name, [otherwise])[0]

    def texts(self, name: str) -> tuple[str, ...]:
        """Return every value of a flag that may be repeated."""
        return tuple(self._given.get(name, ()))

    def truth(self, name: str) -> bool | None:
        """Return a bool's value, None where it is not given."""
        return self._given[name][0].lower() == "true" if name in self._given else None
