"""From a creation request and an image to a container's configuration: merged, checked, completed.

Nothing here touches the disk.
"""

import ipaddress
import os
import re
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from ipycontainer_runtime.engine.annotations import check_annotations
from ipycontainer_runtime.engine.devices import check_devices
from ipycontainer_runtime.engine.healthcheck import check_healthcheck
from ipycontainer_runtime.engine.hostfiles import HOST_GATEWAY
from ipycontainer_runtime.engine.logoptions import check_log
from ipycontainer_runtime.engine.namespaces import check_namespaces
from ipycontainer_runtime.engine.networks.asked import NetworkingConfig
from ipycontainer_runtime.engine.resources import check_limits
from ipycontainer_runtime.engine.restarts import check_restart_policy
from ipycontainer_runtime.engine.runtimes import OWN, check_runtime
from ipycontainer_runtime.engine.security import check_security
from ipycontainer_runtime.engine.signals import signal_number
from ipycontainer_runtime.engine.strings import refuse_spaces, refuse_zeros
from ipycontainer_runtime.engine.sysctls import check_sysctls
from ipycontainer_runtime.engine.unsupported import refuse_config, refuse_unsupported
from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.oci.model import ContainerConfig, Healthcheck
from ipycontainer_runtime.store.records import Config, HostConfig, words

DEFAULT_SHM = 64 << 20

_HOSTNAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*\.?")
_LONGEST_NAME = 64  # __NEW_UTS_LEN, include/uapi/linux/utsname.h
_EXTRA_HOST = re.compile(rf"[^\s:]+[:=](\[?[0-9A-Fa-f.:]+\]?|{HOST_GATEWAY})")


ENDLESS_MEMORY = (
    "OOM killer is disabled for the container, but no memory limit is set, this can result in the "
    "system running out of resources."
)


class CreateBody(Config, kw_only=True, rename="pascal"):
    """The body of POST /containers/create."""

    host_config: HostConfig | None = None
    networking_config: NetworkingConfig | None = None


Body = TypeVar("Body", bound=msgspec.Struct)


def parse_body(raw: bytes) -> CreateBody:
    """Decode a creation request; null means "not given" for any field, as in Docker's Go."""
    return decoded(raw, CreateBody)


def decoded(raw: bytes, kind: type[Body]) -> Body:
    """Decode a request's body, null as "not given"; InvalidParameter where it does not fit."""
    refuse_zeros(raw)
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError:
        try:
            return msgspec.convert(_without_nulls(msgspec.json.decode(raw)), kind)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise InvalidParameter(f"invalid JSON: {error}") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidParameter(f"invalid JSON: {error}") from error


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def merged(asked: Config, image: ContainerConfig) -> Config:
    """Return the container's configuration: what was asked for over what the image says.

    An entrypoint that is given resets the image's command; the environment, labels, ports and
    volumes are merged by key.
    """
    refuse_config(asked)
    entrypoint, cmd = words(asked.entrypoint), words(asked.cmd)
    if not entrypoint:
        cmd = cmd or image.cmd
        entrypoint = image.entrypoint if entrypoint is None else entrypoint
    if entrypoint == [""]:
        entrypoint = None
    return Config(
        hostname=asked.hostname,
        domainname=asked.domainname,
        user=asked.user or image.user,
        attach_stdin=asked.attach_stdin,
        attach_stdout=asked.attach_stdout,
        attach_stderr=asked.attach_stderr,
        exposed_ports={**(image.exposed_ports or {}), **(asked.exposed_ports or {})} or UNSET,
        tty=asked.tty,
        open_stdin=asked.open_stdin,
        stdin_once=asked.stdin_once,
        env=_merged_env(asked.env or [], image.env or []),
        cmd=cmd,
        healthcheck=_merged_check(asked.healthcheck or None, image.healthcheck) or UNSET,
        image=asked.image,
        volumes={**(image.volumes or {}), **(asked.volumes or {})} or None,
        working_dir=asked.working_dir or image.working_dir,
        entrypoint=entrypoint,
        on_build=asked.on_build or image.on_build,
        labels={**(image.labels or {}), **(asked.labels or {})},
        stop_signal=asked.stop_signal or image.stop_signal or UNSET,
        stop_timeout=UNSET if asked.stop_timeout is None else asked.stop_timeout,
        shell=asked.shell or image.shell or UNSET,
        network_disabled=asked.network_disabled or UNSET,
        mac_address=asked.mac_address or UNSET,
    )


