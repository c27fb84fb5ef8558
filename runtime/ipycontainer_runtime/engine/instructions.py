"""The Dockerfile instructions that `commit --change` takes: each changes an image's config.

They are read and expanded as a Dockerfile's are, with the variables of the container's environment,
as Docker's engine does it.
"""

from collections.abc import Sequence

from ipycontainer_runtime.errors import InvalidParameter
from ipycontainer_runtime.oci.model import ContainerConfig
from ipycontainer_runtime.store.records import Config

_TAKEN = (
    *("CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "ONBUILD", "STOPSIGNAL"),
    *("USER", "VOLUME", "WORKDIR"),
)


def changed(config: ContainerConfig, changes: Sequence[str]) -> ContainerConfig:
    """Return the config that the instructions make of `config`.

    InvalidParameter names the instruction that cannot be taken.
    """
    if not changes:
        return config
    # Which neither an engine's start nor most commits should wait for.
    from ipycontainer_runtime.build.parse import parse_changes
    from ipycontainer_runtime.build.scope import Globals, Scope
    from ipycontainer_runtime.build.source import DockerfileError
    from ipycontainer_runtime.engine.building.config import Described, apply

    described = Described(config)
    scope = Scope(Globals({}, {}), config.env)
    try:
        for instruction in parse_changes(changes):
            if instruction.keyword not in _TAKEN:
                raise InvalidParameter(
                    f"{instruction.keyword} is not a valid change command: "
                    f"use one of {', '.join(_TAKEN)}"
                )
            described, _ = apply(described, scope.follow(instruction))
    except DockerfileError as error:
        raise InvalidParameter(f"invalid change: {error.reason}") from error
    return described.config


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
