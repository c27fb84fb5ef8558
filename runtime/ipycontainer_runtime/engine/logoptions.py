"""Log drivers and their options: checked, and completed with Docker's defaults."""

from ipycontainer_runtime.errors import InvalidParameter, NotImplementedHere
from ipycontainer_runtime.shim.logwriter import parse_size
from ipycontainer_runtime.store.records import LogConfig

DRIVERS = ("json-file", "local", "none")
_OPTIONS = {
    "max-size": "write 500k, 20m or 1g",
    "max-file": "write a number from 1 on",
    "compress": "write true or false",
    "mode": "write blocking, or leave it out",
}
_NOT_HERE = ("env", "env-regex", "labels", "labels-regex", "max-buffer-size", "tag")
_LOCAL = {"max-size": "20m", "max-file": "5", "compress": "true"}
_BOOLEANS = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}


def check_log(log: LogConfig) -> None:
    """Refuse drivers and options that this engine does not have, and values that are none."""
    driver = log.type or "json-file"
    if driver not in DRIVERS:
        raise NotImplementedHere(
            f'HostConfig.LogConfig "{driver}" is not supported yet: use {", ".join(DRIVERS)}'
        )
    given = log.config or {}
    for name, value in given.items():
        _check_option(driver, name, value)
    options = completed(log)
    bounded = "max-size" in options and int(options.get("max-file", "1")) > 1
    if driver == "json-file" and options["compress"] == "true" and not bounded:
        raise InvalidParameter(
            "compress cannot be true when max-file is less than 2 or max-size is not set"
        )


def _check_option(driver: str, name: str, value: str) -> None:
    if name in _NOT_HERE:
        raise NotImplementedHere(f"log opt '{name}' is not supported yet: leave it out")
    if name not in _OPTIONS:
        raise InvalidParameter(
            f"unknown log opt '{name}' for {driver} log driver: use {' or '.join(_OPTIONS)}"
        )
    if not _fits(name, value):
        raise InvalidParameter(f"invalid value {value!r} for {name}: {_OPTIONS[name]}")


def _fits(name: str, value: str) -> bool:
    try:
        if name == "max-size":
            return parse_size(value) > 0
        if name == "max-file":
            return int(value) > 0
    except ValueError:
        return False
    return value == "blocking" if name == "mode" else value.lower() in _BOOLEANS


def completed(log: LogConfig) -> dict[str, str]:
    """Return the options that a log is written with; `compress` is true or false."""
    options = {**(_LOCAL if log.type == "local" else {}), **(log.config or {})}
    packs = _BOOLEANS[options.get("compress", "false").lower()]
    # A log of one file has none that was rotated.
    packs = packs and (log.type != "local" or int(options["max-file"]) > 1)
    return {**options, "compress": "true" if packs else "false"}
