"""The Dockerfile instructions that `commit --change` takes: each changes an image's config.

Forms as in Docker's Dockerfile reference: JSON arrays or shell text for CMD, ENTRYPOINT and VOLUME;
`NAME=value …` or `NAME value` for ENV and LABEL. Variables are not expanded: `$PATH` stays `$PATH`.
"""

import json
import posixpath
import re
import shlex
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.oci.model import ContainerConfig, Healthcheck
from ipycontainer_runtime.store.records import Config

_SHELL = ("/bin/sh", "-c")
_NANOSECONDS = {"h": 3600 * 10**9, "m": 60 * 10**9, "s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|us|ns|s)")


def apply(changes: Sequence[str], shell: Sequence[str] | None, working_dir: str) -> Config:
    """Return the config that the instructions ask for, nothing but what they name.

    `shell` and `working_dir` are those of the container: shell forms run in the one, a relative
    WORKDIR starts from the other. InvalidParameter names the instruction that cannot be taken.
    """
    asked = Config(working_dir=working_dir)
    for change in changes:
        name, _, rest = change.strip().partition(" ")
        instruction = _INSTRUCTIONS.get(name.upper())
        if instruction is None:
            raise InvalidParameter(f"{name} is not a valid change command: {_known()}")
        if not rest.strip():
            raise InvalidParameter(f"{name.upper()} requires an argument, as in {instruction.form}")
        try:
            instruction.change(asked, rest.strip(), shell or _SHELL)
        except ValueError as error:
            raise InvalidParameter(
                f"{change.strip()}: {error}; it is written {instruction.form}"
            ) from error
    return asked


def image_config(config: Config) -> ContainerConfig:
    """Return the part of a container's config that its image keeps."""
    return ContainerConfig(
        user=config.user,
        exposed_ports=config.exposed_ports or None,
        env=config.env,
        entrypoint=_list(config.entrypoint),
        cmd=_list(config.cmd),
        volumes=config.volumes,
        working_dir=config.working_dir,
        labels=config.labels or None,
        stop_signal=config.stop_signal or "",
        stop_timeout=config.stop_timeout or None,
        healthcheck=config.healthcheck or None,
        shell=config.shell or None,
        on_build=config.on_build,
    )


def _list(words: Sequence[str] | str | None) -> list[str] | None:
    return [words] if isinstance(words, str) else list(words) if words else None


def _json_words(text: str) -> list[str] | None:
    """Return the words of a JSON array of strings; None for anything else, which is shell text."""
    if not text.startswith("["):
        return None
    try:
        words = json.loads(text)
    except ValueError:
        return None
    return words if all(isinstance(word, str) for word in words) else None


def _command(text: str, shell: Sequence[str]) -> list[str]:
    words = _json_words(text)
    return [*shell, text] if words is None else words


def _pairs(text: str) -> dict[str, str]:
    words = shlex.split(text)
    if "=" not in words[0]:
        name, blank, value = text.partition(" ")
        if not blank or not words[0]:
            raise ValueError(f"{words[0]!r} alone is no name with a value")
        return {name: value.strip()}
    pairs = [word.partition("=") for word in words]
    for name, equals, value in pairs:
        if not equals or not name:
            raise ValueError(f"{name or equals + value!r} is no NAME=value")
    return {name: value for name, _, value in pairs}


def _cmd(config: Config, text: str, shell: Sequence[str]) -> None:
    config.cmd = _command(text, shell)


def _entrypoint(config: Config, text: str, shell: Sequence[str]) -> None:
    config.entrypoint = _command(text, shell)


def _env(config: Config, text: str, _shell: Sequence[str]) -> None:
    known = dict(entry.split("=", 1) for entry in config.env or ())
    config.env = [f"{name}={value}" for name, value in (known | _pairs(text)).items()]


def _label(config: Config, text: str, _shell: Sequence[str]) -> None:
    config.labels = {**(config.labels or {}), **_pairs(text)}


def _expose(config: Config, text: str, _shell: Sequence[str]) -> None:
    ports = dict(config.exposed_ports or {})
    for word in text.split():
        port, _, protocol = word.partition("/")
        if not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError(f"{word} is no port")
        ports[f"{port}/{protocol.lower() or 'tcp'}"] = {}
    config.exposed_ports = ports


def _on_build(config: Config, text: str, _shell: Sequence[str]) -> None:
    config.on_build = [*(config.on_build or ()), text]


def _stop_signal(config: Config, text: str, _shell: Sequence[str]) -> None:
    config.stop_signal = text


def _user(config: Config, text: str, _shell: Sequence[str]) -> None:
    config.user = text


def _volume(config: Config, text: str, _shell: Sequence[str]) -> None:
    paths = _json_words(text) or shlex.split(text)
    config.volumes = {**(config.volumes or {}), **{path: {} for path in paths}}


def _workdir(config: Config, text: str, _shell: Sequence[str]) -> None:
    config.working_dir = posixpath.normpath(posixpath.join(config.working_dir or "/", text))


def _healthcheck(config: Config, text: str, shell: Sequence[str]) -> None:
    options: dict[str, str] = {}
    while text.startswith("--"):
        option, _, text = text.partition(" ")
        name, _, options[name] = option[2:].partition("=")
        text = text.lstrip()
    kind, _, rest = text.partition(" ")
    if kind.upper() == "NONE" and not rest:
        config.healthcheck = Healthcheck(test=["NONE"])
        return
    if kind.upper() != "CMD" or not rest.strip():
        raise ValueError("neither NONE nor CMD with a command")
    words = _json_words(rest.strip())
    config.healthcheck = Healthcheck(
        test=["CMD-SHELL", rest.strip()] if words is None else ["CMD", *words],
        interval=_duration(options.pop("interval", "0s")),
        timeout=_duration(options.pop("timeout", "0s")),
        start_period=_duration(options.pop("start-period", "0s")),
        retries=int(options.pop("retries", "0")),
    )
    if options:
        raise ValueError(f"unknown flag --{next(iter(options))}")


def _duration(text: str) -> int:
    """Return nanoseconds of Go's notation, such as 1m30s."""
    if text in ("0", "0s"):
        return 0
    if _DURATION.sub("", text) or not text:
        raise ValueError(f"{text!r} is no duration")
    return int(sum(float(n) * _NANOSECONDS[unit] for n, unit in _DURATION.findall(text)))


class _Instruction(NamedTuple):
    change: Callable[[Config, str, Sequence[str]], None]
    form: str


_INSTRUCTIONS = {
    "CMD": _Instruction(_cmd, 'CMD ["program", "argument"]'),
    "ENTRYPOINT": _Instruction(_entrypoint, 'ENTRYPOINT ["program"]'),
    "ENV": _Instruction(_env, "ENV NAME=value"),
    "EXPOSE": _Instruction(_expose, "EXPOSE 80 53/udp"),
    "HEALTHCHECK": _Instruction(_healthcheck, "HEALTHCHECK --interval=30s CMD test"),
    "LABEL": _Instruction(_label, 'LABEL name="a value"'),
    "ONBUILD": _Instruction(_on_build, "ONBUILD RUN make"),
    "STOPSIGNAL": _Instruction(_stop_signal, "STOPSIGNAL SIGINT"),
    "USER": _Instruction(_user, "USER name:group"),
    "VOLUME": _Instruction(_volume, "VOLUME /data"),
    "WORKDIR": _Instruction(_workdir, "WORKDIR /work"),
}


def _known() -> str:
    return f"use one of {', '.join(_INSTRUCTIONS)}"