def _merged_env(asked: list[str], image: list[str]) -> list[str]:
    given = {entry.partition("=")[0] for entry in asked}
    return [*asked, *(entry for entry in image if entry.partition("=")[0] not in given)]


def _merged_check(asked: Healthcheck | None, image: Healthcheck | None) -> Healthcheck | None:
    if asked is None or image is None:
        return asked or image
    return Healthcheck(
        test=asked.test or image.test,
        interval=asked.interval or image.interval,
        timeout=asked.timeout or image.timeout,
        start_period=asked.start_period or image.start_period,
        start_interval=asked.start_interval or image.start_interval,
        retries=asked.retries or image.retries,
    )


def complete(config: Config, host: HostConfig, container_id: str) -> None:
    """Check what was merged and fill in what Docker fills in."""
    if not config.command:
        raise InvalidParameter("No command specified")
    signal_number(config.stop_signal or "", 15)
    check_healthcheck(config.healthcheck or None)
    if host.uts_mode == "host" and config.hostname:
        raise InvalidParameter("conflicting options: hostname and the UTS mode")
    if config.working_dir and not config.working_dir.startswith("/"):
        raise InvalidParameter(
            f"the working directory '{config.working_dir}' is invalid, "
            "it needs to be an absolute path"
        )
    for entry in config.env or ():
        if not entry.partition("=")[0]:
            raise InvalidParameter(f"invalid environment variable: {entry}")
    if len(config.hostname) > _LONGEST_NAME or (
        config.hostname and not _HOSTNAME.fullmatch(config.hostname)
    ):
        raise InvalidParameter(f"invalid hostname format: {config.hostname[:300]}")
    refuse_spaces("Domainname", [config.domainname])
    if len(config.domainname) > _LONGEST_NAME:
        raise InvalidParameter(
            f"Domainname {config.domainname[:300]!r} is longer than {_LONGEST_NAME} characters"
        )
    shares_name = "host" in (host.network_mode, host.uts_mode)
    own_name = os.uname().nodename if shares_name else container_id[:12]
    config.hostname = config.hostname or own_name
    host.shm_size = host.shm_size or DEFAULT_SHM
    host.log_config.type = host.log_config.type or "json-file"
    host.log_config.config = host.log_config.config or {}
    host.restart_policy.name = host.restart_policy.name or "no"
    host.ipc_mode = host.ipc_mode or "private"
    host.cgroupns_mode = host.cgroupns_mode or "private"
    host.runtime = host.runtime or OWN


def check_host(host: HostConfig) -> None:
    """Refuse what this engine cannot do, naming the field; never ignore it."""
    refuse_unsupported(host)
    check_restart_policy(host)
    check_annotations(host)
    check_log(host.log_config)
    check_runtime(host)
    for entry in host.extra_hosts or ():
        if not _EXTRA_HOST.fullmatch(entry):
            raise InvalidParameter(f"bad format for add-host: {entry!r}: NAME:ADDRESS is wanted")
    check_namespaces(host)
    check_limits(host)
    check_devices(host)
    check_sysctls(host)
    _check_addresses(host)
    check_security(host)


def _check_addresses(host: HostConfig) -> None:
    refuse_spaces("--dns-search", host.dns_search or [])
    refuse_spaces("--dns-option", host.dns_options or [])
    for address in host.dns or ():
        try:
            ipaddress.ip_address(address)
        except ValueError as error:
            raise InvalidParameter(f"{address} is not an ip address: give --dns one") from error


def creation_warnings(config: Config, host: HostConfig) -> list[str]:
    """Return what the person should know of the container that was made."""
    warnings = []
    if host.network_mode == "host" and (host.port_bindings or host.publish_all_ports):
        warnings.append("Published ports are discarded when using host network mode")
    if host.oom_kill_disable and not host.memory:
        warnings.append(ENDLESS_MEMORY)
    return warnings
