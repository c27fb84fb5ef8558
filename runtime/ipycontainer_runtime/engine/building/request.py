"""What POST /build is asked, by the query of the Engine API; what cannot be is refused by name."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from ipycontainer_runtime.errors import InvalidParameter, NotImplementedHere
from ipycontainer_runtime.oci import platform as platforms
from ipycontainer_runtime.oci.reference import Reference
from ipycontainer_runtime.store.records import HostConfig, Ulimit

Query = Mapping[str, Sequence[str]]
"""Each parameter with its values, in their order."""

_FALSE = ("", "0", "no", "false", "none")
_NUMBERS = {
    "memory": "memory",
    "memswap": "memory_swap",
    "cpushares": "cpu_shares",
    "cpuperiod": "cpu_period",
    "cpuquota": "cpu_quota",
    "shmsize": "shm_size",
}
_WORDS = {"cpusetcpus": "cpuset_cpus", "cpusetmems": "cpuset_mems", "isolation": "isolation"}
_REFUSED = {
    "squash": "the layers of an image are kept as its steps made them",
    "cgroupparent": "steps start in cgroups that were made ahead, all below one parent",
    "securityopt": "steps run with the defaults of containers",
    "session": "BuildKit's sessions are not spoken here",
}
_T = TypeVar("_T")


class Secrets(msgspec.Struct, frozen=True):
    """The header X-Ipycontainer-Build: what must reach a step and nothing else."""

    secrets: dict[str, str] = {}
    """The bytes of each, in base64."""
    ssh: dict[str, str] = {}
    """The path of an agent's socket on this machine."""

    def content(self, identity: str) -> bytes | None:
        """Return a secret's bytes, None where it was not given."""
        given = self.secrets.get(identity)
        if given is None:
            return None
        try:
            return base64.b64decode(given, validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidParameter(
                f"the secret {identity} is not in base64: send it again"
            ) from error


@dataclass(frozen=True)
class BuildRequest:
    """One build as it was asked for."""

    dockerfile: str = "Dockerfile"
    tags: tuple[Reference, ...] = ()
    remote: str = ""
    quiet: bool = False
    no_cache: bool = False
    cache_from: tuple[str, ...] = ()
    pull: bool = False
    target: str = ""
    platform: str = ""
    arguments: dict[str, str | None] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    host: HostConfig = field(default_factory=HostConfig)
    """Limits, network and hosts of the steps that run."""
    steps: bool = False
    """Whether progress is told by step rather than in the classic builder's words."""
    secrets: Secrets = field(default_factory=Secrets)
    auth: Mapping[str, object] = field(default_factory=dict)
    """X-Registry-Config: credentials by registry."""


def parse(query: Query, headers: Mapping[str, str]) -> BuildRequest:
    """Read the query and the headers of POST /build."""
    for name, reason in _REFUSED.items():
        if _text(query, name).lower() not in _FALSE:
            raise NotImplementedHere(f"build parameter {name} is not supported: {reason}")
    _refuse_outputs(query)
    if _text(query, "version") == "2":
        raise NotImplementedHere(
            "BuildKit's protocol is not spoken here: build with DOCKER_BUILDKIT=0"
        )
    platform = _text(query, "platform")
    if platform:
        platforms.parse(platform)
    return BuildRequest(
        dockerfile=_text(query, "dockerfile") or "Dockerfile",
        tags=_tags(query.get("t", ())),
        remote=_text(query, "remote"),
        quiet=_flag(query, "q"),
        no_cache=_flag(query, "nocache"),
        cache_from=tuple(_json(query, "cachefrom", list[str]) or ()),
        pull=_flag(query, "pull"),
        target=_text(query, "target"),
        platform=platform,
        arguments=_json(query, "buildargs", dict[str, str | None]) or {},
        labels=_json(query, "labels", dict[str, str]) or {},
        host=_host(query),
        steps=_text(query, "progress") == "steps",
        secrets=_header(headers, "X-Ipycontainer-Build", Secrets) or Secrets(),
        auth=_header(headers, "X-Registry-Config", dict[str, object]) or {},
    )


def _refuse_outputs(query: Query) -> None:
    outputs = _text(query, "outputs")
    if outputs and outputs != "[]" and outputs != "null":
        raise NotImplementedHere(
            "build parameter outputs is not supported: the image goes to this engine's store; "
            "`save` or `export` write it elsewhere"
        )


def _tags(names: Sequence[str]) -> tuple[Reference, ...]:
    found: dict[Reference, None] = {}
    for name in filter(None, names):
        reference = Reference.parse(name)
        if reference.digest:
            raise InvalidParameter(
                f"build tag cannot contain a digest: {name}: give it a tag, as in name:tag"
            )
        found[reference.canonical] = None
    return tuple(found)


def _host(query: Query) -> HostConfig:
    host = HostConfig()
    for name, attribute in _NUMBERS.items():
        if text := _text(query, name):
            try:
                setattr(host, attribute, int(text))
            except ValueError:
                raise InvalidParameter(
                    f'invalid {name} "{text}": a whole number is wanted'
                ) from None
    for name, attribute in _WORDS.items():
        setattr(host, attribute, _text(query, name))
    host.ulimits = _json(query, "ulimits", list[Ulimit]) or []
    # Once given as one text with commas, since then as several values.
    hosts = [line for text in query.get("extrahosts", ()) for line in text.split(",")]
    host.extra_hosts = list(filter(None, hosts)) or None
    host.network_mode = _text(query, "networkmode") or "default"
    return host


def _text(query: Query, name: str) -> str:
    values = query.get(name) or ("",)
    return values[-1]


def _flag(query: Query, name: str) -> bool:
    return _text(query, name).lower() not in _FALSE


def _json(query: Query, name: str, kind: type[_T]) -> _T | None:
    text = _text(query, name)
    if not text:
        return None
    try:
        return msgspec.json.decode(text, type=kind | None)
    except msgspec.MsgspecError as error:
        raise InvalidParameter(f"invalid {name} {text[:200]!r}: {error}") from error


def _header(headers: Mapping[str, str], name: str, kind: type[_T]) -> _T | None:
    text = headers.get(name, "")
    if not text:
        return None
    try:
        # Clients pad their base64 or leave that out, and use either alphabet.
        content = base64.urlsafe_b64decode(text.replace("+", "-").replace("/", "_") + "==")
        return msgspec.json.decode(content, type=kind | None)
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        # Never with its text: it holds what is secret.
        raise InvalidParameter(f"the header {name} is malformed: base64 of JSON is wanted") from (
            None if kind is Secrets else error
        )
